"""What an encoder may be made to see instead of the snapshot: targets stay clean.

    noise      x + std n,  n white, unit variance        x scaled: the rms fluctuation is 1
    masking    single values replaced by the temporal mean
    sensors    all fields known at a few random points only, others by the temporal mean
    patches    blocks of cells replaced by the temporal mean
    shifts     x(r - s), s random along the periodic axes; the target is shifted with it

New ones are drawn for every update. A model trained so restores what is missing or noisy: it has
learnt the shapes that its training data took. Sources: Vincent et al. 2008 (denoising
autoencoders); He et al. 2022, "Masked autoencoders are scalable vision learners".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from romae.errors import OptionError, check_whole
from romae.train.objective import Corrupt, Corruption, Frame


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise OptionError(f"{name} is {value}. Expected a share between 0 and 1, such as 0.25.")


@dataclass(frozen=True, kw_only=True)
class Noise(Corruption):
    """White noise of ``std`` times the rms fluctuation."""

    std: float = 0.1
    kind: ClassVar[str] = "noise"

    def __post_init__(self) -> None:
        """Refuse what is no noise."""
        if not self.std > 0:
            raise OptionError(f"noise std is {self.std}. Expected a positive number such as 0.1.")

    def prepare(self, frame: Frame) -> Corrupt:
        """See the module; in POD coordinates white noise stays white, and is drawn there."""
        return lambda coder, w: w + self.std * coder.white(w)


@dataclass(frozen=True, kw_only=True)
class Masking(Corruption):
    """A ``share`` of all values hidden."""

    share: float = 0.25
    kind: ClassVar[str] = "masking"

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        _check_share("masking share", self.share)

    def prepare(self, frame: Frame) -> Corrupt:
        """See the module."""
        return _hide(lambda x: torch.rand_like(x) >= self.share)


@dataclass(frozen=True, kw_only=True)
class SensorDropout(Corruption):
    """Only a share ``keep`` of the points is known, with all its fields."""

    keep: float = 0.1
    kind: ClassVar[str] = "sensors"

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        _check_share("sensors keep", self.keep)

    def prepare(self, frame: Frame) -> Corrupt:
        """See the module."""
        return _hide(lambda x: torch.rand_like(x[:, :1]) < self.keep)


@dataclass(frozen=True, kw_only=True)
class Patches(Corruption):
    """A ``share`` of the patches of ``size`` cells an axis hidden, in all fields."""

    size: int = 8
    share: float = 0.5
    kind: ClassVar[str] = "patches"

    def __post_init__(self) -> None:
        """Refuse what is no share and no size."""
        check_whole("patches size", self.size)
        _check_share("patches share", self.share)

    def prepare(self, frame: Frame) -> Corrupt:
        """See the module."""
        if frame.layout.unstructured:
            raise OptionError("patches need a grid; take parts.SensorDropout() on points.")

        def seen(x: Tensor) -> Tensor:
            coarse = [-(-n // self.size) for n in x.shape[2:]]
            kept = torch.rand(len(x), 1, *coarse, device=x.device) >= self.share
            for axis, n in enumerate(x.shape[2:], start=2):
                kept = kept.repeat_interleave(self.size, axis).narrow(axis, 0, n)
            return kept

        return _hide(seen)


@dataclass(frozen=True, kw_only=True)
class Shifts(Corruption):
    """Every snapshot moved by a random number of cells along each periodic axis, target and all.

    For flows whose law is the same everywhere along those axes (homogeneous turbulence, waves on a
    periodic box): a few trajectories stand for all their copies elsewhere. Wrong where the place
    matters (a forcing, a body, a topography along the axis).
    """

    kind: ClassVar[str] = "shifts"
    moves: ClassVar[bool] = True

    def prepare(self, frame: Frame) -> Corrupt:
        """See the module."""
        periodic = [i for i, wraps in enumerate(frame.layout.periodic, 2) if wraps]
        if not periodic:
            raise OptionError(
                f"shifts need a periodic axis, and none of {', '.join(frame.layout.space)} is. "
                "Leave corruption out, or open the data with periodic=[...]."
            )
        if frame.layout.mask is not None:
            raise OptionError(
                "shifts move the masked points too, and this grid has a mask, which stays where it "
                "is. Leave corruption out."
            )

        def move(coder: Any, w: Tensor) -> Tensor:
            x = coder.show(w)
            for axis in periodic:
                x = _roll(x, axis)
            return coder.put(w, x)

        return move


def _roll(x: Tensor, axis: int) -> Tensor:
    """``x`` (B, C, *space), each snapshot moved along ``axis`` by a number of its own."""
    n = x.shape[axis]
    places = torch.arange(n, device=x.device) + torch.randint(n, (len(x), 1), device=x.device)
    shape = [len(x), *(n if i == axis else 1 for i in range(1, x.ndim))]
    return x.gather(axis, (places % n).view(shape).expand_as(x))


def _hide(seen: Callable[[Tensor], Tensor]) -> Corrupt:
    """Zero, which is the temporal mean, wherever ``seen`` (x) is false."""

    def corrupt(coder: Any, w: Tensor) -> Tensor:
        x = coder.show(w)
        return coder.put(w, x * seen(x))

    return corrupt
