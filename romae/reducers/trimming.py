"""Modes that a trained autoencoder in POD coordinates can do without.

The networks get all m modes that hold the energy, since before the training nobody knows which
the decoder will restore from the latents. Most are small, and afterwards many are worth nothing:

    J(m') = sum_t  |a_{1..m'} - a^_{1..m'}|^2 + |a_{m'+1..m}|^2      a^ from a_{1..m'} alone

is the error on held-out snapshots where the tail is left out, of the encoder's input and of the
decoder's output. The smallest m' >= k with J(m') <= (1 + 1e-3) J(m) is taken, found by bisection as
though J fell; m' itself is always measured. J(m') is to stay below POD's error too, where J(m) is.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from romae.reducers.network_coder import NetworkCoder

RISE = 1e-3  # of the squared error


def modes_worth(coder: NetworkCoder, batches: Sequence[Tensor]) -> int:
    """m' for held-out POD coordinates ``batches``, each (B, m)."""
    k, most = coder.squeeze.latent, len(coder.basis.modes)
    full = error(coder, batches, most)
    pod = sum(float(w[:, k:].double().square().sum()) for w in batches)
    limit = min((1 + RISE) * full, max(full, pod))
    low, high = k, most
    while low < high:
        middle = (low + high) // 2
        if error(coder, batches, middle) <= limit:
            high = middle
        else:
            low = middle + 1
    return high


def error(coder: NetworkCoder, batches: Sequence[Tensor], m: int) -> float:
    """J(m): the tail of modes is zero on its way in, and on its way out."""
    lost = 0.0
    with torch.no_grad():
        for w in batches:
            inside = torch.cat([w[:, :m], torch.zeros_like(w[:, m:])], dim=1)
            found = coder.synthesise(coder.opened(coder.codes(inside)))
            left = torch.cat([(found - w)[:, :m], w[:, m:]], dim=1)
            lost += float(left.double().square().sum())
    return lost


def cut(coder: NetworkCoder, short: NetworkCoder) -> NetworkCoder:
    """``short``, of fewer modes, with what ``coder`` has learnt of them."""
    kept = {
        name: coder.state_dict()[name][tuple(slice(n) for n in like.shape)]
        for name, like in short.state_dict().items()
    }
    short.load_state_dict(kept)
    return short.to(coder.basis.modes.device)
