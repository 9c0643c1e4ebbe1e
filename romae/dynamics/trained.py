"""What the models trained by gradient descent share: data, linear start, training, rollout.

    z_{n+1} = A [z_n, x_n] + b + g(z_n, x_n, past)       x (m,): parameters and inputs, if any
    min_{A, b} sum_n || z_{n+1} - A [z_n, x_n] - b ||^2   the start, where g = 0

So a training starts as the best linear map with decaying modes, and keeps the start when
nothing better is found: on the held-out tail it is never worse than a linear model. Every
record of ``history`` has the error of that start, ``linear``, beside its own.

Training is that of :mod:`romae.dynamics.unrolled`, in float32; a forecast is one compiled loop
with states in float64 (:mod:`romae.dynamics.loops`).
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from romae.dynamics.base import Dynamics
from romae.errors import OptionError, TrainingError, check_whole

if TYPE_CHECKING:
    from romae.nets.steps import Step

WHOLE = {"hidden": 1, "layers": 1, "context": 1, "unroll": 1, "updates": 1, "seed": 0}
BATCH = 256  # windows per update
AVERAGE = 0.98  # decay of the running mean of the weights, which is judged and kept
# Share of the updates without a better rollout after which training stops. More than half: short
# rollouts at first may bring nothing on long ones.
PATIENCE = 0.6


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
        A, b = self._start(*linear_map(*_evenly(sequences, drives, times)), longest)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            net = self._network(A, b).float().to(device)
        if times is not None:  # the length of each step goes along
            net.timed = True
            drives = [
                np.column_stack([x, np.diff(t, append=t[-1] + 1)])
                for x, t in zip(drives, times, strict=True)
            ]
        feeds = windows(
            sequences, drives, context=self.context, unroll=self.unroll, batch=BATCH,
            seed=self.seed, device=device,
        )  # fmt: skip
        config = TrainConfig(
            steps=self.updates, optimiser=self.optimiser, lr=self.learning_rate,
            seed=self.seed, average=AVERAGE,
            patience=max(1, round(PATIENCE * self.updates / feeds[0].updates)),
        )  # fmt: skip
        objective = RolloutError(A.shape[0], self.context, self.unroll, self.noise)
        try:
            self.history = fit_unrolled(net, feeds, objective, config, self.name)
        except TrainingError as error:
            text = str(error).replace("train.lr", "learning_rate")
            raise TrainingError(f"{self.name}: {text}") from error
        found = {n: p.detach().cpu().numpy().copy() for n, p in net.named_parameters()}
        for name in found:
            setattr(self, name, found[name])

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


def _evenly(
    sequences: list[np.ndarray], drives: list[np.ndarray], times: list[np.ndarray] | None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """States and drives at whole steps, by a cubic spline: good enough for a start."""
    if times is None:
        return sequences, drives
    from scipy.interpolate import make_interp_spline  # here: forecasts work without scipy

    grids = [np.arange(0.0, np.floor(t[-1]) + 1) for t in times]
    z = [
        make_interp_spline(t, rows, k=min(3, len(t) - 1))(at)
        for t, rows, at in zip(times, sequences, grids, strict=True)
    ]
    x = [
        rows[np.searchsorted(t, at, side="right") - 1]
        for t, rows, at in zip(times, drives, grids, strict=True)
    ]
    return z, x


def linear_map(
    sequences: list[np.ndarray], drives: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares z_{n+1} = A [z_n, x_n] + b over all cases, growing modes held: A, b."""
    k, width = sequences[0].shape[1], sequences[0].shape[1] + drives[0].shape[1] + 1
    G, R = np.zeros((width, width)), np.zeros((width, k))
    for z, x in zip(sequences, drives, strict=True):  # sums: memory for one case at a time
        fed = np.concatenate([z, x, np.ones((len(z), 1))], axis=1)[:-1]
        G += fed.T @ fed
        R += fed.T @ z[1:]
    values, Q = np.linalg.eigh(G)
    # directions that the data do not excite above rounding keep zero
    inverse = np.where(values > 1e-12 * values[-1], 1 / np.maximum(values, 1e-300), 0.0)
    M = (Q * inverse @ (Q.T @ R)).T
    A, b = M[:, :-1], M[:, -1]
    growth, modes = np.linalg.eig(A[:, :k])
    if np.abs(growth).max() > 1 and np.linalg.cond(modes) < 1e8:
        held = growth / np.maximum(1, np.abs(growth))
        A[:, :k] = np.linalg.solve(modes.T, (modes * held).T).T.real
    return A, b
