"""Figures of modes and of diagnoses: complete, readable on flat grids, honest about shares."""

import numpy as np
import pytest
import xarray as xr

import romae
from romae.errors import OptionError
from romae.report import figures
from romae.report.figures.modes import shares


def flow(shape, T=64):
    """Two travelling waves on a grid whose last axis is the longest."""
    rng = np.random.default_rng(0)
    grids = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    t = np.arange(T).reshape(-1, *[1] * len(shape))
    u = sum(np.cos(2 * np.pi * m * (grids[-1] - t / 16)) / m for m in (1, 2))
    u = u * (1 + grids[0]) + 0.01 * rng.standard_normal(u.shape)
    dims = ("z", "y", "x")[-len(shape) :]
    coords = {
        d: (d, np.linspace(0, n / 8, n), {"units": "m"}) for d, n in zip(dims, shape, strict=True)
    }
    time = ("time", 0.5 * np.arange(T), {"units": "s"})
    return xr.Dataset({"u": (("time", *dims), u, {"units": "m/s"})}, {"time": time, **coords})


@pytest.fixture(scope="module", params=[(24,), (8, 60), (4, 6, 9)], ids=["line", "flat", "box"])
def diagnosed(request):
    data = romae.open_snapshots(flow(request.param))
    pod = romae.POD(4).fit(data, device="cpu")
    spectral = romae.spectral_pod(data, block=32, pod=pod)
    return data.layout, pod, spectral, romae.convergence(data, pod=pod)


@pytest.mark.slow
def test_figures_are_labelled_with_units(diagnosed):
    layout, pod, spectral, converged = diagnosed
    drawn = {
        "modes": figures.pod_modes(pod, field="u"),
        "spectral": figures.spectral_modes(spectral, layout, field="u"),
        "spectrum": figures.spod_spectrum(spectral),
        "convergence": figures.convergence_curves(converged),
    }
    for name, figure in drawn.items():
        figure.draw_without_rendering()
        shown = [ax for ax in figure.axes if ax.get_visible()]
        assert all(ax.get_title() or ax.get_title("left") or name == "spectrum" for ax in shown)
        labels = {ax.get_xlabel() for ax in shown} | {ax.get_ylabel() for ax in shown}
        if name in ("modes", "spectral"):
            assert "x [m]" in labels
    (ax,) = drawn["spectrum"].axes
    assert ax.get_xlabel() == "frequency [1/s]"
    assert "(m/s)^2" in ax.get_ylabel()
    titles = {ax.get_title() + ax.get_title("left") for ax in drawn["spectral"].axes}
    assert any(t.startswith("f = 0.125 1/s") for t in titles)


def test_flat_pictures_are_not_three_in_a_row(diagnosed):
    layout, pod, _, _ = diagnosed
    if layout.shape == (8, 60):
        figure = figures.pod_modes(pod, field="u")
        assert len({round(ax.get_subplotspec().colspan.start) for ax in figure.axes}) == 1


def test_pictures_show_the_modes(diagnosed):
    layout, pod, spectral, _ = diagnosed
    if len(layout.shape) != 2:
        return
    ax = figures.pod_modes(pod, field="u", count=1).axes[0]
    shown = ax.collections[0].get_array()
    np.testing.assert_allclose(shown, pod.modes.u.values[0])
    first = figures.spectral_modes(spectral, layout, field="u", count=1).axes[0]
    strongest = int(
        spectral.energy.sel(frequency=spectral.mode_frequency, mode=1).argmax(...)["mode_frequency"]
    )
    expected = spectral.u.values[strongest, 0].real
    np.testing.assert_allclose(first.collections[0].get_array(), expected)


def test_shares_are_of_all_the_energy():
    """A randomised POD knows a few singular values, and the energy of all."""
    data = flow((8, 60))
    exact = romae.POD(3, method="svd").fit(data, device="cpu")
    quick = romae.POD(3, method="randomized").fit(data, device="cpu")
    assert len(quick.singular_values) < len(exact.singular_values)
    np.testing.assert_allclose(shares(quick)[:2], shares(exact)[:2], rtol=1e-4)
    left = [figures.energy_spectrum(p).axes[1].lines[0].get_ydata()[:2] for p in (exact, quick)]
    np.testing.assert_allclose(left[1], left[0], rtol=1e-2)


def test_modes_that_are_not_there(diagnosed):
    layout, pod, _, _ = diagnosed
    data = flow(layout.shape)
    bare = romae.spectral_pod(data, block=32, pod=pod, frequencies=None)
    figures.spod_spectrum(bare)
    with pytest.raises(OptionError, match="frequencies="):
        figures.spectral_modes(bare, layout, field="u")
