"""The pair of maps that a reducer holds, as a torch module."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Coder(nn.Module, ABC):
    """A torch module with the two maps of a reducer."""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """(B, C, *space) scaled -> (B, k)."""

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """(B, k) -> (B, C, *space) scaled."""

    def expansion(self, z: Tensor) -> tuple[Tensor, Tensor] | None:
        """Coordinates a (B, m) of ``z`` (B, k) and modes U (m, n) with D(z) = a U; None where the
        last map is not of that form."""
        return None

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction D(E(x))."""
        return self.decode(self.encode(x))
