"""A gated recurrent network that steps the latents, trained on its own rollouts.

    h_{t+1} = GRU(z_t, h_t)             h (H,), h = 0 at the start of the context
    z_{t+1} = z_t + W h_{t+1} + b       W = 0, b = 0 at first: training starts at persistence

    loss = mean over m = 1 .. M of || z_{t+m} - z^_{t+m} ||^2

where z^ are fed back from the network itself: M grows from 8 to ``unroll`` in training
(8 and more keep long rollouts stable, 4 and fewer do not). Noise on everything fed in
teaches it to return to the attractor. The last rows of every case are kept for validation;
the weights with the best rollout there are kept.

Trained in float32; a forecast runs in numpy float64, which for a single small state is
faster than a tensor library and needs none.
"""

import math
from typing import Any

import numpy as np

from romae.dynamics.base import Dynamics
from romae.errors import OptionError, TrainingError
from romae.progress import track

FIRST_UNROLL = 8
BATCH = 64
CHECK_EVERY = 50  # updates between two validations
VALIDATION = 0.15  # of every case, at its end


class GRU(Dynamics):
    """Gated recurrent unit with a residual step and unrolled training.

    ``hidden``: H. ``context``: steps that set the hidden state before a forecast. ``unroll``:
    longest rollout in training, M. ``updates``: optimiser steps. ``noise``: on the inputs, in
    standard deviations of the latents. ``device``: a torch device for training.

    Source: K. Cho et al., Learning phrase representations using RNN encoder-decoder, 2014; noise:
    A. Sanchez-Gonzalez et al., Learning to simulate complex physics with graph networks, 2020.
    """

    fitted = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_out", "bias_out")
    weight_ih: np.ndarray  # (3 H, k), gates in the order reset, update, new; float32
    weight_hh: np.ndarray  # (3 H, H)
    bias_ih: np.ndarray  # (3 H,)
    bias_hh: np.ndarray  # (3 H,)
    weight_out: np.ndarray  # (k, H)
    bias_out: np.ndarray  # (k,)

    def __init__(
        self,
        hidden: int = 64,
        *,
        context: int = 16,
        unroll: int = 48,
        updates: int = 1000,
        learning_rate: float = 5e-3,
        noise: float = 0.003,
        seed: int = 0,
        device: str = "cpu",
    ):
        if min(hidden, context, unroll, updates) < 1 or learning_rate <= 0 or noise < 0:
            raise OptionError(
                f"GRU(hidden={hidden}, context={context}, unroll={unroll}, updates={updates}, "
                f"learning_rate={learning_rate}, noise={noise}). Expected the first four to be at "
                "least 1, a positive learning rate and noise of at least 0."
            )
        self.hidden, self.context, self.unroll, self.updates = hidden, context, unroll, updates
        self.learning_rate, self.noise, self.seed, self.device = learning_rate, noise, seed, device

    @property
    def minimum(self) -> int:
        return self.context + FIRST_UNROLL

    def _fit(self, sequences: list[np.ndarray]) -> None:
        import torch

        generator = torch.Generator().manual_seed(self.seed)  # never the global one
        device = torch.device(self.device)
        weights = self._initial(sequences[0].shape[1], generator, device)
        data, starts, tests = _plan(sequences, self.context, self.unroll)
        Z = torch.from_numpy(data.astype(np.float32))
        test = Z[tests].to(device).transpose(0, 1)  # (context + horizon, B, k)
        optimiser = torch.optim.AdamW(weights.values(), lr=self.learning_rate, weight_decay=1e-4)
        best, kept = math.inf, {}
        with track(self.updates, "GRU") as task:
            for update in range(self.updates):
                progress = update / self.updates
                optimiser.param_groups[0]["lr"] = self.learning_rate * _rate(progress)
                length = min(_length(progress, self.unroll), int(starts[:, 1].max()))
                usable = starts[starts[:, 1] >= length, 0]
                pick = torch.randint(len(usable), (BATCH,), generator=generator)
                rows = usable[pick, None] + torch.arange(self.context + length)
                batch = Z[rows].transpose(0, 1)
                noise = self.noise * torch.randn(batch.shape, generator=generator)
                loss = _loss(weights, batch.to(device), self.context, noise.to(device))
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
                optimiser.step()
                value = loss.item()
                if (update + 1) % CHECK_EVERY and update + 1 < self.updates:
                    task.advance()
                    continue
                with torch.no_grad():
                    error = _loss(weights, test, self.context, None).item()
                self.history.append({"update": update + 1, "loss": value, "error": error})
                task.advance(error=error)
                if error < best:
                    best = error
                    kept = {n: w.detach().cpu().numpy().copy() for n, w in weights.items()}
        if not kept:
            raise TrainingError(
                f"GRU: the validation error is {error} after {self.updates} updates. Expected a "
                f"finite one; try a smaller learning_rate than {self.learning_rate:g}."
            )
        for name in self.fitted:
            setattr(self, name, kept[name])

    def _initial(self, k: int, generator: Any, device: Any) -> dict[str, Any]:
        import torch

        H, bound = self.hidden, 1 / math.sqrt(self.hidden)
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (3 * H, k), "weight_hh": (3 * H, H)}
        shapes |= {"bias_ih": (3 * H,), "bias_hh": (3 * H,)}
        weights = {
            n: (2 * torch.rand(s, generator=generator) - 1) * bound for n, s in shapes.items()
        }
        weights |= {"weight_out": torch.zeros(k, H), "bias_out": torch.zeros(k)}
        return {n: w.to(device).requires_grad_() for n, w in weights.items()}

    def _rollout(self, history: np.ndarray, steps: int) -> np.ndarray:
        W, b, V, c, Wo, bo = (getattr(self, n).astype(np.float64) for n in _ORDER)
        H, past = self.hidden, len(history)
        h, out = np.zeros(H), np.empty((steps, history.shape[1]))
        for t in range(past - 1 + steps):
            z = history[t] if t < past else out[t - past]
            x, y = W @ z + b, V @ h + c
            # a sigmoid that cannot overflow
            gates = 0.5 + 0.5 * np.tanh(0.5 * (x[: 2 * H] + y[: 2 * H]))
            new = np.tanh(x[2 * H :] + gates[:H] * y[2 * H :])
            h = new + gates[H:] * (h - new)
            if t >= past - 1:
                out[t - past + 1] = z + Wo @ h + bo
        return out


