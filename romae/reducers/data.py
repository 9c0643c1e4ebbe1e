"""What a reducer is fitted to, and how snapshots become scaled batches of tensors."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from romae.feed import TensorScaling
from romae.fields import Scaling, Snapshots, Survey
from romae.fields.survey import check_values

BLOCK_BYTES = 64 << 20  # of snapshots read at once
BATCH_BYTES = 8 << 20  # encoded or decoded at once: feature maps take many times that


class FitData:
    """What a reducer is fitted to: snapshots, their statistics, and where to compute."""

    def __init__(
        self,
        snapshots: Snapshots,
        validation: Snapshots | None,
        found: Survey,
        scaling: Scaling,
        device: torch.device,
        folder: Path | None,
    ) -> None:
        self.snapshots, self.validation, self.survey = snapshots, validation, found
        self.scaling, self.device, self.folder = scaling, device, folder

    def held_out(self) -> tuple[Snapshots, Snapshots | None]:
        """(train, validation): as given, or the last tenth of each trajectory held out."""
        if self.validation is not None:
            return self.snapshots, self.validation
        if min(self.snapshots.lengths) < 20:
            return self.snapshots, None
        train, valid = self.snapshots.split(0.9, 0.1, by="time")
        return train, valid


def scaled_batches(
    snapshots: Snapshots, scaling: Scaling, device: torch.device
) -> Iterator[tuple[int, Tensor]]:
    """(case, scaled float32 tensor (b, C, *space)) block by block, in order, values checked."""
    scale = TensorScaling(scaling, device)
    rows = max(1, BATCH_BYTES // (4 * snapshots.layout.size))
    for block in snapshots.blocks(BLOCK_BYTES):
        check_values(snapshots, block.case, block.start, block.values)
        for values in torch.from_numpy(block.values).split(rows):
            yield block.case, scale.forward(values.to(device), overwrite=True)
        del block, values  # before the next is read: one block is held, not two
