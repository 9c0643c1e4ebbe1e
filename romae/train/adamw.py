"""AdamW for a few small vectors of parameters, without the ceremony of one for any number.

    m <- m + (1 - beta_1) (g - m),    v <- beta_2 v + (1 - beta_2) g^2
    w <- (1 - lr decay) w - lr m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + eps)

The rule, its constants and its state are torch's. What a step of torch's own costs beside the
arithmetic, a profiler's records and lists of tensors by kind, is as much as a small network.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy import float32
from torch import Tensor

from romae.nets.curves import compiled_kernels

FEW, SMALL = 8, 1 << 20  # tensors and numbers in all, above which torch's own is faster


class AdamW(torch.optim.AdamW):
    """torch's, whose :meth:`advance` does what ``step`` would do; see the module."""

    def __init__(
        self, parameters: Sequence[Tensor], kernels: Any, settings: dict[str, Any]
    ) -> None:
        super().__init__(parameters, **settings)
        self.kernels = kernels
        self.arrays: dict[Tensor, list[np.ndarray]] = {}  # w, m and v as the kernel wants them

    def load_state_dict(self, state_dict: Any) -> None:
        """Take over the moments of another one."""
        super().load_state_dict(state_dict)
        self.arrays.clear()

    def advance(self) -> None:
        """One update of all parameters that have a gradient."""
        for group in self.param_groups:
            lr, eps, (beta, gamma) = group["lr"], group["eps"], group["betas"]
            kept = 1 - lr * group["weight_decay"]
            for w in group["params"]:
                if w.grad is None:
                    continue
                vectors = self.arrays.get(w) or self._begin(w)
                step = self.state[w]["step"]
                step += 1
                t = float(step)
                rate, unbias = lr / (1 - beta**t), (1 - gamma**t) ** -0.5
                numbers = map(float32, (rate, kept, beta, gamma, unbias, eps))
                self.kernels.adamw(w.grad.reshape(-1).numpy(), *vectors, *numbers)

    def _begin(self, w: Tensor) -> list[np.ndarray]:
        state = self.state[w]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(w), torch.zeros_like(w)
        vectors = (w, state["exp_avg"], state["exp_avg_sq"])
        self.arrays[w] = [v.detach().view(-1).numpy() for v in vectors]
        return self.arrays[w]


def make_adamw(parameters: Sequence[Tensor], settings: dict[str, Any]) -> torch.optim.AdamW:
    """The one that is faster for these."""
    kernels = compiled_kernels()
    small = len(parameters) <= FEW and sum(p.numel() for p in parameters) <= SMALL
    plain = all(
        p.device.type == "cpu" and p.dtype == torch.float32 and p.is_contiguous()
        for p in parameters
    )
    if kernels is not None and small and plain:
        return AdamW(parameters, kernels, settings)
    return torch.optim.AdamW(parameters, fused=True, **settings)
