"""POD: its error is the tail of the singular values, its modes are orthonormal in the weights."""

import numpy as np
import pytest
import torch
import xarray as xr

from romae import open_snapshots
from romae.errors import NotFittedError, OptionError
from romae.reducers import POD

METHODS = ["svd", "snapshots", "covariance"]
FLOWS = ["line", "plane", "box", "family", "whole"]


def scaled_error(pod: POD, data) -> float:
    """sqrt(sum_t sum_i W_i (x - x^)^2) in scaled units, of what pod was fitted to."""
    snapshots = open_snapshots(data)
    x = torch.cat([x for _, x in pod.batches(snapshots)])
    lost = (x - pod.decode_tensor(pod.encode_tensor(x))).double().numpy()
    return float(np.sqrt(np.sum(lost**2 * snapshots.layout.quadrature)))


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("method", METHODS)
def test_the_error_is_the_tail_of_the_singular_values(name, method, flows):
    data = flows[name]()
    for k in (1, 3):
        pod = POD(k, method=method).fit(data)
        tail = np.sqrt(np.sum(pod.singular_values[k:] ** 2))
        assert scaled_error(pod, data) == pytest.approx(tail, rel=1e-4)


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("method", METHODS)
def test_modes_are_orthonormal_in_the_weights(name, method, flows):
    pod = POD(4, method=method).fit(flows[name]())
    U = pod.module.modes.double().numpy()
    W = pod.layout.quadrature.reshape(-1)
    np.testing.assert_allclose((U * W) @ U.T, np.eye(4), atol=1e-5)
    assert (U[:, W == 0] == 0).all()


@pytest.mark.parametrize("name", FLOWS)
def test_the_methods_agree(name, flows):
    data = flows[name]()
    svd, *others = (POD(3, method=m).fit(data) for m in METHODS)
    for pod in others:
        np.testing.assert_allclose(pod.singular_values[:3], svd.singular_values[:3], rtol=1e-7)
        np.testing.assert_allclose(pod.encode(data), svd.encode(data), atol=2e-4)


def test_latents_have_the_energy_of_their_modes_and_no_correlation(flows):
    data = flows["plane"]()
    pod = POD(4).fit(data)
    z = pod.encode(data).values.astype(float)
    s = pod.singular_values[:4]
    np.testing.assert_allclose(z.T @ z, np.diag(s**2), atol=1e-5 * s[0] ** 2)


def test_no_linear_basis_does_better(flows):
    """Eckart and Young: against random subspaces of the same size."""
    data = flows["line"]()
    pod = POD(2).fit(data)
    x = torch.cat([x for _, x in pod.batches(open_snapshots(data))]).flatten(1).double().numpy()
    best = scaled_error(pod, data)
    for seed in range(5):
        Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((17, 2)))[0]
        assert np.linalg.norm(x - x @ Q @ Q.T) > best


def test_weights_decide_what_is_kept():
    """Two structures of equal amplitude: the one on the larger cells has more energy."""
    t = np.linspace(0, 6, 40)
    u = np.zeros((40, 4))
    u[:, 0], u[:, 3] = np.sin(t), np.sin(2.3 * t + 1)
    x = ("x", np.array([0.0, 0.1, 1.0, 5.0]), {"units": "m"})
    data = xr.Dataset({"u": (("time", "x"), u)}, {"time": t, "x": x})
    mode = POD(1).fit(data).modes.u[0]
    assert abs(mode[3]) > 10 * abs(mode[0])


def test_truncation_is_the_smaller_fit(flows):
    data = flows["plane"]()
    large, small = POD(6).fit(data), POD(2).fit(data)
    cut = large.truncate(2)
    assert cut.latent == cut.rank == 2
    assert large.latent == 6
    np.testing.assert_allclose(cut.encode(data), small.encode(data), atol=1e-6)
    xr.testing.assert_allclose(cut.modes, small.modes, atol=1e-6)
    np.testing.assert_array_equal(cut.singular_values, large.singular_values)
    assert cut.nbytes < large.nbytes
    assert cut.fit_seconds == large.fit_seconds


@pytest.mark.parametrize("rank", [0, 7, -1, True, 2.0, "2"])
def test_truncation_to_what_is_not_there(rank, flows):
    with pytest.raises(OptionError, match=r"Expected a whole number|this POD has 6 modes"):
        POD(6).fit(flows["line"]()).truncate(rank)


def test_truncation_before_fit():
    with pytest.raises(NotFittedError, match=r"has not been fitted.*\.fit\(snapshots\)"):
        POD(6).truncate(2)


@pytest.mark.parametrize("energy", [0.5, 0.9, 0.99, 0.999])
def test_rank_by_energy_is_the_smallest_that_holds_it(energy, flows):
    pod = POD(energy).fit(flows["plane"]())
    assert pod.energy[pod.latent - 1] >= energy
    assert pod.latent == 1 or pod.energy[pod.latent - 2] < energy
    assert (np.diff(pod.energy) >= 0).all()
    assert pod.energy[-1] == pytest.approx(1)


def test_modes_are_labelled_and_masked(flows):
    data = flows["plane"]()
    pod = POD(3).fit(data)
    modes = pod.modes
    assert modes.u.dims == ("mode", "lev", "x")
    assert list(modes.mode.values) == [1, 2, 3]
    xr.testing.assert_identical(modes.lev, data.lev)
    np.testing.assert_array_equal(np.isnan(modes.u[0]), np.isnan(data.u[0]))
    for name in modes.data_vars:
        assert modes[name].attrs["units"] == "1"


def test_signs_do_not_depend_on_the_order_of_the_snapshots(flows):
    data = flows["line"]()
    mirrored = data.isel(time=slice(None, None, -1)).assign_coords(time=data.time)
    xr.testing.assert_allclose(POD(3).fit(data).modes, POD(3).fit(mirrored).modes, atol=1e-5)


def test_fewer_modes_than_asked_for_where_the_rest_is_rounding():
    t, x = 2 * np.pi * np.arange(12) / 12, np.arange(9.0)
    u = np.sin(t)[:, None] * np.cos(x) + np.cos(t)[:, None] * np.sin(x)
    data = xr.Dataset({"u": (("time", "x"), u)}, {"time": t, "x": x})
    pod = POD(8).fit(data)
    assert pod.latent == 2
    assert pod.encode(data).sizes["latent"] == 2
    assert pod.truncate(1).latent == 1


def test_singular_values_survive_saving(flows, tmp_path):
    from romae import load

    pod = POD(2).fit(flows["line"]())
    opened = load(pod.save(tmp_path / "pod.rom"))
    np.testing.assert_array_equal(opened.singular_values, pod.singular_values)
    np.testing.assert_array_equal(opened.energy, pod.energy)
    xr.testing.assert_identical(opened.modes, pod.modes)
    xr.testing.assert_identical(opened.truncate(1).modes, pod.truncate(1).modes)
