"""Dense layers trained as one: a single vector of parameters, and derivatives written by hand.

A step of a small network is spent between its operations, not in them: torch records some thirty
of them, and hands a gradient to each of a dozen parameters. Here all weights and biases of a
network lie in one vector theta, and the network is one operation,

    u_i = W_i y_{i-1} + b_i,       y_i = act(u_i),       s_i = act'(u_i),
    dy_n given:
    du_i = dy_i s_i,   dW_i = du_i^T y_{i-1},   db_i = sum_B du_i,   dy_{i-1} = du_i W_i,

whose slopes s_i are computed with the y_i, where half of the work is the same (the error function
of GELU). The result is that of the layers to rounding. A second derivative, another precision
than float32, devices other than the CPU, torch.compile and torch.func take the layers one by one,
from the same theta.
"""

from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from romae.nets.curves import CURVES

Trace = tuple[list[Tensor], list[Tensor]]  # inputs of the layers, slopes behind all but the last


class Stack:
    """The layers of a network on one vector ``theta`` of weights W_1 ... W_n and biases after them.

    The parameters of the ``layers`` become views of it, so that both ways of speaking of
    them are always in step, until :meth:`release`.
    """

    def __init__(self, layers: nn.Sequential, act: str) -> None:
        self.act, self.activation, self.layers = (
            CURVES[act],
            layers[1:2],
            [cast(nn.Linear, layers[i]) for i in range(0, len(layers), 2)],
        )
        self.shapes = [layer.weight.shape for layer in self.layers]
        whole = [p.detach() for p in self.parameters()]
        self.sizes = [p.numel() for p in whole]
        self.theta = torch.cat([p.flatten() for p in whole]).requires_grad_()
        self.weights, self.biases = self.parts(self.theta.detach())
        self.gradient = torch.empty_like(self.theta, requires_grad=False)
        self.slots = self.parts(self.gradient)
        for p, part in zip(self.parameters(), [*self.weights, *self.biases], strict=True):
            p.data, p.grad = part, None

    def parameters(self) -> list[Tensor]:
        """Those of the layers, in the order of ``theta``."""
        return [layer.weight for layer in self.layers] + [layer.bias for layer in self.layers]

    def parts(self, vector: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Weights (out, in) and biases (out,) in a vector like ``theta``, as views."""
        pieces, n = vector.split(self.sizes), len(self.shapes)
        return [w.view(s) for w, s in zip(pieces, self.shapes, strict=False)], list(pieces[n:])

    @property
    def matrices(self) -> list[Callable[[Tensor], Tensor]]:
        """Functions that show each weight (out, in) in a vector like ``theta``."""
        ends = list(accumulate(self.sizes[: len(self.shapes)]))
        return [partial(_cut, stop=b, shape=s) for b, s in zip(ends, self.shapes, strict=True)]

    def vectors(self, vector: Tensor) -> Tensor:
        """All biases in a vector like ``theta``."""
        return vector[sum(self.sizes[: len(self.shapes)]) :]

    def collect(self) -> None:
        """Add to the gradient of ``theta`` what a term left that named the layers themselves."""
        own = self.parameters()
        if all(p.grad is None for p in own):
            return
        whole = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in own]
        )
        self.theta.grad = whole if self.theta.grad is None else self.theta.grad + whole
        for p in own:
            p.grad = None

    def release(self) -> None:
        """Give the layers parameters of their own again, with the present values."""
        for p in self.parameters():
            p.data = p.data.clone()

    def run(self, h: Tensor) -> tuple[Tensor, Trace]:
        """(B, inputs) -> (B, outputs), and what :meth:`back` needs."""
        y, seen, slopes = h, [h], []
        for W, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            y, slope = self.act(torch.mm(y, W.t()), b)
            seen.append(y)
            slopes.append(slope)
        return torch.addmm(self.biases[-1], y, self.weights[-1].t()), (seen, slopes)

    def back(
        self, g: Tensor, trace: Trace, into: tuple[list[Tensor], list[Tensor]], *, inputs: bool
    ) -> Tensor | None:
        """From dJ/dy (B, outputs) the derivatives by the weights, and by the inputs if wanted."""
        (seen, slopes), (dW, db) = trace, into
        for i in reversed(range(len(seen))):
            torch.mm(g.t(), seen[i], out=dW[i])
            torch.sum(g, 0, out=db[i])
            if i:
                g = torch.mm(g, self.weights[i]).mul_(slopes[i - 1])
        return torch.mm(g, self.weights[0]) if inputs else None

    def descend(self, g: Tensor, trace: Trace, *, inputs: bool) -> Tensor | None:
        """The same, for a training without autograd: sets the gradient of ``theta``."""
        self.theta.grad = self.gradient
        return self.back(g, trace, self.slots, inputs=inputs)

    def __call__(self, h: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs)."""
        if self.suits(h):
            return _Pass.apply(h, self.theta, self)
        return self.layer_by_layer(h, self.theta)

    def suits(self, h: Tensor) -> bool:
        """Whether ``h`` is something for :meth:`run`, and nobody wants to see what is inside."""
        plain = h.device.type == "cpu" and h.dtype == self.theta.dtype == torch.float32
        return plain and h.ndim == 2 and not (torch.is_autocast_enabled("cpu") or _transformed())

    def layer_by_layer(self, h: Tensor, theta: Tensor) -> Tensor:
        """The same by torch's own derivatives."""
        weights, biases = self.parts(theta)
        for W, b in zip(weights[:-1], biases[:-1], strict=True):
            h = self.activation(F.linear(h, W, b))
        return F.linear(h, weights[-1], biases[-1])


def _transformed() -> bool:
    """Whether torch.compile, torch.func or forward derivatives look at every operation."""
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )


def _cut(vector: Tensor, *, stop: int, shape: torch.Size) -> Tensor:
    return vector[stop - shape.numel() : stop].view(shape)


class _Pass(torch.autograd.Function):
    """The formulae of the module."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, theta: Tensor, stack: Stack) -> Tensor:
        y, (seen, slopes) = stack.run(h)
        ctx.save_for_backward(theta, *seen, *slopes)
        ctx.stack = stack
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        stack, n = ctx.stack, len(ctx.stack.shapes)
        theta, *inner = ctx.saved_tensors
        if torch.is_grad_enabled():  # a derivative of this derivative is wanted
            pair = (inner[0], theta)
            y = stack.layer_by_layer(*pair)
            wanted = [t for t, needed in zip(pair, ctx.needs_input_grad, strict=False) if needed]
            found = iter(torch.autograd.grad(y, wanted, gradients, create_graph=True))
            dh, dtheta = (next(found) if n else None for n in ctx.needs_input_grad[:2])
            return dh, dtheta, None
        whole = torch.empty_like(theta)
        trace, slots = (inner[:n], inner[n:]), stack.parts(whole)
        return stack.back(gradients[0], trace, slots, inputs=ctx.needs_input_grad[0]), whole, None
