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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from romae.errors import TrainingError
from romae.progress import track
from romae.train import checkpoint as files
from romae.train.config import TrainConfig

Objective = Callable[[nn.Module, Tensor, float], Tensor]


class Batches(Protocol):
    """What the loop asks of a feed."""

    updates: int  # batches per epoch

    def epoch(self, number: int) -> Iterator[Tensor]:
        """Batches (B, ...) of one epoch, in an order that depends on ``number`` alone."""
        ...


def train(
    module: nn.Module,
    objective: Objective,
    data: Batches,
    validation: Batches | None,
    config: TrainConfig,
    *,
    label: str = "training",
    data_id: str = "",
    folder: Path | None = None,
    report: Callable[[], dict[str, float]] = dict,
) -> list[dict[str, float]]:
    """Train ``module`` in place and leave it with its best weights, in evaluation mode.

    ``objective(module, x, progress)`` is a scalar, a mean over the batch. Without ``validation`` the
    training data choose the best weights. Parameters that ask for no gradient stay as they
    are. With ``folder`` the run is checkpointed there and continues, after a kill, to the
    same weights as an uninterrupted run.

    Returns one record per epoch: epoch, step, train (mean over the epoch), validation (at its
    end), seconds (since the start), and what ``report()`` says. Raises :class:`TrainingError` on a
    loss that is not finite, on a damaged checkpoint and on one of another run.
    """
    total_epochs = config.epochs_for(data.updates)
    total = total_epochs * data.updates
    device = next(module.parameters()).device
    judges = data if validation is None else validation
    optimiser = torch.optim.AdamW(
        _learning(module), lr=config.lr, weight_decay=config.weight_decay, fused=True
    )
    key = files.identity(module, config, data_id)
    state = (files.read(folder, module, optimiser, key) if folder else None) or files.State()
    if config.average and not state.average:
        state.average = _copy(module)
    started, saved = time.perf_counter() - state.seconds, time.perf_counter()
    with track(total_epochs, label) as bar, torch.random.fork_rng(devices=_cuda(device)):
        bar.advance(state.epoch)
        if not state.best:
            _judge(module, objective, judges, state, config.seed)
        while state.epoch < total_epochs and not _out_of_patience(state, config):
            loss = _one_epoch(module, objective, data, state, optimiser, config, total)
            state.epoch += 1
            held_out = _judge(module, objective, judges, state, config.seed)
            state.seconds = time.perf_counter() - started
            record = {"epoch": state.epoch, "step": state.epoch * data.updates, "train": loss}
            record |= {"validation": held_out, "seconds": state.seconds, **report()}
            state.history.append(record)
            bar.advance(1, train=loss, validation=held_out)
            if folder and time.perf_counter() - saved > config.checkpoint_seconds:
                files.write(folder, state, module, optimiser, key)
                saved = time.perf_counter()
    if folder:
        files.write(folder, state, module, optimiser, key)
    files.restore(module, state.best)
    module.eval()
    return state.history


def _one_epoch(
    module: nn.Module,
    objective: Objective,
    data: Batches,
    state: files.State,
    optimiser: torch.optim.Optimizer,
    config: TrainConfig,
    total: int,
) -> float:
    """One pass over the data; the mean of the training loss."""
    module.train()
    torch.manual_seed(config.seed * 1_000_003 + state.epoch)
    parameters = _learning(module)
    losses = []
    for i, x in enumerate(data.epoch(state.epoch)):
        step = state.epoch * data.updates + i
        for group in optimiser.param_groups:
            group["lr"] = config.rate(step, total)
        loss = objective(module, x, step / total)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, config.clip)
        optimiser.step()
        losses.append(loss.detach())
        if config.average:
            _blend(state.average, module, config.average)
    mean = float(torch.stack(losses).mean())
    if not math.isfinite(mean):
        first = next(i for i, v in enumerate(losses) if not torch.isfinite(v))
        raise TrainingError(
            f"the training loss became {mean} in epoch {state.epoch + 1}, batch {first + 1} of "
            f"{len(losses)}. Expected a finite number. Try a smaller learning rate, for example "
            f"train.lr={config.lr / 4:g}."
        )
    return mean


@torch.no_grad()
def _judge(
    module: nn.Module, objective: Objective, validation: Batches, state: files.State, seed: int
) -> float:
    """Validation loss of the (averaged) weights, which are kept when they are the best."""
    module.eval()
    torch.manual_seed(seed)
    raw = _copy(module) if state.average else None
    if raw is not None:
        files.restore(module, state.average)
    pairs = [(float(objective(module, x, 1.0)), len(x)) for x in validation.epoch(0)]
    loss = sum(v * n for v, n in pairs) / sum(n for _, n in pairs)
    if not math.isfinite(loss):
        raise TrainingError(
            f"the validation loss is {loss} after {state.epoch} epochs. Expected a finite "
            f"number. Try a smaller learning rate (train.lr), and look for extreme values in the "
            f"validation data with `romae info`."
        )
    if loss < state.best_loss:
        state.best_loss, state.best_epoch, state.best = loss, state.epoch, _copy(module)
    if raw is not None:
        files.restore(module, raw)
    return loss


def _out_of_patience(state: files.State, config: TrainConfig) -> bool:
    return config.patience is not None and state.epoch - state.best_epoch >= config.patience


def _learning(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in files.trained(module).items()}


@torch.no_grad()
def _blend(average: dict[str, Tensor], module: nn.Module, decay: float) -> None:
    for name, value in files.trained(module).items():
        average[name].lerp_(value, 1 - decay)


def _cuda(device: torch.device) -> list[int]:
    """Devices whose generators the loop must leave as it found them."""
    return [device.index or 0] if device.type == "cuda" else []
