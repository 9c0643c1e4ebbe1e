"""One optimiser update, and a watch for numbers that are not finite.

    g = grad objective(theta, x, progress),   g <- g min(1, clip / |g|),   theta <- rule(theta, g)

The random numbers of an update are seeded by (seed, step, rank) and depend on nothing before it.

With ``precision="bf16"`` products and convolutions are computed in bfloat16 (8 bits of
mantissa) and everything else, the weights and their update included, in float32. Which
weights are the best is decided in float32 in any case.

Loss and |g| are looked at before the weights change on a CPU, where that is free, and
every ``LOOK`` updates on a GPU, which else would wait for the host.
"""

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from romae.errors import OptionError, TrainingError
from romae.nets.dense import stack_layers
from romae.train.checkpoint import State
from romae.train.config import TrainConfig
from romae.train.optimiser import Optimiser
from romae.train.ranks import Ranks

FEW = 8  # tensors, up to which one by one is faster than the lists of torch
LOOK = 50  # updates between two looks at the losses on a GPU

Objective = Callable[[nn.Module, Tensor, float], Tensor]


class Batches(Protocol):
    """What the loop asks of a feed."""

    updates: int  # batches per epoch
    sizes: list[int]  # snapshots of each batch, over all ranks
    world: int  # ranks among which each batch is shared

    def epoch(self, number: int, *, skip: int = 0) -> Iterator[Tensor]:
        """This rank's part (B, ...) of each batch but the first ``skip``; by ``number`` alone."""
        ...


class Update:
    """theta <- AdamW or Muon(theta, g) for ``module`` in place; see the module."""

    def __init__(
        self,
        module: nn.Module,
        objective: Objective,
        data: Batches,
        config: TrainConfig,
        ranks: Ranks,
    ) -> None:
        self.module, self.objective, self.data = module, objective, data
        self.config, self.ranks = config, ranks
        if data.world != ranks.world:
            raise OptionError(
                f"{ranks.world} processes train, and the feed shares its batches among "
                f"{data.world}. Make it with rank={ranks.rank}, world={ranks.world}."
            )
        self.total = config.updates_for(data.updates)
        self.stacks = stacks = stack_layers(module)
        within = {id(p) for stack in stacks for p in stack.parameters()}
        wanted = (p for p in module.parameters() if p.requires_grad and id(p) not in within)
        self.parameters: list[Tensor] = [*(stack.theta for stack in stacks), *wanted]
        self.device = self.parameters[0].device
        self.optimiser = Optimiser(self.parameters, config, stacks)
        self._unseen: list[Tensor] = []  # (loss, |g|) of updates that nobody has looked at

    def __call__(self, x: Tensor, state: State) -> None:
        """Update by this rank's part ``x`` of the batch at ``state.step``, and count it."""
        config, step = self.config, state.step
        seed(self.device, config.seed, step, self.ranks.rank)
        before = [b.clone() for b in self._buffers()]
        share = 1.0
        if self.ranks.world > 1:
            share = len(x) / self.data.sizes[step % self.data.updates]
        self.optimiser.zero_grad()
        loss = self._descend(x, share)
        if loss is None:
            with autocast(self.device, config):
                loss = self.objective(self.module, x, step / self.total) * share
            loss.backward()
            for stack in self.stacks:
                stack.collect()
            loss = loss.detach().float()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        changes = [b - a for b, a in zip(self._buffers(), before, strict=True)]
        self.ranks.add([*gradients, loss, *changes])
        for b, a, change in zip(self._buffers(), before, changes, strict=True):
            b.copy_(a + change / self.ranks.world)
        norm = total_norm(gradients)
        self._unseen.append(torch.stack([loss, norm]))
        state.step += 1
        if self.device.type == "cpu" or len(self._unseen) == LOOK:
            self.look(state, x)
        if self.device.type != "cpu" or norm > config.clip:  # a GPU must not wait for the answer
            clip(self.parameters, config.clip, norm)
        self.optimiser.step(config.rate(step, self.total))

    def _descend(self, x: Tensor, share: float) -> Tensor | None:
        """Loss by the module's own derivatives, if it has any for this batch; else None."""
        own: Callable[[Tensor, float], Tensor | None] | None
        own = getattr(self.module, "descend", None)
        if own is None or self.config.precision != "float32":
            return None
        with torch.no_grad():
            return own(x, share)

    def _buffers(self) -> list[Tensor]:
        """What the module may change by itself while training and the ranks then average."""
        if self.ranks.world == 1:
            return []
        return [b for b in self.module.buffers() if b.is_floating_point()]

    def look(self, state: State, x: Tensor | None = None) -> None:
        """Add the losses since the last look to ``state``; ``x`` is the batch of the last one.

        Raises :class:`TrainingError` that names the first one that is not finite.
        """
        if not self._unseen:
            return
        values = torch.stack(self._unseen).tolist()
        self._unseen.clear()
        for i, (loss, norm) in enumerate(values):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                last = i == len(values) - 1
                self._fail(state.step - len(values) + i, loss, x if last else None)
            state.loss += loss

    def _fail(self, step: int, loss: float, x: Tensor | None) -> None:
        epoch, batch = divmod(step, self.data.updates)
        what = f"loss became {loss}" if not math.isfinite(loss) else "gradient became infinite"
        seen = ""
        locate: Callable[[int, int], str] | None = getattr(self.data, "locate", None)
        if locate is not None:
            seen = f" It holds {locate(epoch, batch)}."
        advice = f"Try a smaller learning rate, for example train.lr={self.config.lr / 4:g}."
        if x is not None and not torch.isfinite(x).all():
            rows = torch.isfinite(x.flatten(1)).all(1).logical_not().nonzero().flatten().tolist()
            advice = (
                f"The batch itself is not finite in rows {rows[:8]} of {len(x)}; look at the data "
                f"with `romae info`."
            )
        raise TrainingError(
            f"the training {what} in epoch {epoch + 1}, batch {batch + 1} of {self.data.updates}."
            f"{seen} Expected finite numbers. {advice}"
        )


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """|g| over all of them, a scalar."""
    if len(gradients) > FEW:
        return nn.utils.get_total_norm(gradients)
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))


def clip(parameters: Sequence[Tensor], most: float, norm: Tensor) -> None:
    """g <- g min(1, most / |g|)."""
    if len(parameters) > FEW:
        nn.utils.clip_grads_with_norm_(parameters, most, norm)
        return
    scale = (most / (norm + 1e-6)).clamp_max(1)
    for p in parameters:
        if p.grad is not None:
            p.grad.mul_(scale)


def autocast(device: torch.device, config: TrainConfig) -> AbstractContextManager[None]:
    """Where products are computed in the precision of ``config``."""
    if config.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def seed(device: torch.device, *key: int) -> None:
    """Seed torch's generators for ``device`` by numbers that name the occasion.

    Not torch.manual_seed, which asks for every kind of device and takes longer than a small update.
    """
    value = zlib.crc32(repr(key).encode())
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        torch.cuda.manual_seed(value)