_ORDER = ("weight_ih", "bias_ih", "weight_hh", "bias_hh", "weight_out", "bias_out")


def _loss(weights: dict[str, Any], batch: Any, context: int, noise: Any) -> Any:
    """Mean squared error of the rollout after ``context`` rows of ``batch`` (context + M, B, k)."""
    import torch

    w = weights
    h = batch.new_zeros(batch.shape[1], w["weight_hh"].shape[1])
    z, total = batch[0], batch.new_zeros(())
    for t in range(len(batch) - 1):
        if t < context:
            z = batch[t]
        fed = z if noise is None else z + noise[t]
        h = torch.gru_cell(fed, h, w["weight_ih"], w["weight_hh"], w["bias_ih"], w["bias_hh"])
        z = fed + torch.nn.functional.linear(h, w["weight_out"], w["bias_out"])
        if t >= context - 1:
            total = total + torch.mean((z - batch[t + 1]) ** 2)
    return total / (len(batch) - context)


def _plan(sequences: list[np.ndarray], context: int, unroll: int) -> tuple[np.ndarray, Any, Any]:
    """All rows joined (T, k); [row, longest unroll] of the training windows; validation rows."""
    import torch

    starts, offset = [], 0
    held = [min(max(FIRST_UNROLL, round(VALIDATION * len(z))), len(z) - context) for z in sequences]
    horizon = min([*held, 2 * unroll])
    tests = []
    for z, tail in zip(sequences, held, strict=True):
        train = len(z) - tail
        if train < context + FIRST_UNROLL:  # too short to spare rows: validate on what it learns
            train = len(z)
        ends = train - context - np.arange(max(0, train - context - FIRST_UNROLL + 1))
        starts.append(np.stack([offset + np.arange(len(ends)), ends], axis=1))
        last = len(z) - context - horizon
        for start in range(len(z) - tail - context, last + 1, max(1, horizon // 4)):
            tests.append(offset + start + np.arange(context + horizon))
        offset += len(z)
    rows = torch.from_numpy(np.concatenate(starts))
    some = tests[:: math.ceil(len(tests) / BATCH)]
    return np.concatenate(sequences), rows, torch.from_numpy(np.stack(some))


def _rate(progress: float) -> float:
    """Cosine from 1 to 0 after a short rise."""
    return min(1.0, progress / 0.05 + 0.05) * 0.5 * (1 + math.cos(math.pi * progress))


def _length(progress: float, unroll: int) -> int:
    """Curriculum: FIRST_UNROLL, doubled in equal stages, ``unroll`` in the last half."""
    if progress >= 0.5:
        return unroll
    first = min(FIRST_UNROLL, unroll)
    doublings = math.floor(2 * progress * (1 + math.log2(unroll / first)))
    return min(unroll, first * 2**doublings)
