"""Autoencoders under the names that the literature knows them by.

A preset is a function that composes a network with parts (:mod:`romae.parts`); what it returns is
the network class, and is saved and opened as that. ``network`` names the class: ``"pod"`` works in
POD coordinates and trains in seconds, ``"conv"`` on the grid. ``options`` are arguments of the class.

    VAE(4, beta=1e-2)  is  PODAutoencoder(4, bottleneck=parts.Variational(beta=1e-2))
"""

from typing import Any

from romae.errors import OptionError, check_option
from romae.nets.bottlenecks import Bottleneck, Variational
from romae.reducers.autoencoder import Autoencoder
from romae.reducers.conv_autoencoder import ConvAutoencoder
from romae.reducers.pod_autoencoder import PODAutoencoder
from romae.train.objective import Corruption, Term

NETWORKS: dict[str, type[Autoencoder]] = {"pod": PODAutoencoder, "conv": ConvAutoencoder}
Part = Bottleneck | Corruption | Term | tuple[Term, ...]


def compose(
    preset: str, network: str, latent: int, options: dict[str, Any], **parts: Part
) -> Autoencoder:
    """The ``network`` with ``parts``, which ``options`` must leave alone."""
    check_option(f"network of {preset}", network, NETWORKS)
    for name in parts.keys() & options.keys():
        raise OptionError(
            f"{preset} sets {name} itself, got {name}={options[name]!r}. Set what {preset} takes, "
            f"or compose: {NETWORKS[network].__name__}({latent}, {name}=...)."
        )
    made: Any = NETWORKS[network]
    return made(latent, **parts, **options)


def VAE(
    latent: int = 2,
    *,
    beta: float = 1e-3,
    warmup: float = 0.2,
    network: str = "pod",
    **options: Any,
) -> Autoencoder:
    """Variational autoencoder: latents near N(0, 1), as few and unrelated as ``beta`` makes them.

    For states drawn at random, and for latents that mean something each. ``beta`` is the share of
    the fluctuation energy that one nat of information is worth; latents that save less go out of
    use. See :mod:`romae.nets.bottlenecks.variational`.
    """
    part = Variational(beta=beta, warmup=warmup)
    return compose("VAE", network, latent, options, bottleneck=part)
