"""Parameters of cases that say where each begins, behind a reducer that takes the place out.

A case moved by s along a periodic axis (period L) has the phase phi - 2 pi s / L and the same law.
A parameter p that is such a place, the centre of a drop, shows in the phases at the first times,

    phi_i(t_0) + 2 pi p_i / L = const      over all cases i,      |mean_i e^(i ...)| = 1

A model that takes it as a parameter of the law learns a law for each place, and what Aligned won
is lost. Found where the phases at the first times tell; a case that was cut after it had drifted
by an amount of its own no longer does.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from romae.conventions import LATENT, TIME
from romae.fields.axes import numeric_coordinate

FEWEST = 4  # cases of which three agree by chance more often than one would like
AGREE = 0.98  # |mean e^(i ...)|: phases within about 0.2 rad of the place
SPREAD = 0.9  # below it the places are not all the same one


def places_among(
    reducer: Any, latents: Sequence[xr.DataArray], params: pd.DataFrame | None
) -> dict[str, str]:
    """Names of the parameters that are places, with the axis of each; empty without ``Aligned``.

    ``latents``: (time, latent) of every case, as ``reducer`` encodes it; ``params``: a row each.
    """
    names = getattr(reducer, "aligned_axes", ())
    if not names or params is None or not FEWEST <= len(latents) == len(params):
        return {}
    first = np.stack([z.isel({TIME: 0}).transpose(LATENT).values for z in latents])
    found: dict[str, str] = {}
    for i, axis in enumerate(names):
        x = numeric_coordinate(reducer.layout.coords, axis)
        if x is None:
            continue
        period = np.abs(np.diff(x)).mean() * x.size
        phasor = first[:, 2 * i] + 1j * first[:, 2 * i + 1]
        phasor = phasor / np.maximum(np.abs(phasor), np.finfo(float).tiny)
        for name, values in params.items():
            place = np.exp(2j * np.pi * values.to_numpy(dtype=float) / period)
            if np.abs(place.mean()) < SPREAD and np.abs((phasor * place).mean()) > AGREE:
                found[str(name)] = axis
    return found


def warn_of_places(
    reducer: Any, latents: Sequence[xr.DataArray], params: pd.DataFrame | None, model: str
) -> None:
    """Warn that ``model``, which takes parameters, is about to learn a law for each place."""
    found = places_among(reducer, latents, params)
    if not found:
        return
    told = " and ".join(f"{name!r} (along {axis})" for name, axis in found.items())
    warnings.warn(
        f"{told} among the case parameters: the phases of the cases begin there. Aligned took the "
        f"place out of the latents; {model} would learn a law for each place from it, that holds "
        "at no other. Expected parameters that change the law. Open the data without, "
        f"xr.open_dataset(file).drop_vars({list(found)}).",
        UserWarning,
        stacklevel=3,
    )
