"""What the models trained by gradient descent share: data, linear start, training, rollout.

    z_{n+1} = A [z_n, x_n] + b + g(z_n, x_n, past)       x (m,): parameters and inputs, if any
    min_{A, b} sum_n || z_{n+1} - A [z_n, x_n] - b ||^2   the start, where g = 0

So a training starts as the best linear map without growing modes, and keeps the start when
nothing better is found: in validation it is never worse than a linear model. Every
record of ``history`` has the error of that start, ``linear``, beside its own.

    error = MSE over the held-out tail + 0.1 max_i | log (s_i / sigma_i) |     at most 0.1 more

A cycle in the data says little of what happens beside it, so that networks which err alike over
some periods lose or gain size over hundreds. Where the data are stationary and nothing that changes
drives them, validation therefore also looks at s, the standard deviations late in rollouts of ten
thousand steps, and at sigma, those of the data; a difference of 1 % is none.

Training is that of :mod:`romae.dynamics.unrolled`, in float32; a forecast is one compiled loop
with states in float64 (:mod:`romae.dynamics.loops`).
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from romae.dynamics.base import Dynamics
from romae.dynamics.linear_start import driven, evenly, linear_map
from romae.dynamics.regression import stationary
from romae.errors import OptionError, TrainingError, check_whole

if TYPE_CHECKING:
    from romae.nets.steps import Step

WHOLE = {"hidden": 1, "layers": 1, "context": 1, "unroll": 1, "updates": 1, "seed": 0}
BATCH = 256  # windows per update
AVERAGE = 0.98  # decay of the running mean of the weights, which is judged and kept
# Share of the updates without a better rollout after which training stops. More than half: short
# rollouts at first may bring nothing on long ones.
PATIENCE = 0.6
LOOPS, TRIAL = 4, 10_000  # long rollouts that are looked at for drift, and their steps at most
DRIFT, NONE = 0.1, 0.01  # what an e-fold of amplitude counts, and how much of one is none


class Trained(Dynamics):
    """A network that steps the latents, trained on its own rollouts.

    A subclass stores its own arguments, names in ``fitted`` the parameters of the network
    that ``_network`` makes, and writes ``_loop``, its compiled rollout.

    ``context``: states that set the memory before a forecast. ``unroll``: longest rollout in
    training, M; 8 and more keep long rollouts stable, 4 and fewer may not. ``updates``:
    optimiser steps. ``noise``: on everything fed in training, in standard deviations of the
    latents. ``device``: a torch device for training, or "auto".
    """

    takes = frozenset({"params", "inputs"})
    vectors: ClassVar[frozenset[str]] = frozenset()  # of ``fitted``: one for each layer, no matrix
    optimiser: ClassVar[Literal["adamw", "muon"]] = "muon"

    unroll: int
    updates: int
    learning_rate: float
    noise: float
    seed: int
    device: str
    linear: np.ndarray
    bias: np.ndarray

    def _set(self, **arguments: Any) -> None:
        """Store the arguments, checked."""
        for name, value in arguments.items():
            if name in WHOLE:
                check_whole(f"{self.name}: {name}", value, WHOLE[name])
            setattr(self, name, value)
        if not self.learning_rate > 0 or not self.noise >= 0:
            raise OptionError(
                f"{self.name}(learning_rate={self.learning_rate}, noise={self.noise}). Expected a "
                "positive learning rate and noise of at least 0."
            )

    def _start(self, A: np.ndarray, b: np.ndarray, longest: float) -> tuple[np.ndarray, np.ndarray]:
        """Linear part of the network from the best linear step z -> A [z, x] + b.

        ``longest`` step to come, 1 unless times are uneven.
        """
        return A, b

    @property
    def _compiled(self) -> bool:
        """Whether ten thousand steps of ``_loop`` cost next to nothing."""
        return True

    @abstractmethod
    def _network(self, A: np.ndarray, b: np.ndarray) -> "Step":
        """The network with the linear part A (k, k + m), b (k,), and the rest at its start."""

    @abstractmethod
    def _loop(
        self, history: np.ndarray, x: np.ndarray, steps: int, *weights: np.ndarray
    ) -> np.ndarray:
        """Rollout (B, steps, k) by compiled code; ``weights`` as in ``fitted``, transposed."""

    def _fit(
        self,
        sequences: list[np.ndarray],
        *,
        params: np.ndarray | None = None,
        inputs: list[np.ndarray] | None = None,
        times: list[np.ndarray] | None = None,
    ) -> None:
        import torch

        from romae.dynamics.unrolled import RolloutError, fit_unrolled, windows
        from romae.feed import pick_device
        from romae.train import TrainConfig

        device = pick_device(self.device)
        drives = [_drive(z, params, inputs, i) for i, z in enumerate(sequences)]
        longest = 1.0 if times is None else max(float(np.diff(t).max()) for t in times)
        A, b = self._start(*linear_map(*evenly(sequences, drives, times)), longest)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            net = self._network(A, b).float().to(device)
        rows = drives
        if times is not None:  # the length of each step goes along
            net.timed = True
            rows = [
                np.column_stack([x, np.diff(t, append=t[-1] + 1)])
                for x, t in zip(drives, times, strict=True)
            ]
        feeds = windows(
            sequences, rows, context=self.context, unroll=self.unroll, batch=BATCH,
            seed=self.seed, device=device,
        )  # fmt: skip
        config = TrainConfig(
            steps=self.updates, optimiser=self.optimiser, lr=self.learning_rate,
            seed=self.seed, average=AVERAGE,
            patience=max(1, round(PATIENCE * self.updates / feeds[0].updates)),
        )  # fmt: skip
        drift = self._drift(sequences, drives)
        objective = RolloutError(A.shape[0], self.context, self.unroll, self.noise, drift)
        try:
            self.history = fit_unrolled(net, feeds, objective, config, self.name)
        except TrainingError as error:
            text = str(error).replace("train.lr", "learning_rate")
            raise TrainingError(f"{self.name}: {text}") from error
        self._adopt(net)

    def _adopt(self, net: "Step") -> None:
        """Take the weights of ``net``."""
        for name, p in net.named_parameters():
            setattr(self, name, p.detach().cpu().numpy().copy())

    def _drift(
        self, sequences: list[np.ndarray], drives: list[np.ndarray]
    ) -> Callable[["Step"], float] | None:
        """How far long rollouts of a network lose or gain size; None where data do not tell."""
        if driven(drives) or not self._compiled or not stationary(sequences):
            return None
        pick = np.unique(np.linspace(0, len(sequences) - 1, LOOPS).astype(int))
        C, steps = self.context, min(TRIAL, 25 * max(map(len, sequences)))
        history = np.stack([sequences[i][-C:] for i in pick])
        x = np.stack([np.repeat(drives[i][:1], C - 1 + steps, axis=0) for i in pick])
        size = np.mean([sequences[i].var(axis=0) for i in pick], axis=0)

        def drift(net: "Step") -> float:
            self._adopt(net)
            with np.errstate(all="ignore"):
                z = self._loop(history, x, steps, *self._weights())
                late = z[:, -steps // 4 :].var(axis=1).mean(axis=0)[size > 0]
                ratio = np.abs(np.log(late / size[size > 0])) / 2
            worst = float(np.nan_to_num(ratio, nan=1.0, posinf=1.0).max(initial=0.0))
            return DRIFT * max(0.0, min(worst, 1.0) - NONE)

        return drift

    def _rollout(
        self,
        history: np.ndarray,
        steps: int,
        *,
        params: np.ndarray | None = None,
        inputs: np.ndarray | None = None,
    ) -> np.ndarray:
        x = self._driven(len(history), history.shape[1] - 1 + steps, params, inputs)
        history = np.ascontiguousarray(history, dtype=np.float64)
        return self._loop(history, x, steps, *self._weights())

    def _driven(
        self, batch: int, rows: int, params: np.ndarray | None, inputs: np.ndarray | None
    ) -> np.ndarray:
        """x (B, rows, m): what acts from outside on each start."""
        parts = [np.empty((batch, rows, 0))]
        if params is not None:
            parts.append(np.repeat(params[:, None], rows, axis=1))
        if inputs is not None:
            parts.append(inputs[:, :rows])
        return np.concatenate(parts, axis=2).astype(np.float64)

    def _weights(self) -> list[np.ndarray]:
        """The parameters in float64, as the compiled rollout takes them."""
        weights = []
        for name in self.fitted:
            w = np.asarray(getattr(self, name), dtype=np.float64)
            transposed = w.ndim > 1 and name not in self.vectors
            weights.append(np.ascontiguousarray(w.swapaxes(-1, -2) if transposed else w))
        return weights

    def _by_torch(
        self, history: np.ndarray, x: np.ndarray, steps: int, *, timed: bool = False
    ) -> np.ndarray:
        """What ``_loop`` does, by the network that was trained, in float64."""
        import torch

        from romae.dynamics.unrolled import roll

        net = self._network(self.linear, self.bias).double().eval()
        net.timed = timed
        weights = {n: torch.from_numpy(getattr(self, n)).double() for n in net.state_dict()}
        net.load_state_dict(weights)
        with torch.no_grad():
            z, drive = torch.from_numpy(history), torch.from_numpy(x)
            return roll(net, z, drive, self.context, steps, 0.0).numpy()


def _drive(
    z: np.ndarray, params: np.ndarray | None, inputs: list[np.ndarray] | None, case: int
) -> np.ndarray:
    """What acts on case number ``case`` from outside, (T, m)."""
    parts = [np.empty((len(z), 0))]
    if params is not None:
        parts.append(np.tile(params[case], (len(z), 1)))
    if inputs is not None:
        parts.append(inputs[case])
    return np.concatenate(parts, axis=1)
