"""Spectral POD: the formulas on the fields, Parseval, waves, and what is refused."""

import numpy as np
import pytest
import xarray as xr

import romae
from romae.errors import DataError, GridMismatchError, OptionError
from romae.linalg.spectral import peaks, spectrum, starts, window_of
from romae.reducers import data as reading

from .flows import broadband, dense, wave


@pytest.mark.parametrize("window", ["hann", "boxcar"])
@pytest.mark.parametrize(("block", "overlap"), [(16, 0.5), (15, 0.25), (32, 0.0)])
def test_is_what_the_formulas_on_the_fields_say(block, overlap, window):
    data = broadband()
    frequency, energy, modes, w = dense(data, block, overlap, window)
    at = frequency[[1, 4]]
    found = romae.spectral_pod(
        data, block=block, overlap=overlap, window=window, modes=2, frequencies=at
    )
    np.testing.assert_allclose(found.frequency, frequency)
    np.testing.assert_allclose(found.energy, energy[:, :2], rtol=2e-5)
    np.testing.assert_allclose(found.total, energy.sum(1), rtol=2e-5)
    values = np.stack([found[n].values for n in "uv"], axis=2)
    masked = np.isnan(values[0, 0].real)
    assert masked.any()
    values = np.nan_to_num(values).astype(complex)
    for i, f in enumerate((1, 4)):
        C = np.einsum("acyx,cyx,bcyx->ab", values[i].conj(), w, modes[f, :2])
        np.testing.assert_allclose(np.abs(C), np.eye(2), atol=2e-4)  # equal up to a phase
    assert found.energy.units == "(m/s)^2"
    assert found.frequency.units == "1/s"


def test_energies_of_all_frequencies_are_the_variance():
    """Parseval, for boxcar blocks that cover the data once."""
    data = broadband()
    found = romae.spectral_pod(data, block=24, overlap=0, window="boxcar", frequencies=None)
    layout = romae.open_snapshots(data).layout
    variance = sum(
        float((data[n].var("time") * w).sum() / w.sum())
        for n, w in zip("uv", layout.quadrature, strict=True)
    )
    assert float(found.total.sum()) == pytest.approx(variance, rel=1e-5)
    assert found.attrs["snapshots_used"] == 96
    assert set(found.data_vars) == {"energy", "total"}


@pytest.mark.parametrize("window", ["hann", "hamming", "boxcar"])
def test_a_travelling_wave_is_one_mode_at_its_frequency(window):
    found = romae.spectral_pod(wave(cycles=16), block=64, window=window, frequencies="peaks")
    f = 16 / (128 * 0.5)
    assert float(found.frequency[found.energy[:, 0].argmax("frequency")]) == pytest.approx(f)
    assert f in found.mode_frequency
    first, second = found.energy.sel(frequency=f).values[:2]
    assert second < 1e-9 * first
    mode = found.u.sel(mode_frequency=f, mode=1)
    # cos(2 x - omega t) = Re exp(i omega t) exp(-2 i x)
    phase = np.unwrap(np.angle(mode.values))
    np.testing.assert_allclose(np.diff(phase), -2 * 2 * np.pi / 32, atol=1e-4)
    if window == "boxcar":
        assert first == pytest.approx(0.5, rel=1e-4)  # mean square of the cosine


def test_white_noise_has_the_density_of_its_variance():
    z = np.random.default_rng(0).standard_normal((8192, 1))
    found = spectrum([z], 64, 0.5, "hann", 1)
    np.testing.assert_allclose(found.total[1:-1], 2 / 64, rtol=0.35)
    assert found.total[1:-1].mean() == pytest.approx(2 / 64, rel=0.03)


@pytest.mark.parametrize("nbytes", [1, 3000, 1 << 20])
def test_how_the_data_are_read_does_not_matter(nbytes, monkeypatch):
    whole = romae.spectral_pod(broadband(), block=16)
    monkeypatch.setattr(reading, "BLOCK_BYTES", nbytes)
    pieces = romae.spectral_pod(broadband(), block=16)
    np.testing.assert_allclose(pieces.energy, whole.energy, rtol=1e-5)


