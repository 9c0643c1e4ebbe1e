"""The rule that turns gradients into new weights.

``adamw``: every weight has a step of its own, from running means of its gradient and its square.

``muon``: the matrices of a network, and convolutions as matrices (out, in · kernel), take steps of
the same size in every direction, see :mod:`romae.train.muon`; biases and other vectors go by
AdamW. Up to 128 inputs the steps have the size of those of AdamW, so that ``lr`` means the same.
An update costs more; see docs/training.md for what that buys.

Source: Loshchilov & Hutter 2019, Decoupled weight decay regularization.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from romae.nets.stack import Stack
from romae.train.adamw import AdamW, make_adamw
from romae.train.config import TrainConfig
from romae.train.muon import Muon

Look = Callable[[Tensor], Tensor]  # a parameter, or its gradient, as what an optimiser wants


class Optimiser:
    """One or two optimisers of torch as one; ``parameters`` begin with the thetas of ``stacks``."""

    def __init__(
        self, parameters: Sequence[Tensor], config: TrainConfig, stacks: Sequence[Stack] = ()
    ) -> None:
        self.parameters = parameters
        self.views: list[tuple[Tensor, Look, nn.Parameter]] = []  # owner, look, look(owner)
        self.parts: list[torch.optim.Optimizer] = []
        settings: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay}
        rest = list(parameters)
        if config.optimiser == "muon":
            rest = [p for p in parameters[len(stacks) :] if p.ndim < 2]
            matrices = [self._view(s.theta, look) for s in stacks for look in s.matrices]
            matrices += [self._view(p, _matrix) for p in parameters if p.ndim > 1]
            rest += [self._view(s.theta, s.vectors) for s in stacks]
            if matrices:
                self.parts.append(Muon(matrices, settings))
        if rest:
            self.parts.append(make_adamw(rest, settings))

    def _view(self, owner: Tensor, look: Look) -> nn.Parameter:
        """A parameter whose update is one of a part of ``owner``."""
        view = nn.Parameter(look(owner.detach()))
        self.views.append((owner, look, view))
        return view

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.parameters:
            p.grad = None

    def step(self, lr: float) -> None:
        """New weights, in place."""
        for owner, look, view in self.views:
            view.grad = None if owner.grad is None else look(owner.grad)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr
            if isinstance(part, AdamW | Muon):
                part.advance()
            else:
                part.step()

    def moments(self) -> dict[str, torch.Tensor]:
        """The running means, by names such as ``0/3/exp_avg``."""
        return {
            f"{n}/{i}/{name}": value
            for n, part in enumerate(self.parts)
            for i, values in part.state_dict()["state"].items()
            for name, value in values.items()
        }

    def load(self, moments: dict[str, torch.Tensor]) -> None:
        """Take over what :meth:`moments` gave.

        Raises :class:`TrainingError` for those of other parameters: nothing may be written there.
        """
        states: list[dict[int, dict[str, Any]]] = [{} for _ in self.parts]
        for key, value in moments.items():
            n, i, name = key.split("/")
            states[int(n)].setdefault(int(i), {})[name] = value
        for part, state in zip(self.parts, states, strict=True):
            layout = part.state_dict()["param_groups"]
            part.load_state_dict({"state": state, "param_groups": layout})


def _matrix(weight: Tensor) -> Tensor:
    """(out, in, *kernel) -> (out, in · kernel)."""
    return weight.flatten(1)
