"""The training curve on disk while it grows: one JSON object per epoch and line.

``metrics.jsonl`` in the checkpoint folder holds the records that ``train`` returns. A training
that goes on after a kill first puts the file back to the state of the checkpoint, so that
no epoch is in it twice.
"""

import json
from pathlib import Path
from typing import Any, Literal, get_args

from romae.errors import MissingDependencyError, OptionError
from romae.files import atomic_file

FILE = "metrics.jsonl"
Metrics = Literal["jsonl", "tensorboard"]
METRICS = get_args(Metrics)


class Curve:
    """Writes records of a training to ``folder``; without a folder, nowhere."""

    def __init__(self, folder: Path | None, kind: Metrics, past: list[dict[str, float]]) -> None:
        if kind == "tensorboard" and folder is None:
            raise OptionError(
                "train.metrics is 'tensorboard' and there is no folder to write to. Expected one: "
                "type fit(..., checkpoint='training'), on the command line --checkpoint training."
            )
        self.path = None if folder is None else folder / FILE
        self.board = _board(folder, past) if kind == "tensorboard" and folder else None
        if self.path is not None:
            with atomic_file(self.path, overwrite=True) as temporary:
                temporary.write_text("".join(map(_line, past)))

    def add(self, record: dict[str, float]) -> None:
        """One more epoch."""
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(_line(record))
        if self.board is not None:
            for name in record.keys() - {"epoch", "step"}:
                self.board.add_scalar(name, record[name], int(record["step"]))
            self.board.flush()

    def close(self) -> None:
        """Let go of the files."""
        if self.board is not None:
            self.board.close()


def _line(record: dict[str, float]) -> str:
    return json.dumps(record) + "\n"


def _board(folder: Path, past: list[dict[str, float]]) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError(
            "train.metrics is 'tensorboard' and the package tensorboard is not installed. Type: "
            "pip install tensorboard; or leave it out, metrics.jsonl is always written"
        ) from error
    start = int(past[-1]["step"]) + 1 if past else 0
    return SummaryWriter(folder / "tensorboard", purge_step=start)
