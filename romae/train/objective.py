"""What the training of an autoencoder minimises, update by update.

A coder works in coordinates w of its own choice (scaled fields, or POD coordinates):

    w~ = corruption(w)                       what the encoder sees
    h  = analyse(w~),   z, P = bottleneck(h),   w^ = synthesise(expand(z))
    J  = sum_i weight_i term_i(w, w^, z, ...) + P

Terms compare with the clean w. The first one,

    mse = mean_B |w - w^|_W^2 / E,      E = sum_i s_i^2 / T,

is the share of the fluctuation energy that is lost: the mean squared error over the variance, in
the quadrature weights W, without the masked points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from romae.config import Part
from romae.fields import Layout, Scaling, Survey


@dataclass(frozen=True)
class Frame:
    """What parts know before the training begins; ``energy`` is E, ``coder`` the module trained."""

    layout: Layout
    scaling: Scaling
    survey: Survey
    energy: float
    latent: int
    coder: Any
    device: torch.device


@dataclass
class Step:
    """One update: ``w`` clean, ``seen`` by the encoder, ``h``, ``z``, ``output`` w^."""

    coder: Any
    w: Tensor
    seen: Tensor
    h: Tensor
    z: Tensor
    output: Tensor
    progress: float

    @cached_property
    def x(self) -> Tensor:
        """Clean scaled fields (B, C, *space)."""
        return self.coder.show(self.w)

    @cached_property
    def y(self) -> Tensor:
        """Reconstructed scaled fields (B, C, *space)."""
        return self.coder.show(self.output)


Measure = Callable[[Step], Tensor]


@dataclass(frozen=True, kw_only=True)
class Term(Part):
    """One summand of J with its ``weight``; ``prepare`` gives the function of a step.

    What it gives may be a module: its parameters are trained too, and not saved with the model.
    """

    weight: float = 1.0

    def prepare(self, frame: Frame) -> Measure:
        """A function of a :class:`Step`: a scalar, a mean over the batch."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class MSE(Term):
    """Share of the fluctuation energy that is lost; see the module."""

    kind: ClassVar[str] = "mse"

    def prepare(self, frame: Frame) -> Measure:
        """|w - w^|_W^2 / E."""
        return lambda step: step.coder.distance(step.w, step.output).mean() / frame.energy


Corrupt = Callable[[Any, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Corruption(Part):
    """What is done to the snapshots that the encoder sees while training; targets stay clean.

    Unless ``moves``: then the target is moved with what is seen, and both are new clean data.
    """

    moves: ClassVar[bool] = False

    def prepare(self, frame: Frame) -> Corrupt:
        """A function (coder, w) -> w~ of the same shape, random by torch's generator."""
        raise NotImplementedError


class Training(nn.Module):
    """Coder, terms and corruption as the one module that :func:`romae.train.train` trains."""

    def __init__(
        self, coder: Any, terms: Sequence[Term], corruption: Corruption | None, frame: Frame
    ) -> None:
        super().__init__()
        self.coder = coder
        self.measures = [(t.weight, t.prepare(frame)) for t in terms]
        self.learnt = nn.ModuleList(m for _, m in self.measures if isinstance(m, nn.Module))
        self.corrupt = None if corruption is None else corruption.prepare(frame)
        self.moves = corruption is not None and corruption.moves
        plain = self.corrupt is None and [type(t) for t in terms] == [MSE]
        self.scale = terms[0].weight / frame.energy if plain else None  # J = scale mse

    def forward(self, w: Tensor, progress: float) -> Tensor:
        """J of one batch ``w``."""
        coder = self.coder
        seen = w
        if self.corrupt is not None and (self.training or not self.moves):
            seen = self.corrupt(coder, w)
            w = seen if self.moves else w
        h = coder.analyse(seen)
        z, penalty = coder.squeeze(h, progress)
        output = coder.rebuild(coder.squeeze.expand(z), seen)
        step = Step(coder, w, seen, h, z, output, progress)
        return sum((weight * measure(step) for weight, measure in self.measures), penalty)

    def descend(self, w: Tensor, share: float) -> Tensor | None:
        """``share`` J and its gradient, where J is an MSE and the coder has derivatives of its own.

        None otherwise, and then nothing has been done.
        """
        if self.scale is None:
            return None
        return self.coder.descend(w, self.scale * share / len(w))


def objective(module: nn.Module, w: Tensor, progress: float) -> Tensor:
    """J, as the loop calls it."""
    return module(w, progress)
