"""Neural ordinary differential equation of the latents.

    dz/dt = A [z, x] + b + g(z, x),    z(t_n + dt) = z(t_n) + int dz/dt dt      x held in a step
    g = W_3 silu(W_2 silu(W_1 [s, x] + b_1) + b_2),    s = c tanh(z / c)        W_3 = 0 at first

Time is in units of dt, the step of the data. exp of [[A, b], [0, 0]] is the best linear step.

stabilised (Linot et al. 2023)
    dz/dt = - damping z + b + g(z, x)      damping fixed: in the end damping |z| <= |b| + sup |g|

s is z within the range of data; outside it bounds g, and the linear part decides.

One state tells all that follows: no context, and steps of any length. Far from the data the
free A may carry a rollout away, where the network has never been; the stabilised form pulls
it back, whatever the network says, and pays with a start from which A must be learned.

Fails when the latents are no closed system (crossing trajectories, hidden state): add delays
(DMD) or memory (GRU). A step that is long against the dynamics needs many substeps and deep
gradients; a map (GRU) does better there.
"""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from romae.dynamics.between import between
from romae.dynamics.trained import Trained
from romae.errors import OptionError, check_option

if TYPE_CHECKING:
    from romae.nets.steps import Step

STRIDE = 0.6  # largest |eigenvalue of A| times the length of a substep
SUBSTEPS = (1, 16)
SQUASH = 10.0  # c, in standard deviations of the latents
LEAST = 0.05  # smallest eigenvalue of a step of the data: a decay by exp(-3)
WORST_BASIS = 1e8  # condition of the eigenvectors


class NeuralODE(Trained):
    """Neural ODE with a linear part, integrated by torchdiffeq.

    ``hidden``: width of both hidden layers. ``damping``: None fits A; a positive number, per
    step of the data, fixes A = - damping I (stabilised). ``method``: "rk4" with a number of
    substeps that the linear part asks for, or "dopri5", adaptive, to 1e-6. Others as in
    :class:`Trained`.

    Source: R. T. Q. Chen et al., Neural ordinary differential equations, 2018; A. J. Linot et
    al., Stabilized neural ordinary differential equations for long-time forecasting of
    dynamical systems, 2023. Deviates in gradients through the solver rather than by an adjoint.
    """

    context = 1
    continuous = True
    uneven = True
    fitted = (
        "linear", "bias", "weight_1", "bias_1", "weight_2", "bias_2", "weight_out", "substeps",
    )  # fmt: skip
    linear: np.ndarray  # (k, k + m), A; float32, as all weights; per step of the data
    bias: np.ndarray  # (k,), b
    weight_1: np.ndarray  # (H, k + m)
    bias_1: np.ndarray  # (H,)
    weight_2: np.ndarray  # (H, H)
    bias_2: np.ndarray  # (H,)
    weight_out: np.ndarray  # (k, H)
    substeps: np.ndarray  # (1,) of rk4 in a step of the data

    def __init__(
        self,
        hidden: int = 128,
        *,
        damping: float | None = None,
        method: Literal["rk4", "dopri5"] = "rk4",
        unroll: int = 8,
        updates: int = 2000,
        learning_rate: float = 0.01,
        noise: float = 0.0,
        seed: int = 0,
        device: str = "cpu",
    ):
        self.hidden: int
        check_option("method", method, ["rk4", "dopri5"])
        if damping is not None and not damping > 0:
            raise OptionError(
                f"NeuralODE: damping is {damping}. Expected None or a positive number; type 0.1."
            )
        self.damping, self.method = damping, method
        self._set(
            hidden=hidden, unroll=unroll, updates=updates, learning_rate=learning_rate, noise=noise,
            seed=seed, device=device,
        )  # fmt: skip

    def _start(self, A: np.ndarray, b: np.ndarray, longest: float) -> tuple[np.ndarray, np.ndarray]:
        M, c, k = A, b, len(b)
        A, b = generator(M, c)
        fastest = float(np.abs(np.linalg.eigvals(A[:, :k])).max())
        self.substeps = np.array([np.clip(np.ceil(fastest * longest / STRIDE), *SUBSTEPS)])
        if self.method == "rk4":
            A, b = generator(M, c, int(self.substeps[0]))
        if self.damping is not None:
            A, b = np.zeros_like(A), np.zeros_like(b)
            A[:, :k] = -self.damping * np.eye(k)
        return A, b

    @property
    def _compiled(self) -> bool:
        return self.method == "rk4"

    def _network(self, A: np.ndarray, b: np.ndarray) -> "Step":
        import torch

        from romae.nets.steps import FlowStep

        return FlowStep(
            torch.tensor(A), torch.tensor(b), hidden=self.hidden, free=self.damping is None,
            squash=SQUASH, method=self.method, substeps=int(self.substeps[0]),
        )  # fmt: skip

    def _loop(
        self, history: np.ndarray, x: np.ndarray, steps: int, *weights: np.ndarray
    ) -> np.ndarray:
        if self.method != "rk4":
            # one by one: an adaptive step would depend on the company
            pairs = zip(history[:, None], x[:, None], strict=True)
            return np.concatenate([self._by_torch(z, drive, steps) for z, drive in pairs])
        from romae.dynamics.loops import flow

        whole = np.ones(len(history))
        return flow(history, x, steps, int(self.substeps[0]), whole, SQUASH, *weights[:-1])

    def _at(self, history: np.ndarray, times: np.ndarray, **known: Any) -> np.ndarray:
        return between(self, history, times, self._part, **known)

    def _part(
        self,
        z: np.ndarray,
        share: np.ndarray,
        *,
        params: np.ndarray | None = None,
        inputs: np.ndarray | None = None,
    ) -> np.ndarray:
        """States (N, k) after shares (N,) of a step from ``z`` (N, k)."""
        x = self._driven(len(z), 1, params, inputs)
        if self.method != "rk4":
            x = np.concatenate([x, share[:, None, None]], axis=2)
            pairs = zip(z[:, None, None], x[:, None], strict=True)
            return np.concatenate([self._by_torch(a, b, 1, timed=True)[:, 0] for a, b in pairs])
        from romae.dynamics.loops import flow

        weights = self._weights()[:-1]
        return flow(z[:, None], x, 1, int(self.substeps[0]), share, SQUASH, *weights)[:, 0]


