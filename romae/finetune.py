"""Joint fine-tuning: a reducer and its dynamics, each at its own optimum, trained on together.

    z_t   = E(x_t),  zn = (z - m) / s                      m, s: as the dynamics have them, fixed
    z^_c+j = f^j(zn_1 .. zn_c)                             rollout from a window of c states
    R     = mean_t |x_t - D(z_t)|_W^2,   P = mean_{j <= M} |x_{c+j} - D(s z^_{c+j} + m)|_W^2
    min   R / R_0 + P / P_0                                over the weights of E, D and f

R_0 and P_0 are what the separate optima reach on validation windows. Forecasts are compared as
fields: compared as latents, E could make them easy by making them small. The weights kept are
those with the smallest max(R / R_0, P / P_0) on validation windows, those of the start, at 1,
included: neither is ever worse there than before, and when nothing better is found nothing changes.

Helps where the reducer spends latents on what cannot be forecast. Costs c + 2 M passes of the
decoder for each window; the coordinates in which the reducer trains are held in memory.

Source: A. Racca, N. Doan, L. Magri, Predicting turbulent dynamics with the convolutional
autoencoder echo state network, 2023, train apart; P. Conti et al., Reduced order modeling of
parametrized systems through autoencoders and SINDy, 2023, together. Deviates from the latter in
starting from separate optima, and in what is kept.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from romae.dynamics import Dynamics
from romae.dynamics.perturbed import one_step_error
from romae.dynamics.span import Span
from romae.dynamics.trained import Trained
from romae.dynamics.unrolled import roll
from romae.errors import DataError, OptionError
from romae.fields import Snapshots
from romae.reducers import Reducer
from romae.reducers.network_coder import NetworkCoder
from romae.train import TrainConfig, train

DEFAULT = TrainConfig(steps=300, lr=1e-4, batch=16, weight_decay=0.0)
EPOCH = 25  # updates between two validations
JUDGES, FEW = 48, 8  # windows of validation, and how many at a time
MEMORY = 4 << 30  # bytes of working coordinates
FINETUNED = "finetuned"  # in what the reducer says of its training


def settings(finetune: Any) -> TrainConfig:
    """What ``fit(finetune=)`` takes: True, a number of updates, or a TrainConfig."""
    if isinstance(finetune, TrainConfig):
        return finetune
    if finetune is True:
        return DEFAULT
    if isinstance(finetune, int) and finetune > 0:
        return replace(DEFAULT, steps=finetune)
    raise OptionError(
        f"finetune is {finetune!r}. Expected True, a number of updates such as 300, or "
        "romae.TrainConfig(steps=300, lr=1e-4)."
    )


def check(reducer: Reducer, dynamics: Dynamics, inputs: Any) -> None:
    """Refuse what cannot be tuned together, before anything is fitted. Raises OptionError."""
    if not isinstance(dynamics, Trained):
        raise OptionError(
            f"finetune: {dynamics.name} is not trained by gradients. Expected GRU, LSTM, "
            "Transformer or NeuralODE; type dynamics=romae.GRU(), or leave finetune out."
        )
    if not hasattr(reducer, "train") or type(reducer).along is not Reducer.along:
        raise OptionError(
            f"finetune: {reducer.name} is no autoencoder of single snapshots. Expected one such as "
            "romae.PODAutoencoder or romae.ConvAutoencoder, or leave finetune out."
        )
    if inputs is not None:
        raise OptionError("finetune works without inputs. Expected inputs=None, or no finetune.")


def finetune(
    reducer: Reducer,
    dynamics: Trained,
    data: Snapshots,
    validation: Snapshots | None,
    config: TrainConfig,
) -> tuple[Reducer, Trained, dict[str, Any]]:
    """Copies of both with the weights that are best together, and what was found.

    The findings: ``kept``, whether the weights are new; ``reconstruction`` and ``rollout``,
    relative errors (L2, of the fields) on validation windows, before and after; ``pod``, that of
    reconstruction by POD of the same size, which an autoencoder should not exceed; ``history``.
    Without ``validation`` the last fifth of the times is held out of this training.

    Raises OptionError and DataError for what cannot be tuned.
    """
    if not dynamics.dt.even:
        raise OptionError("finetune: the times are uneven. Resample them: fit(resample='6 h').")
    learn, judge = (data, validation) if validation is not None else data.split(0.8, 0.2)
    reducer, dynamics = copy.copy(reducer), copy.copy(dynamics)
    reducer.module = copy.deepcopy(reducer.module)
    module = _Joint(reducer, dynamics)
    length = dynamics.context + dynamics.unroll
    feeds = module.windows(learn, length, config, 0), module.windows(judge, length, config, 1)
    module.eval()
    with torch.no_grad():
        module.size = torch.stack(module.errors(next(feeds[1].epoch(0))))
        pod, norm = module.pod_error(feeds[1])
    reducer.module.requires_grad_(True)
    module.net.linear.requires_grad_(module.trains_linear)
    try:
        history = train(module, _objective, feeds[0], feeds[1], config, label="fine-tuning")
    finally:
        reducer.module.eval().requires_grad_(False)
    with torch.no_grad():
        before, after = module.size, torch.stack(module.errors(next(feeds[1].epoch(0))))
    kept = bool((after / before).max() < 1)
    told = {
        "kept": kept,
        "reconstruction": [float((e[0] / norm).sqrt()) for e in (before, after)],
        "rollout": [float((e[1] / norm).sqrt()) for e in (before, after)],
        "pod": float((pod / norm).sqrt()),
        "history": history,
    }
    if kept:
        module.hand_over(learn)
        reducer.training = {**reducer.training, FINETUNED: told["reconstruction"]}
        dynamics.reducer = reducer.identity
    return reducer, dynamics, told


def _objective(module: nn.Module, batch: Tensor, progress: float) -> Tensor:
    assert isinstance(module, _Joint)
    shares = torch.stack(module.errors(batch)) / module.size
    return shares.sum() if module.training else shares.max()


class _Joint(nn.Module):
    """Coder and stepping network as one module; a batch is the first rows (B,) of windows."""

    def __init__(self, reducer: Reducer, dynamics: Trained) -> None:
        super().__init__()
        self.reducer, self.dynamics = reducer, dynamics
        coder = reducer.module
        assert isinstance(coder, NetworkCoder)
        self.coder, device = coder, reducer.device
        with torch.random.fork_rng(devices=[]):
            net = dynamics._network(dynamics.linear, dynamics.bias).float()
        self.trains_linear = net.linear.requires_grad
        net.load_state_dict({n: torch.from_numpy(getattr(dynamics, n)) for n in net.state_dict()})
        self.net = net.to(device)
        span = dynamics.span
        self.mean = torch.from_numpy(span.mean).float().to(device)
        self.scale = torch.from_numpy(span.scale).float().to(device)
        self.size = torch.ones(2, device=device)
        self.rows: list[tuple[Tensor, Tensor]] = []  # of training and validation: w, drives

    def windows(self, data: Snapshots, length: int, config: TrainConfig, part: int) -> "_Windows":
        """Read ``data`` and say where windows of ``length`` states start."""
        _, x = next(iter(self.reducer.batches(data.isel(time=slice(0, 1)))))
        needed = 4 * sum(data.lengths) * self.coder.work(x)[0].numel()
        if needed > MEMORY:
            raise DataError(
                f"finetune holds the training data in memory, and those of {data.source} take "
                f"{needed / 2**30:.1f} GiB. Expected at most {MEMORY >> 30}; give fewer snapshots, "
                "or a PODAutoencoder, of which only coordinates are held."
            )
        with torch.no_grad():
            w = [(case, self.coder.work(x)) for case, x in self.reducer.batches(data)]
        law, table = self.dynamics._known["params"], data.params
        mu = None if law is None or table is None else law.normalise(table[list(law.names)])
        width = 0 if mu is None else mu.shape[1]
        drive = torch.zeros(sum(data.lengths), width)
        ends = np.cumsum(data.lengths)
        for i, (end, n) in enumerate(zip(ends, data.lengths, strict=True)):
            if mu is not None:
                drive[end - n : end] = torch.from_numpy(mu[i]).float()
        self.rows.append((torch.cat([x for _, x in w]), drive.to(self.mean.device)))
        cases = zip(ends, data.lengths, strict=True)
        starts = [s for end, n in cases for s in range(end - n, end - length + 1)]
        if not starts:
            raise DataError(
                f"finetune: cases of {', '.join(map(str, data.lengths))} snapshots hold no window "
                f"of {length} (context and unroll of {self.dynamics.name}). Give more, or a "
                "smaller unroll."
            )
        return _Windows(np.array(starts), length, config, part)

    def errors(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """R and P of windows (B, 1 + L): which part, then rows."""
        if self.training or len(batch) <= FEW:
            return self._errors(batch)
        sums = torch.zeros_like(self.size)
        for part in batch.split(FEW):
            sums += len(part) * torch.stack(self._errors(part))
        return sums[0] / len(batch), sums[1] / len(batch)

    def _errors(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        w, drive = self.rows[int(batch[0, 0])]
        at = batch[:, 1:].to(w.device)
        B, L = at.shape
        seen = w[at.flatten()]
        z = self.coder.codes(seen)
        if self.training and not z.requires_grad:
            raise OptionError(
                f"finetune: the latents of {self.reducer.name} have no gradient (codes). Expected "
                "another bottleneck, or no finetune."
            )
        lost = self.coder.distance(seen, self.coder.synthesise(self.coder.opened(z))).mean()
        zn = ((z - self.mean) / self.scale).reshape(B, L, -1)
        context = self.dynamics.context
        ahead = roll(self.net, zn, drive[at], context, L - context, 0.0)
        again = self.coder.opened((ahead * self.scale + self.mean).flatten(0, 1))
        truth = w[at[:, context:].flatten()]
        return lost, self.coder.distance(truth, self.coder.synthesise(again)).mean()

    def pod_error(self, feed: "_Windows") -> tuple[Tensor, Tensor]:
        """Mean |x - POD_k(x)|_W^2 and |x|_W^2 over the states of ``feed``, as fields."""
        rows, found = next(feed.epoch(0))[:, 1:].unique(), []
        for part in rows.split(64):
            x = self.coder.show(self.rows[feed.part][0][part])
            a = self.coder.basis.encode(x)
            a[:, self.reducer.latent :] = 0
            for y in (self.coder.basis.decode(a), torch.zeros_like(x)):
                found.append(NetworkCoder.distance(self.coder, x, y).sum() / len(rows))
        return torch.stack(found[::2]).sum(), torch.stack(found[1::2]).sum()

    def hand_over(self, data: Snapshots) -> None:
        """The trained weights to the dynamics; range and one-step error of the new latents."""
        model, span = self.dynamics, self.dynamics.span
        for name, p in self.net.named_parameters():
            setattr(model, name, p.detach().cpu().numpy().copy())
        w, drive = self.rows[0]
        with torch.no_grad():
            parts = [self.coder.codes(part) for part in w.split(256)]
        zn = span.normalise(torch.cat(parts).cpu().numpy().astype(float))
        model.span = Span(span.mean, span.scale, zn.min(axis=0), zn.max(axis=0))
        ends = np.cumsum(data.lengths)[:-1]
        sequences = np.split(zn, ends)
        mu = drive[np.cumsum([0, *data.lengths[:-1]])].cpu().numpy().astype(float)
        known = {"params": mu if mu.shape[1] else None, "inputs": None}
        model.step_error = one_step_error(model, sequences, known)


@dataclass
class _Windows:
    """Rows of windows, drawn anew for every update, or for validation spread evenly; a feed."""

    starts: np.ndarray
    length: int
    config: TrainConfig
    part: int  # 0: training, 1: validation
    world: int = 1

    def __post_init__(self) -> None:
        batch = self.config.batch or 16
        self.updates = 1 if self.part else EPOCH
        self.sizes = [min(JUDGES, len(self.starts)) if self.part else batch] * self.updates

    def epoch(self, number: int, *, skip: int = 0) -> Iterator[Tensor]:
        """Batches (B, 1 + length) of one epoch but the first ``skip``."""
        rng = np.random.default_rng([self.config.seed, number])
        for i, size in enumerate(self.sizes):
            picks = np.linspace(0, len(self.starts) - 1, size).astype(int)
            if not self.part:
                picks = rng.integers(len(self.starts), size=size)
            rows = self.starts[picks][:, None] + np.arange(self.length)
            batch = np.concatenate([np.full((size, 1), self.part), rows], axis=1)
            if i >= skip:
                yield torch.from_numpy(batch)

    def locate(self, number: int, batch: int) -> str:
        """What an error says of a batch."""
        return f"the windows of update {number * EPOCH + batch + 1}"
