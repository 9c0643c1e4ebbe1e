"""What modes and latents say about the flow, and how far a POD can be trusted."""

from romae.diagnose.convergence import convergence
from romae.diagnose.latents import latent_energy
from romae.diagnose.spectral import spectral_pod

__all__ = ["convergence", "latent_energy", "spectral_pod"]
