"""The training loop: module + objective + feed.

    for each epoch, for each batch x:   theta <- AdamW(theta, grad objective(x, progress))

progress in [0, 1) is the share of updates done, for terms that warm up. After each epoch the
validation objective, at progress 1 and with the same random numbers every time, decides whether
these are the best weights so far, those of the start included; at the end the module holds the
best, not the last.

Sources: Loshchilov & Hutter 2019 (AdamW, cosine); Izmailov et al. 2018 (averaged weights).
"""

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from romae.errors import TrainingError
from romae.nets.dense import unstack_layers
from romae.progress import Task, silent, track
from romae.train import checkpoint as files
from romae.train.config import TrainConfig
from romae.train.denormal import flushed
from romae.train.metrics import Curve
from romae.train.ranks import join
from romae.train.update import Batches, Objective, Update, seed

SHOW_EVERY = 0.5  # seconds between two steps of the progress bar within an epoch


def train(
    module: nn.Module,
    objective: Objective,
    data: Batches,
    validation: Batches | None,
    config: TrainConfig,
    *,
    label: str = "training",
    data_id: str | files.Told = "",
    folder: Path | None = None,
    report: Callable[[], dict[str, float]] = dict,
) -> list[dict[str, float]]:
    """Train ``module`` in place and leave it with its best weights, in evaluation mode.

    ``objective(module, x, progress)`` is a scalar, a mean over the batch. Without ``validation``
    the training data choose the best weights. Parameters that ask for no gradient stay as they
    are. With ``folder`` the run is checkpointed there and continues, after a kill, to the
    same weights as an uninterrupted run; the records are in its ``metrics.jsonl`` too. ``data_id``
    says which data these are, or part by part all that the module and ``config`` do not tell.

    Under torchrun every process calls this with its part of the feed (``rank``, ``world``) and ends
    with the same weights.

    Returns one record per epoch, the last of which may be cut short: epoch, step, train (mean over
    the epoch), validation (at its end), seconds (since the start), and what ``report()`` says.
    Raises :class:`TrainingError` on a loss or gradient that is not finite, and leaves the best
    weights before it; on a damaged checkpoint and on one of another run.
    """
    ranks = join()
    try:
        update = Update(module, objective, data, config, ranks)
        run = _Run(update, data if validation is None else validation, folder, data_id, report)
        with flushed(), run.quietly(label) as bar:
            try:
                run.to_the_end(bar)
            finally:
                files.restore(module, run.state.best or files.trained(module))
                module.eval()
                run.curve.close()
    finally:
        unstack_layers(module)
    return run.state.history


class _Run:
    """One training from where its checkpoint says to its end."""

    def __init__(
        self,
        update: Update,
        judges: Batches,
        folder: Path | None,
        data_id: str | files.Told,
        report: Callable[[], dict[str, float]],
    ) -> None:
        self.report = report
        self.update, self.judges, self.module = update, judges, update.module
        self.config, self.ranks, self.data = update.config, update.ranks, update.data
        self.folder = folder if self.ranks.first else None
        self.key = files.identity(self.module, self.config, data_id)
        found = self.ranks.tell(files.content(self.folder) if self.folder else None)
        self.state = files.State()
        if found is not None:
            self.state = files.read(
                found, folder or Path(), self.module, update.optimiser, self.key
            )
        self.ranks.follow(self.module.state_dict().values())
        if self.config.average and not self.state.average:
            self.state.average = _copy(self.module)
        metrics = self.config.metrics if self.ranks.first else "jsonl"
        self.curve = Curve(self.folder, metrics, self.state.history)
        self.started = time.perf_counter() - self.state.seconds
        self.saved = time.perf_counter()

    @contextmanager
    def quietly(self, label: str) -> Iterator[Task]:
        """Progress of the first rank; the generators are left as they were."""
        device = self.update.device
        cuda = [device.index or 0] if device.type == "cuda" else []
        with (
            nullcontext() if self.ranks.first else silent(),
            torch.random.fork_rng(devices=cuda),
            track(self.update.total, label) as bar,
        ):
            yield bar

    def to_the_end(self, bar: Task) -> None:
        """Epoch after epoch, from ``state.step`` on."""
        state = self.state
        bar.advance(state.step)
        if not state.best:
            self.judge()
        while state.step < self.update.total and not self._out_of_patience():
            record = self.epoch(bar)
            state.history.append(record)
            self.curve.add(record)
            if time.perf_counter() - self.saved > self.config.checkpoint_seconds:
                self.save()
        self.save()

    def epoch(self, bar: Task) -> dict[str, float]:
        """The rest of the present epoch, as far as ``steps`` goes; its record."""
        state, config, data = self.state, self.config, self.data
        number, done = divmod(state.step, data.updates)
        left = min(data.updates - done, self.update.total - state.step)
        shown, shown_at = state.step, time.perf_counter()
        self.module.train()
        with closing(cast(Generator[Tensor], data.epoch(number, skip=done))) as batches:
            for last, x in zip(range(left - 1, -1, -1), batches, strict=False):
                self.update(x, state)
                if config.average:
                    _blend(state.average, self.module, config.average)
                now = time.perf_counter()
                if now - shown_at > SHOW_EVERY:
                    bar.advance(state.step - shown)
                    shown, shown_at = state.step, now
                if last and now - self.saved > config.checkpoint_seconds:
                    self.save()
        self.update.look(state)
        loss, state.loss = state.loss / (done + left), 0.0
        held_out = self.judge()
        state.seconds = time.perf_counter() - self.started
        bar.advance(state.step - shown, train=loss, validation=held_out)
        record = {"epoch": number + 1, "step": state.step, "train": loss}
        return record | {"validation": held_out, "seconds": state.seconds, **self.report()}

    @torch.no_grad()
    def judge(self) -> float:
        """Validation loss of the (averaged) weights, which are kept when they are the best."""
        module, state, ranks = self.module, self.state, self.ranks
        module.eval()
        seed(self.update.device, self.config.seed, -1, ranks.rank if self.judges.world > 1 else 0)
        raw = _copy(module) if state.average else None
        if raw is not None:
            files.restore(module, state.average)
        pairs = [
            (float(self.update.objective(module, x, 1.0)), len(x)) for x in self.judges.epoch(0)
        ]
        sums = torch.tensor([sum(v * n for v, n in pairs), sum(n for _, n in pairs)]).double()
        ranks.add([sums])
        loss = float(sums[0] / sums[1])
        epochs = math.ceil(state.step / self.data.updates)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the validation loss is {loss} after {epochs} epochs. Expected a finite "
                f"number. Try a smaller learning rate (train.lr), and look for extreme values in "
                f"the validation data with `romae info`."
            )
        if loss < state.best_loss:
            state.best_loss, state.best_epoch, state.best = loss, epochs, _copy(module)
        if raw is not None:
            files.restore(module, raw)
        return loss

    def save(self) -> None:
        """Checkpoint of this moment, where there is a folder."""
        if self.folder is not None:
            self.update.look(self.state)  # nothing that is not finite is ever written
            self.state.seconds = time.perf_counter() - self.started
            files.write(self.folder, self.state, self.module, self.update.optimiser, self.key)
        self.saved = time.perf_counter()

    def _out_of_patience(self) -> bool:
        epochs, patience = self.state.step // self.data.updates, self.config.patience
        return patience is not None and epochs - self.state.best_epoch >= patience


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in files.trained(module).items()}


@torch.no_grad()
def _blend(average: dict[str, Tensor], module: nn.Module, decay: float) -> None:
    for name, value in files.trained(module).items():
        average[name].lerp_(value, 1 - decay)
