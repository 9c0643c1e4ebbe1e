"""What the latents of an autoencoder stand for: how much energy each adds, in which order.

Latents of an autoencoder come without order. The first one here is that which rebuilds most of the
fluctuation alone, all others held at their mean; the next that which adds most to it; and so on:

    i_1 = argmin_i |w - D(z_i)|^2,   i_2 = argmin_i |w - D(z_{i_1}, z_i)|^2, ...
    energy_j = 1 - <|w - D(z_{i_1} ... z_{i_j})|_W^2> / <|w|_W^2>

Source: Eivazi, Le Clainche, Hoyas & Vinuesa 2022, "Towards extraction of orthogonal and
parsimonious non-linear modes from turbulent flows" (there for variational autoencoders).
"""

from typing import Any

import numpy as np
import torch
import xarray as xr

from romae.errors import OptionError, check_whole
from romae.fields import Snapshots, open_snapshots
from romae.metrics import orthogonality

SNAPSHOTS = 256


def latent_energy(reducer: Any, data: Any, *, snapshots: int = SNAPSHOTS) -> xr.Dataset:
    """Latents of a fitted reducer in the order of the energy that they add.

    Parameters
    ----------
    reducer : a fitted reducer with k latents.
    data : Snapshots, or what :func:`romae.open_snapshots` takes.
    snapshots : how many, evenly spread, are decoded; k (k + 1) / 2 times each.

    Returns
    -------
    A Dataset over ``order`` (1 ... k): ``latent``, the number from 0 of the latent that comes next,
    and ``energy``, the share of the fluctuation energy that it and those before it rebuild.
    ``attrs["orthogonality"]`` is that of :func:`romae.metrics.orthogonality`. Raises
    :class:`romae.errors.OptionError` for a number of snapshots that is none.
    """
    check_whole("snapshots", snapshots, 2)
    if not hasattr(reducer, "decode_tensor"):
        raise OptionError(
            f"latent_energy got a {type(reducer).__name__}. Expected a fitted reducer, such as "
            f"romae.VAE(8).fit(train)."
        )
    x = _some(reducer, open_snapshots(data), snapshots)
    with torch.inference_mode():
        z = reducer.encode_tensor(x)
        order, energy = _greedy(reducer, x, z)
    return xr.Dataset(
        {
            "latent": ("order", np.array(order), {"long_name": "number of the latent, from 0"}),
            "energy": ("order", np.array(energy), {"units": "1", "long_name": "energy rebuilt"}),
        },
        coords={"order": np.arange(1, len(order) + 1)},
        attrs={"orthogonality": orthogonality(z.cpu().numpy()), "snapshots": len(x)},
    )


def _some(reducer: Any, data: Snapshots, count: int) -> torch.Tensor:
    """Scaled snapshots (count, C, *space), evenly spread over all cases."""
    picks = set(np.linspace(0, len(data) - 1, min(count, len(data))).round().astype(int).tolist())
    found, first = [], 0
    for _, x in reducer.batches(data):
        rows = [i - first for i in range(first, first + len(x)) if i in picks]
        found.append(x[rows])
        first += len(x)
    return torch.cat(found)


def _greedy(reducer: Any, x: torch.Tensor, z: torch.Tensor) -> tuple[list[int], list[float]]:
    weights = torch.from_numpy(reducer.layout.quadrature).to(x.device)
    mean = z.mean(0, keepdim=True)
    whole = float((x.double().square() * weights).sum())
    used, energy, rest = mean.repeat(len(z), 1), [], list(range(z.shape[1]))
    order: list[int] = []

    def lost(i: int) -> float:
        tried = used.clone()
        tried[:, i] = z[:, i]
        return float(((reducer.decode_tensor(tried) - x).double().square() * weights).sum())

    while rest:
        losses = {i: lost(i) for i in rest}
        best = min(rest, key=losses.__getitem__)
        used[:, best] = z[:, best]
        order.append(best)
        energy.append(1 - losses[best] / whole)
        rest.remove(best)
    return order, energy
