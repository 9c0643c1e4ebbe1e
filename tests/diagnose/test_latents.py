"""Latents by energy: POD's come in POD's own order, with POD's own energies."""

import numpy as np
import pytest

import romae
from romae.diagnose import latent_energy
from romae.errors import OptionError
from romae.metrics import orthogonality


@pytest.fixture
def wave():
    import xarray as xr

    t, x = 0.2 * np.arange(40)[:, None], 2 * np.pi * np.arange(24) / 24
    u = np.cos(x - t) + 0.4 * np.cos(2 * x - 2.3 * t) + 0.1 * np.cos(3 * x - 3 * t)
    return xr.Dataset({"u": (("time", "x"), u)}, {"time": t[:, 0], "x": x})


def test_latents_of_pod_are_in_order(wave):
    pod = romae.POD(5).fit(wave)
    found = latent_energy(pod, wave)
    assert found.latent.values.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.energy, pod.energy[:5], atol=1e-5)
    assert found.attrs["orthogonality"] == pytest.approx(1, abs=1e-4)
    assert found.attrs["snapshots"] == 40


def test_few_snapshots_are_enough(wave):
    pod = romae.POD(3).fit(wave)
    found = latent_energy(pod, wave, snapshots=10)
    assert found.attrs["snapshots"] == 10
    np.testing.assert_allclose(found.energy[-1], pod.energy[2], atol=0.1)
    with pytest.raises(OptionError, match="snapshots is 1"):
        latent_energy(pod, wave, snapshots=1)
    with pytest.raises(OptionError, match=r"romae\.VAE\(8\)\.fit"):
        latent_energy("pod", wave)


def test_orthogonality_by_hand():
    rng = np.random.default_rng(0)
    z = np.linalg.qr(rng.standard_normal((200, 3)) - 0.0)[0]
    z = z - z.mean(0)
    mixed = np.stack([z[:, 0], 0.6 * z[:, 0] + 0.8 * z[:, 1]], 1)
    rho = np.corrcoef(mixed.T)[0, 1]
    assert orthogonality(mixed) == pytest.approx(1 - rho**2)
    assert orthogonality(mixed * [3.0, 2.0] + 7) == pytest.approx(1 - rho**2)
    assert orthogonality(np.stack([z[:, 0], z[:, 0]], 1)) == pytest.approx(0, abs=1e-12)
    idle = np.column_stack([mixed, 1e-3 * mixed[:, 0]])
    assert orthogonality(idle) == pytest.approx(1 - rho**2)
