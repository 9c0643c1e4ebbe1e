"""Physics in the objective: what the fields must obey.

    divergence   |sum_d d u_d / d x_d|^2 / sum_{d,e} |d u_d / d x_e|^2       of the reconstruction
    physics      |f(x^) - f(x)|^2 / scale^2   or   |f(x^)|^2 / scale^2       f by the user

in physical units, weighted by quadrature. A penalty does not make a field obey: it trades some of
the error of reconstruction for less of the residual; show both.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from romae.errors import OptionError, check_option, nearest
from romae.feed import TensorScaling
from romae.train.derivatives import Derivatives
from romae.train.objective import Frame, Measure, Step, Term
from romae.train.terms import weights_of

Fields = dict[str, Tensor]  # (B, *space) by name, physical units
Functional = Callable[[Fields, Derivatives], Tensor]
AXES = {"u": "x", "v": "y", "w": "z"}


@dataclass(frozen=True, kw_only=True)
class Divergence(Term):
    """Divergence of a velocity; ``components`` maps fields to axes, such as {"u": "x", "v": "y"}.

    None takes u, v and w along x, y and z, as far as there are such fields and axes.
    """

    components: dict[str, str] | None = field(default=None, hash=False)
    kind: ClassVar[str] = "divergence"

    def prepare(self, frame: Frame) -> Measure:
        """See the module. Raises OptionError for unknown fields and axes."""
        layout = frame.layout
        guess = {u: x for u, x in AXES.items() if u in layout.names and x in layout.space}
        components = guess if self.components is None else self.components
        for u, x in components.items():
            for name, known in ((u, layout.names), (x, layout.space)):
                if name not in known:
                    raise OptionError(f"divergence: unknown {name!r}. {nearest(name, known)}")
        if len(components) < 2:
            raise OptionError(
                f"divergence: expected two velocities or more along axes, found {components} among "
                f"the fields {', '.join(layout.names)}. Type "
                f"Divergence(components={{'u': 'x', 'v': 'y'}}) with your names."
            )
        physical, d = _physical(frame), Derivatives(layout, frame.device)
        W = weights_of(frame)[layout.names.index(next(iter(components)))]

        def measure(step: Step) -> Tensor:
            x, y = physical(step.x), physical(step.y)
            whole = sum((d(x[u], e).square() * W).sum() for u in components for e in layout.space)
            residual = torch.stack([d(y[u], e) for u, e in components.items()]).sum(0)
            return (residual.square() * W).sum() / torch.as_tensor(whole).clamp(min=1e-30)

        return measure


@dataclass(frozen=True, kw_only=True)
class Physics(Term):
    """Any functional of the fields: ``function(fields, derivative) -> (B, *space)`` or (B,).

    ``fields`` maps names to tensors (B, *space) in physical units, ``derivative(f, "x")`` is along
    an axis. Given as a function of a module, or as ``"package.module:name"``; it is saved by that
    name and only needed again to train. ``target``: ``data``, the residual must be that of the
    clean fields; ``zero``, it must vanish. ``scale``: its unit.
    """

    function: str | Functional = ""
    target: Literal["data", "zero"] = "data"
    scale: float = 1.0
    kind: ClassVar[str] = "physics"

    def __post_init__(self) -> None:
        """Keep the function by its name."""
        check_option("target", self.target, ("data", "zero"))
        if not isinstance(self.function, str):
            module, name = self.function.__module__, self.function.__qualname__
            object.__setattr__(self, "function", f"{module}:{name}")
        module, colon, name = str(self.function).partition(":")
        if not (module and colon and name.isidentifier()):
            raise OptionError(
                f"physics: function is {self.function!r}. Expected a function defined in a module, "
                f"or its name such as 'mypackage.physics:vorticity'."
            )

    def prepare(self, frame: Frame) -> Measure:
        """See the module. Raises OptionError for a function that cannot be imported."""
        function = _import(str(self.function))
        physical, d = _physical(frame), Derivatives(frame.layout, frame.device)
        W = torch.from_numpy(frame.layout.weights).float().to(frame.device)

        def measure(step: Step) -> Tensor:
            residual = function(physical(step.y), d)
            if self.target == "data":
                residual = residual - function(physical(step.x), d)
            squares = residual.square()
            return (squares * W if squares.ndim > 1 else squares).mean() / self.scale**2

        return measure


def _physical(frame: Frame) -> Callable[[Tensor], Fields]:
    scaling, names = TensorScaling(frame.scaling, frame.device), frame.layout.names
    mean = scaling.mean.float()

    def physical(x: Tensor) -> Fields:
        values = x * scaling.scale32 + mean
        return {name: values[:, i] for i, name in enumerate(names)}

    return physical


def _import(name: str) -> Functional:
    module, _, attribute = name.partition(":")
    try:
        found: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise OptionError(
            f"physics: cannot import {name!r} ({error}). Expected 'package.module:name', on the "
            f"path of Python."
        ) from error
    return found
