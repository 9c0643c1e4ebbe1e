"""Muon: steps of the same size in every direction of a matrix.

    B <- 0.95 B + 0.05 G,     0.05 G + 0.95 B = U S V^T  (after Nesterov),
    W <- (1 - lr decay) W - 0.2 lr sqrt(min(1, 128 / columns) max(rows, columns)) U V^T,

where AdamW follows a few dominant directions. Up to 128 inputs (columns) a step has the size of
AdamW's. What many inputs have in common, their mean above all, adds up in proportion to their
number; beyond 128 the change of the outputs grows with its root only. A dense layer behind a
convolution, 3456 inputs near one, was moved by 5.5 at once (norm of its 128 outputs, lr 8e-3),
now by 1.1: some hundred steps of the former, and every unit was off for every snapshot, the
encoder a constant.

U V^T is found by five Newton-Schulz iterations

    X <- X / |X|,     A = X X^T,     X <- a X + (b A + c A^2) X,

which bring singular values above some 0.003 |X| to between 0.7 and 1.2. Fifteen products a matrix
are dearer than a small network; those of all matrices of one shape are done at once. The rule and
its numbers are those of torch.optim.Muon, which iterates in bfloat16: so do we on a GPU. On a CPU
small products in bfloat16 take up to six times as long as in the precision of the weights, which
is taken there: with it an update does not depend on the last bits of a gradient.

Sources: Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks (the factor
beyond 128 inputs); Liu et al. 2025, Muon is scalable for LLM training (up to there).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # a, b, c: the steepest that still end near one
ITERATIONS = 5
WIDE = 128  # inputs, up to which a step has the size of AdamW's


class Muon(torch.optim.Optimizer):
    """The rule of the module, for matrices; settings: lr, weight_decay."""

    def __init__(self, matrices: Sequence[Tensor], settings: dict[str, Any]) -> None:
        super().__init__(matrices, dict(settings))

    @torch.no_grad()
    def advance(self) -> None:
        """One update of all matrices that have a gradient."""
        for group in self.param_groups:
            lr, kept = group["lr"], 1 - group["lr"] * group["weight_decay"]
            alike: dict[Any, list[Tensor]] = {}
            for W in group["params"]:
                if W.grad is not None:
                    alike.setdefault((*sorted(W.shape), W.dtype, W.device), []).append(W)
            for matrices in alike.values():
                gradients = [_wide(W.grad) for W in matrices if W.grad is not None]
                directions = polar(torch.stack(self._ahead(matrices, gradients)))
                for W, U in zip(matrices, directions, strict=True):
                    rows, columns = W.shape
                    step = 0.2 * lr * (min(1, WIDE / columns) * max(rows, columns)) ** 0.5
                    _wide(W).mul_(kept).add_(U, alpha=-step)

    def _ahead(self, matrices: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
        """0.05 G + 0.95 B of each, after B has moved."""
        for W in matrices:
            if not self.state[W]:
                self.state[W]["momentum_buffer"] = torch.zeros_like(W)
        means = [_wide(self.state[W]["momentum_buffer"]) for W in matrices]
        for B, G in zip(means, gradients, strict=True):
            B.lerp_(G, 1 - MOMENTUM)
        return [G.lerp(B, MOMENTUM) for B, G in zip(means, gradients, strict=True)]


def _wide(W: Tensor) -> Tensor:
    """W or its transpose, which has not more rows than columns."""
    return W.mT if W.shape[0] > W.shape[1] else W


def polar(G: Tensor) -> Tensor:
    """Nearly U V^T of each G = U S V^T in (n, rows, columns), rows <= columns."""
    a, b, c = COEFFICIENTS
    X = G if G.device.type == "cpu" else G.bfloat16()
    X = X / torch.linalg.matrix_norm(X, keepdim=True).clamp_min(1e-7)
    for _ in range(ITERATIONS):
        A = X @ X.mT
        X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X
