"""Training of a stepping network on its own rollouts, by the loop of :mod:`romae.train`.

    z^_0 = z_0 + e_0,    z^_{n+1} = f(z^_n) + e_{n+1}         e: noise, of size ``noise``
    loss = mean over windows and n = 1 .. M of || z_n - f(z^_{n-1}) ||^2

M grows from 1 to ``unroll`` in the first half of the training. Gradients flow back through at
most ``TRUNCATE`` steps. Noise on everything that is fed teaches the rollout to return to the
data. The tail of every case is held out: rollouts there decide which weights are kept.

Sources: A. Sanchez-Gonzalez et al., Learning to simulate complex physics with graph networks,
2020 (noise); P. R. Vlachas et al., Backpropagation algorithms and reservoir computing in recurrent
neural networks for the forecasting of complex spatiotemporal dynamics, 2020 (truncation).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from romae.feed.order import share
from romae.nets.steps import Step
from romae.train import TrainConfig, train
from romae.train.ranks import join

EPOCH = 50  # updates between two validations
TRUNCATE = 16
VALIDATION = 0.15  # of every case, at its end
JUDGES = 64  # rollouts of validation
HORIZON = 8  # rollouts of validation are so many times as long as ``unroll``, data permitting


@dataclass
class Windows:
    """Windows of ``length`` rows out of all cases, drawn anew for every update; a feed.

    ``rows`` (T, k + m): all cases joined. ``starts`` (N,) and ``ends`` (N,): first row of each
    window and end of its case, at which it may be cut short. A batch is (B, length, k + m + 1):
    the last channel is 1, and 0 behind the end.
    """

    rows: Tensor
    starts: Tensor
    ends: Tensor
    length: int
    batch: int
    updates: int
    seed: int | None  # None: every window once, in order
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        self.sizes = [self.batch] * self.updates

    def epoch(self, number: int, *, skip: int = 0) -> Iterator[Tensor]:
        """Batches of one epoch but the first ``skip``; this rank's part."""
        N, shape = len(self.starts), (self.updates, self.batch)
        if self.seed is None:
            picks = torch.arange(N).reshape(shape)
        else:
            generator = torch.Generator().manual_seed((self.seed + 1) * 1_000_003 + number)
            picks = torch.randint(N, shape, generator=generator)
        first, last = share(self.batch, self.rank, self.world)
        for pick in picks[skip:, first:last]:
            yield self._gather(pick.to(self.starts.device))

    def _gather(self, pick: Tensor) -> Tensor:
        at = self.starts[pick, None] + torch.arange(self.length, device=pick.device)
        last = self.ends[pick, None] - 1
        seen = (at <= last).to(self.rows.dtype)
        return torch.cat([self.rows[at.minimum(last)], seen[..., None]], -1)

    def locate(self, epoch: int, batch: int) -> str:
        """What an error says of a batch."""
        return f"the windows of update {epoch * EPOCH + batch + 1}"


def windows(
    sequences: list[np.ndarray],
    drives: list[np.ndarray],
    *,
    context: int,
    unroll: int,
    batch: int,
    seed: int,
    device: torch.device,
) -> tuple[Windows, Windows]:
    """Feeds of training and of validation, by the held-out tail of each case that can spare it."""
    joined = [np.concatenate(pair, axis=1) for pair in zip(sequences, drives, strict=True)]
    rows = torch.from_numpy(np.concatenate(joined).astype(np.float32)).to(device)
    ends = np.cumsum([len(z) for z in sequences])
    held = [max(unroll, round(VALIDATION * len(z))) for z in sequences]
    # a case too short to spare rows is judged on what it learns
    spare = [len(z) - h >= context + unroll for z, h in zip(sequences, held, strict=True)]
    held = [min(h, len(z) - context) for z, h in zip(sequences, held, strict=True)]
    horizon = min(max(held), HORIZON * unroll)
    train, judge = [], []
    for z, end, tail, apart in zip(sequences, ends, held, spare, strict=True):
        begin, stop = end - len(z), end - tail if apart else end
        train += [(s, stop) for s in range(begin, stop - context)]
        last = max(end - tail - context, end - horizon - context)
        judge += [(s, end) for s in range(end - tail - context, last + 1, max(1, horizon // 4))]
    judge = judge[:: math.ceil(len(judge) / JUDGES)]
    ranks = join()
    s, e = torch.tensor(train, device=device).T
    learn = Windows(rows, s, e, context + unroll, batch, EPOCH, seed, ranks.rank, ranks.world)
    s, e = torch.tensor(judge, device=device).T
    return learn, Windows(rows, s, e, context + horizon, len(judge), 1, None)


@dataclass(frozen=True)
class RolloutError:
    """Objective: mean squared error of rollouts after ``context`` rows of a window.

    In validation the error of a state counts as 1, that of the mean, at most: what a chaotic
    rollout does beyond its horizon says nothing, and one that overflows is bad, no failure.
    ``drift`` says what long rollouts cost there.
    """

    latent: int
    context: int
    unroll: int
    noise: float
    drift: Callable[[Step], float] | None = None

    def __call__(self, net: nn.Module, batch: Tensor, progress: float) -> Tensor:
        z, x, seen = batch.split([self.latent, batch.shape[-1] - self.latent - 1, 1], dim=-1)
        steps = batch.shape[1] - self.context
        if net.training:
            steps = min(curriculum(progress, self.unroll), steps)
        found = roll(net, z, x, self.context, steps, self.noise if net.training else 0.0)
        truth = slice(self.context, self.context + steps)
        error = ((found - z[:, truth]) ** 2).mean(-1)
        if not net.training:
            error = error.nan_to_num(1.0).clamp(max=1.0)
        weight = seen[:, truth, 0]
        mean = (error * weight).sum() / weight.sum()
        if net.training or self.drift is None:
            return mean
        assert isinstance(net, Step)
        return mean + self.drift(net)


def roll(net: nn.Module, z: Tensor, x: Tensor, context: int, steps: int, noise: float) -> Tensor:
    """Rollout (B, steps, k) from the first ``context`` rows of z; x acts all along."""
    assert isinstance(net, Step)
    past = z[:, :context]
    if noise:
        past = past + noise * torch.randn_like(past)
    memory, state = net.start(past[:, :-1], x[:, : context - 1]), past[:, -1]
    found = []
    for n in range(steps):
        if n and n % TRUNCATE == 0:
            state, memory = state.detach(), _detached(memory)
        if n and noise:
            state = state + noise * torch.randn_like(state)
        state, memory = net(state, x[:, context - 1 + n], memory)
        found.append(state)
    return torch.stack(found, 1)


def curriculum(progress: float, unroll: int) -> int:
    """Steps of the rollout: 1, doubled in equal stages, ``unroll`` in the second half."""
    if progress >= 0.5:
        return unroll
    stages = math.ceil(math.log2(unroll)) + 1
    return int(min(unroll, 2 ** math.floor(2 * progress * stages)))


def fit_unrolled(
    net: Step,
    feeds: tuple[Windows, Windows],
    objective: RolloutError,
    config: TrainConfig,
    label: str,
) -> list[dict[str, float]]:
    """Train ``net`` in place; its records, with the error of the linear start beside."""
    training, judges = feeds
    net.eval()
    with torch.no_grad():
        linear = sum(float(objective(net, x, 1.0)) for x in judges.epoch(0))
    return train(
        net, objective, training, judges, config, label=label, report=lambda: {"linear": linear}
    )


def _detached(memory: object) -> object:
    if isinstance(memory, Tensor):
        return memory.detach()
    return type(memory)(map(_detached, memory)) if isinstance(memory, list | tuple) else memory