def generator(M: np.ndarray, c: np.ndarray, parts: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A (k, k + m), b (k,) with exp [[A, b], [0, 0]] = [[M, c], [0, 1]], as far as there is one.

    With ``parts`` not exp but so many steps of RK4 give M: their own damping, y^6 / 144 for a
    frequency y per step, would halve an oscillation in some thousand steps.

    Real eigenvalues that are not positive belong to no differential equation, and tiny ones to
    a stiff one: they become ``LEAST``. M - I where there is no basis of eigenvectors.
    """
    k, width = len(c), M.shape[1] + 1
    step = np.eye(width)
    step[:k] = np.concatenate([M, c[:, None]], axis=1)
    rate = step - np.eye(width)
    values, modes = np.linalg.eig(step)
    if np.linalg.cond(modes) < WORST_BASIS:
        low = (np.abs(values) < LEAST) | ((values.imag == 0) & (values.real < LEAST))
        logs = np.log(np.where(low, LEAST, values).astype(complex))
        if parts:
            logs = _by_rk4(logs, parts)
        rate = np.linalg.solve(modes.T, (modes * logs).T).T.real
    return rate[:k, :-1].copy(), rate[:k, -1].copy()


def _by_rk4(logs: np.ndarray, parts: int) -> np.ndarray:
    """y with (1 + h + h^2/2 + h^3/6 + h^4/24)^parts = exp(logs), h = y / parts; by Newton."""
    wanted, h = np.exp(logs / parts), logs / parts
    for _ in range(20):
        value = 1 + h * (1 + h / 2 * (1 + h / 3 * (1 + h / 4)))
        slope = 1 + h * (1 + h / 2 * (1 + h / 3))
        h = h - (value - wanted) / np.where(np.abs(slope) > 0.1, slope, 0.1)
    found = 1 + h * (1 + h / 2 * (1 + h / 3 * (1 + h / 4)))
    # where Newton strays, from rates that RK4 does not follow, the exponential's stays
    good = np.isfinite(h) & (np.abs(found - wanted) < 1e-10) & (np.abs(h * parts - logs) < 0.5)
    return np.where(good, h * parts, logs)
