"""Autoencoders under the names that the literature knows them by.

A preset is a function that composes a network with parts (:mod:`romae.parts`); what it returns is
the network class, and is saved and opened as that. ``network`` names the class: ``"pod"`` works in
POD coordinates and trains in seconds, ``"conv"`` on the grid, ``"dense"`` on the points without
regard to a grid. ``options`` are its arguments.

    VAE(4, beta=1e-2)  is  PODAutoencoder(4, bottleneck=parts.Variational(beta=1e-2))
"""

from collections.abc import Sequence
from typing import Any

from romae.errors import OptionError, check_option
from romae.nets.bottlenecks import (
    Bottleneck,
    RankFinding,
    Sparse,
    Variational,
    VectorQuantised,
)
from romae.reducers.autoencoder import Autoencoder
from romae.reducers.conditional_autoencoder import ConditionalAutoencoder
from romae.reducers.conv_autoencoder import ConvAutoencoder
from romae.reducers.dense_autoencoder import DenseAutoencoder
from romae.reducers.pod_autoencoder import PODAutoencoder
from romae.train.corruptions import Noise, Patches
from romae.train.objective import MSE, Corruption, Term
from romae.train.penalties import Contractive

NETWORKS: dict[str, type[Autoencoder]] = {
    "pod": PODAutoencoder,
    "conv": ConvAutoencoder,
    "dense": DenseAutoencoder,
}
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


def VQVAE(
    latent: int = 2,
    *,
    codes: int = 256,
    group: int = 1,
    commitment: float = 0.25,
    network: str = "pod",
    **options: Any,
) -> Autoencoder:
    """Vector-quantised autoencoder: a snapshot becomes ``latent / group`` integers below ``codes``.

    For storage, and for dynamics of symbols. Compare at equal bytes: latents of 8 bits here, of
    32 bits elsewhere; at equal k rounding costs accuracy. See
    :mod:`romae.nets.bottlenecks.quantised`.
    """
    part = VectorQuantised(codes=codes, group=group, commitment=commitment)
    return compose("VQVAE", network, latent, options, bottleneck=part)


def SparseAutoencoder(
    latent: int = 8,
    *,
    target: float | None = None,
    weight: float = 1e-3,
    network: str = "pod",
    **options: Any,
) -> Autoencoder:
    """Sparse autoencoder: few latents at work at a time, each for an event of its own.

    For intermittent flows, and to find regimes. ``target`` is the share of time in which a latent
    works; None penalises the L1 norm. See :mod:`romae.nets.bottlenecks.sparse`.
    """
    part = Sparse(target=target, weight=weight)
    return compose("SparseAutoencoder", network, latent, options, bottleneck=part)


def ContractiveAutoencoder(
    latent: int = 2, *, weight: float = 1e-3, network: str = "pod", **options: Any
) -> Autoencoder:
    """Contractive autoencoder: latents that noise in the snapshots moves little.

    For measured or noisy snapshots. See :mod:`romae.train.penalties`.
    """
    terms = (MSE(), Contractive(weight=weight))
    return compose("ContractiveAutoencoder", network, latent, options, objective=terms)


def RankFindingAutoencoder(
    latent: int = 16,
    *,
    layers: int = 8,
    decay: float = 1e-4,
    network: str = "pod",
    **options: Any,
) -> Autoencoder:
    """Autoencoder that finds how many of ``latent`` latents the data need.

    ``findings["rank"]`` is the number, ``truncate(number)`` the reducer with as many. For a first
    look at data of unknown dimension. See :mod:`romae.nets.bottlenecks.rank`.
    """
    part = RankFinding(layers=layers, decay=decay)
    return compose("RankFindingAutoencoder", network, latent, options, bottleneck=part)


def CVAE(
    latent: int = 2, *, beta: float = 1e-3, warmup: float = 0.2, **options: Any
) -> ConditionalAutoencoder:
    """Variational autoencoder that is told the parameters of the case.

    For families of cases: states drawn at random for a parameter, and latents that do not repeat
    what the parameter says. See :mod:`romae.reducers.conditional_autoencoder`.
    """
    part = Variational(beta=beta, warmup=warmup)
    return ConditionalAutoencoder(latent, bottleneck=part, **options)


def DenoisingAutoencoder(
    latent: int = 4, *, noise: float = 0.1, network: str = "pod", **options: Any
) -> Autoencoder:
    """Autoencoder that restores snapshots from noise of ``noise`` times the rms fluctuation.

    For measured fields, where a clean simulation of the same flow trains it. Its ``reconstruct``
    removes noise. See :mod:`romae.train.corruptions`.
    """
    part = Noise(std=noise)
    return compose("DenoisingAutoencoder", network, latent, options, corruption=part)


def MaskedAutoencoder(
    latent: int = 8,
    *,
    size: int = 8,
    share: float = 0.5,
    network: str = "conv",
    **options: Any,
) -> Autoencoder:
    """Autoencoder that restores snapshots of which a ``share`` of ``size``-cell patches is hidden.

    For gaps: clouds, shadows, regions that were not stored. Put the temporal mean into a gap before
    encoding. See :mod:`romae.train.corruptions`.
    """
    part = Patches(size=size, share=share)
    return compose("MaskedAutoencoder", network, latent, options, corruption=part)


def StackedAutoencoder(
    latent: int = 2, *, hidden: Sequence[int] = (256, 128, 64), **options: Any
) -> DenseAutoencoder:
    """Deep dense autoencoder whose hidden layers are trained one by one before all together.

    For deep networks on few snapshots, where training from random layers stalls. See
    :mod:`romae.reducers.layerwise`.
    """
    return DenseAutoencoder(latent, hidden=hidden, pretrain="layers", **options)
