"""What a POD says about the flow, and how far the POD itself can be trusted."""

from romae.diagnose.convergence import convergence
from romae.diagnose.spectral import spectral_pod

__all__ = ["convergence", "spectral_pod"]
