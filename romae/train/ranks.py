"""Which of several processes this is, and what they exchange.

``torchrun --nproc-per-node 2 ...`` starts the same program several times and says so in the
environment: RANK of WORLD_SIZE processes, LOCAL_RANK on this machine. Each computes with its
part of every batch,

    g = sum_r (n_r / n) grad J_r,        n = sum_r n_r snapshots,

which is the gradient of the whole batch, where J is a mean over snapshots: all ranks make the
same update as one process, to rounding. Without these variables there is one rank, and
nothing here does anything.
"""

import atexit
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from romae.errors import OptionError


@dataclass(frozen=True)
class Ranks:
    """This process among ``world``; what is written to disk is written by the ``first`` alone."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes results and shows progress."""
        return self.rank == 0

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the ranks, in one message."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        torch.distributed.all_reduce(flat)
        for t, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            t.copy_(part.view_as(t))

    def follow(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by that of the first rank."""
        if self.world > 1:
            for t in tensors:
                whole = t.contiguous()
                torch.distributed.broadcast(whole, 0)
                t.copy_(whole)

    def tell(self, value: Any) -> Any:
        """The ``value`` of the first rank, on all."""
        if self.world == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, 0)
        return values[0]


def here() -> Ranks:
    """This process, as the environment says; starts no communication.

    Raises :class:`OptionError` when RANK and WORLD_SIZE do not fit together.
    """
    rank, world = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    if not (rank.isdecimal() and world.isdecimal() and int(rank) < int(world)):
        raise OptionError(
            f"the environment says RANK={rank} and WORLD_SIZE={world}. Expected a rank below the "
            f"size, as torchrun sets them; start with torchrun, or type: unset RANK WORLD_SIZE"
        )
    return Ranks(int(rank), int(world))


def join() -> Ranks:
    """This process, ready to exchange tensors with the others; collective."""
    ranks = here()
    if ranks.world > 1 and not torch.distributed.is_initialized():
        # Tensors on the CPU go by gloo even where there are GPUs: a validation loss, a checkpoint.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        torch.distributed.init_process_group(backend)
        atexit.register(_leave)
    return ranks


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
