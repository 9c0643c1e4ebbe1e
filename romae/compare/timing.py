"""How fast encode and decode are, tensors in, tensors out.

    rate = B / median(seconds per call),     calls repeated after a warm-up

with a batch of B snapshots that is on the device already: reading files and scaling are not
part of it. The median, because single runs differ by more than the models do.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

SECONDS = 0.15  # spent on one rate, after the warm-up
LEAST, MOST = 5, 200  # calls


def rates(encoder: Any, decoder: Any, x: Any, latent: int) -> tuple[float, float]:
    """Snapshots per second of encode and decode.

    ``encoder.encode_tensor`` gets ``x``, a scaled tensor (B, C, *space); its first ``latent``
    numbers go to ``decoder.decode_tensor``.
    """
    import torch

    with torch.inference_mode():
        z = encoder.encode_tensor(x)[:, :latent].contiguous()
        encode = _median(lambda: encoder.encode_tensor(x), x.device)
        decode = _median(lambda: decoder.decode_tensor(z), x.device)
    return len(x) / encode, len(x) / decode


def _median(call: Callable[[], Any], device: Any) -> float:
    """Median seconds of ``call``, work on the device included."""
    for _ in range(2):  # allocations and kernel choice happen here
        call()
    _finish(device)
    took: list[float] = []
    while len(took) < LEAST or (sum(took) < SECONDS and len(took) < MOST):
        begin = time.perf_counter()
        call()
        _finish(device)
        took.append(time.perf_counter() - begin)
    return float(np.median(took))


def _finish(device: Any) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
