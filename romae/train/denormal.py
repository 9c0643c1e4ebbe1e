"""Numbers below the normal range (1e-38 in single precision) count as zero while we train.

A processor needs a hundred times as long for arithmetic with them, and gradients, their squares and
decaying moments of a network that is nearly exact are full of them: on the wake with 32 latents an
update took six times as long. What they would add to a weight is far below its rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def flushed() -> Iterator[None]:
    """Flush them, in this thread, and leave the setting as it was."""
    before = bool((torch.full((1,), 1e-38) * 0.1).item() == 0.0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
