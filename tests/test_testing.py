"""The conformance kit for dynamics: romae's own keep it, broken ones are found."""

import numpy as np
import pytest
import xarray as xr

from romae.dynamics import DMD, GRU, Climatology, Dynamics, EchoState, Persistence
from romae.progress import silent
from romae.testing import check_dynamics


@pytest.fixture
def latents() -> xr.DataArray:
    t = 0.1 * np.arange(200)
    z = np.stack([np.cos(2 * t), 2 * np.sin(2 * t)], 1).astype("f4")
    return xr.DataArray(z, dims=("time", "latent"), coords={"time": ("time", t, {"units": "s"})})


@pytest.mark.parametrize(
    "make",
    [
        Persistence,
        Climatology,
        lambda: DMD(3),
        lambda: EchoState(40, context=8),
        lambda: GRU(8, context=4, unroll=8, updates=5),
    ],
)
def test_our_own(make, latents):
    with silent():
        check_dynamics(make(), latents)


class Still(Dynamics):
    """Somebody else's persistence."""

    def __init__(self, drift: float = 0.0):
        self.drift = drift

    def _fit(self, sequences):
        pass

    def _rollout(self, history, steps):
        return history[:, -1:] + self.drift * np.arange(1, steps + 1)[:, None]


class Peeking(Still):
    """Its first steps depend on how far it is asked to go."""

    def _rollout(self, history, steps):
        return history[:, -1:] + 0.01 * np.linspace(1, 2, steps)[:, None]


class Restless(Still):
    """Another forecast every time."""

    def _rollout(self, history, steps):
        noise = np.random.default_rng().normal(size=(len(history), steps, history.shape[2]))
        return history[:, -1:] + 0.1 * noise


class Jumping(Still):
    """Between its steps it is elsewhere."""

    continuous = True

    def _at(self, history, times):
        return history[:, -1:] + np.floor(times)[:, None] - 1.0


class Swapping(Still):
    """Takes the parameters of another row."""

    takes = frozenset({"params"})

    def _fit(self, sequences, *, params=None):
        pass

    def _rollout(self, history, steps, *, params=None):
        z = np.repeat(history[:, -1:], steps, axis=1)
        return z if params is None else z + params[::-1, None]


def test_somebody_elses(latents):
    check_dynamics(Still(0.01), latents)


@pytest.mark.parametrize(
    ("cls", "law"),
    [
        (Peeking, "beginning"),
        (Restless, "broken law"),
        (Jumping, "times between steps"),
        (Swapping, "parameters of its row"),
    ],
)
def test_the_kit_finds_a_broken_law(cls, law, latents):
    with pytest.raises(AssertionError, match=law):
        check_dynamics(cls(), latents)
