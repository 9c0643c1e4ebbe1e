import numpy as np
import pytest
import xarray as xr

PERIOD = 41  # steps, as in the cylinder wake


def limit_cycle(steps, latent=2, start=0, harmonics=0.1):
    """Latents on a limit cycle: not an ellipse, not centred, of unequal size."""
    angle = 2 * np.pi * (start + np.arange(steps)) / PERIOD
    z = [3 * np.cos(angle) + 3 * harmonics * np.cos(2 * angle) + 5]
    z += [1.5 * np.sin(angle) + 2 * harmonics * np.sin(2 * angle)]
    z += [0.3 * np.sin((2 + n // 2) * angle + n % 2) for n in range(latent - 2)]
    return np.stack(z[:latent], axis=1)


def label(values, dt=0.1, t0=0.0):
    """(time, latent) latents with a numeric time axis in seconds."""
    time = ("time", t0 + dt * np.arange(len(values)), {"units": "s", "long_name": "time"})
    return xr.DataArray(values, dims=("time", "latent"), coords={"time": time}, name="z")


@pytest.fixture
def cycle():
    """600 steps of the limit cycle in two latents."""
    return label(limit_cycle(600))


@pytest.fixture(scope="session")
def make_cycle():
    return lambda steps, **options: label(limit_cycle(steps, **options))


@pytest.fixture
def make_latents():
    return label