def test_cases_are_blocks_of_their_own():
    """Two trajectories: the average over the blocks of both, no block across the border."""
    first, second = broadband(48, seed=1), broadband(48, seed=2)
    both = xr.concat([first, second], xr.Variable("case", [0, 1]))
    found = romae.spectral_pod(both, block=16, overlap=0.5, frequencies=None)
    assert found.attrs["blocks"] == 10
    long = romae.spectral_pod(
        xr.concat([first, second.assign_coords(time=first.time + 12)], "time"), block=16
    )
    assert long.attrs["blocks"] == 11


def test_fewer_coordinates_only_take_energy_away():
    full = romae.spectral_pod(broadband(), block=16, modes=3)
    for rank in (1, 5, 20):
        pod = romae.POD(rank).fit(broadband(), device="cpu")
        part = romae.spectral_pod(broadband(), block=16, modes=3, pod=pod)
        k = part.sizes["mode"]
        assert np.all(part.energy.values <= full.energy.values[:, :k] * (1 + 1e-5))
        assert part.attrs["held"] == pytest.approx(pod.energy[rank - 1])
    assert full.attrs["held"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("step", "units", "expected", "per"),
    [
        (np.timedelta64(6, "h"), None, "1/s", 86400.0),
        (np.timedelta64(6, "h"), "days since 2001-01-01", "1/day", 1.0),
        (np.timedelta64(6, "h"), "hours since 2001-01-01", "1/hour", 24.0),
    ],
)
def test_frequencies_of_dates(step, units, expected, per):
    data = wave(64, cycles=16, time=np.datetime64("2001-01-01", "ns") + np.arange(64) * step)
    if units:
        data.time.encoding["units"] = units
    found = romae.spectral_pod(data, block=32)
    assert found.frequency.units == expected
    peak = float(found.frequency[found.energy[:, 0].argmax("frequency")])
    assert peak == pytest.approx(1.0 / per)  # 16 cycles in 16 days


def test_wrong_use():
    data = broadband()
    uneven = data.assign_coords(time=data.time.values**1.1)
    with pytest.raises(DataError, match=r"range from .* to .*interp\(time="):
        romae.spectral_pod(uneven)
    with pytest.raises(DataError, match="type block=24"):
        romae.spectral_pod(data, block=97)
    with pytest.raises(OptionError, match="hann, hamming"):
        romae.spectral_pod(data, window="han")
    with pytest.raises(OptionError, match="overlap"):
        romae.spectral_pod(data, overlap=1)
    with pytest.raises(OptionError, match="outside 0 to 2"):
        romae.spectral_pod(data, frequencies=[3])
    with pytest.raises(OptionError, match="peaks"):
        romae.spectral_pod(data, frequencies="peak")
    with pytest.raises(OptionError, match="POD"):
        romae.spectral_pod(data, pod=8)
    with pytest.raises(GridMismatchError):
        romae.spectral_pod(data, pod=romae.POD(2).fit(wave(), device="cpu"))


def test_a_field_called_energy_keeps_its_modes():
    data = broadband().rename(u="energy")
    found = romae.spectral_pod(data, block=16)
    assert found.energy.dims == ("frequency", "mode")
    assert found.energy_mode.dims == ("mode_frequency", "mode", "y", "x")


def test_small_parts():
    assert list(starts(10, 4, 0.5)) == [0, 2, 4, 6]
    assert list(starts(4, 4, 0.99)) == [0]
    np.testing.assert_allclose(window_of("hann", 4), [0, 0.5, 1, 0.5])
    first = np.array([9.0, 1, 3, 2, 5])
    assert list(peaks(first[:, None], 4)) == [2, 4]
    assert list(peaks(first[:, None], 1)) == [4]
    assert list(peaks(np.array([[9.0], [4], [3], [2]]), 2)) == [1]
    noisy = np.stack([first, np.array([0, 0, 2.0, 0, 0])], axis=1)
    assert list(peaks(noisy, 4)) == [4]  # at the other the second mode is as strong
