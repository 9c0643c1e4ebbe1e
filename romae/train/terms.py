"""Terms of the objective beside the mean squared error.

With x and x^ clean and reconstructed scaled fields, W the quadrature weights (masked points have
none), E the energy of the fluctuation and a mean over the batch understood:

    relative    |x - x^|_W^2 / (|x|_W^2 + floor E)      quiet snapshots count as much as loud ones
    l1          sum W |x - x^| / sqrt(E sum W)          forgives a few large misses: fronts, shocks
    bce         -f log f^ - (1 - f) log(1 - f^)         f, f^ volume fractions in physical units
    gradient    mean_d |d_d (x - x^)|_W^2 / |d_d x|_W^2   fine scales count more than their energy
    spectral    mean_k (log P_k(x^) - log P_k(x))^2      P: power at wavenumber k, periodic axes

Each is dimensionless and near one for a reconstruction that knows nothing, so that weights compare.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from romae.errors import DataError, OptionError, nearest
from romae.feed import TensorScaling
from romae.fields import Survey
from romae.train.derivatives import Derivatives
from romae.train.objective import Frame, Measure, Step, Term


def weights_of(frame: Frame) -> Tensor:
    """Quadrature weights (C, *space), float32, on the device of the training."""
    return torch.from_numpy(frame.layout.quadrature.astype(np.float32)).to(frame.device)


@dataclass(frozen=True, kw_only=True)
class Relative(Term):
    """Share of each snapshot's own energy that is lost; ``floor`` keeps still ones finite."""

    floor: float = 0.01
    kind: ClassVar[str] = "relative"

    def prepare(self, frame: Frame) -> Measure:
        """See the module."""

        def measure(step: Step) -> Tensor:
            own = step.coder.distance(step.w, torch.zeros_like(step.w))
            lost = step.coder.distance(step.w, step.output)
            return (lost / (own + self.floor * frame.energy)).mean()

        return measure


@dataclass(frozen=True, kw_only=True)
class L1(Term):
    """Mean absolute error over the rms of the fluctuation."""

    kind: ClassVar[str] = "l1"

    def prepare(self, frame: Frame) -> Measure:
        """See the module."""
        W = weights_of(frame)
        W = W / (frame.energy * float(W.sum())) ** 0.5
        return lambda step: ((step.x - step.y).abs() * W).flatten(1).sum(1).mean()


def _instead(found: Survey) -> str:
    """What to type where not all fields are fractions: in Python and on the command line."""
    mse = "objective=parts.MSE() (--set objective=mse)"
    inside = (found.minimum >= 0) & (found.maximum <= 1)
    names = [n for n, fits in zip(found.layout.names, inside, strict=True) if fits]
    if not names:
        return f"no field here is one. Type {mse}."
    listed = ", ".join(f'"{n}"' for n in names)
    return (
        f"name those that are: objective=parts.BCE(fields=[{listed}]) "
        f"(--set 'objective={{kind=\"bce\", fields=[{listed}]}}'). Or type {mse}."
    )


@dataclass(frozen=True, kw_only=True)
class BCE(Term):
    """Binary cross-entropy of volume fractions: fields between 0 and 1 in physical units.

    ``fields`` names them; None takes all. Reconstructions beyond ``margin`` of 0 and 1 count as
    there, with the slope they have there.
    """

    fields: tuple[str, ...] | None = None
    margin: float = 0.01
    kind: ClassVar[str] = "bce"

    def prepare(self, frame: Frame) -> Measure:
        """See the module. Raises DataError for fields that leave [0, 1]."""
        layout, found = frame.layout, frame.survey
        for name in self.fields or ():
            if name not in layout.names:
                raise OptionError(f"bce: unknown field {name!r}. {nearest(name, layout.names)}")
        chosen = [i for i, n in enumerate(layout.names) if n in (self.fields or layout.names)]
        for i in chosen:
            low, high = float(found.minimum[i]), float(found.maximum[i])
            if low < 0 or high > 1:
                raise DataError(
                    f"bce: {layout.names[i]} reaches from {low:g} to {high:g}. Expected fractions "
                    f"in [0, 1]; {_instead(found)}"
                )
        scaling, W = TensorScaling(frame.scaling, frame.device), weights_of(frame)[chosen]
        W = W / W.sum()

        def physical(x: Tensor) -> Tensor:
            return (x * scaling.scale32 + scaling.mean.float())[:, chosen]

        def measure(step: Step) -> Tensor:
            f, g = physical(step.x).clamp(0, 1), physical(step.y)
            inside = g.clamp(self.margin, 1 - self.margin)
            g = g + (inside - g).detach()  # the value of the margin, the slope of g
            return (F.binary_cross_entropy(g, f, reduction="none") * W).flatten(1).sum(1).mean()

        return measure


@dataclass(frozen=True, kw_only=True)
class Gradient(Term):
    """Relative error of the derivatives along every axis (Sobolev training, Czarnecki 2017)."""

    kind: ClassVar[str] = "gradient"

    def prepare(self, frame: Frame) -> Measure:
        """See the module. Raises OptionError for points without a grid."""
        if frame.layout.unstructured:
            raise OptionError("the gradient term needs a grid, and these are points without order.")
        d, W = Derivatives(frame.layout, frame.device), weights_of(frame)
        axes = [s for s, n in zip(frame.layout.space, frame.layout.shape, strict=True) if n > 1]

        def measure(step: Step) -> Tensor:
            error, total = step.x - step.y, torch.zeros((), device=W.device)
            for axis in axes:
                whole = (d(step.x, axis).square() * W).sum().clamp(min=1e-30)
                total = total + (d(error, axis).square() * W).sum() / whole
            return total / len(axes)

        return measure


@dataclass(frozen=True, kw_only=True)
class Spectral(Term):
    """Squared difference of log power spectra along the periodic axes, per field.

    Powers below ``floor`` of the largest are noise and count as that. Phases are free: give it a
    small weight beside MSE. In the spirit of Chattopadhyay & Hassanzadeh 2023, "Challenges of
    learning multi-scale dynamics with AI weather models".
    """

    floor: float = 1e-6
    kind: ClassVar[str] = "spectral"

    def prepare(self, frame: Frame) -> Measure:
        """See the module. Raises OptionError without a periodic axis."""
        layout = frame.layout
        periodic = [i for i, p in enumerate(layout.periodic) if p and layout.shape[i] > 3]
        if not periodic:
            raise OptionError(
                f"the spectral term needs a periodic axis, and {', '.join(layout.space)} are none. "
                f"Open the data with periodic='{layout.space[-1]}' if it is, or take "
                f"parts.Gradient()."
            )
        dims = len(layout.space)

        def power(x: Tensor, axis: int) -> Tensor:  # (B, C, k)
            P = torch.fft.rfft(x, dim=axis + 2).abs().square()
            others = [a + 2 for a in range(dims) if a != axis]
            return P.mean(others) if others else P

        def measure(step: Step) -> Tensor:
            total = torch.zeros((), device=frame.device)
            for axis in periodic:
                P, Q = power(step.x, axis), power(step.y, axis)
                floor = self.floor * P.amax(2, keepdim=True) + 1e-30
                total = total + ((P + floor).log() - (Q + floor).log()).square().mean()
            return total / len(periodic)

        return measure
