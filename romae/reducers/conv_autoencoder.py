"""Convolutional autoencoder on a grid, as a residual on POD.

    h = U_k W x' / c + rho E(x'),        x'^ = c U_k^T z + g D(z / sigma),

E and D convolutional networks whose last layers start at zero (:mod:`romae.nets.conv`), z what the
bottleneck makes of h; c, rho, g and sigma are the units of
:class:`romae.reducers.network_coder.ResidualCoder`.

It needs no set of modes that holds the field: structures that travel, fronts, turbulence
on large grids. It costs minutes where the dense network in POD coordinates costs seconds,
and its error levels off where POD's goes on falling with k; compare both.

Sources: Milano & Koumoutsakos 2002; Murata, Fukami & Fukagata 2020, "Nonlinear mode
decomposition with convolutional neural networks for fluid dynamics"; Shi et al. 2016
(PixelShuffle).
"""

from typing import get_args

from torch import nn

from romae.errors import DataError, OptionError, check_option, check_whole
from romae.fields import Snapshots
from romae.nets.activations import Activation
from romae.nets.bottlenecks import Bottleneck, Plain, Squeeze
from romae.nets.conv import ConvDecoder, ConvEncoder
from romae.nets.grid import ConvSpec, Down, Grid, Up
from romae.reducers.autoencoder import Scale, Terms
from romae.reducers.residual_autoencoder import ResidualAutoencoder
from romae.train import TrainConfig
from romae.train.objective import MSE, Corruption


class ConvAutoencoder(ResidualAutoencoder):
    """Convolutional autoencoder for 1-D, 2-D and 3-D grids of any size; see the module.

    Parameters
    ----------
    latent : number of latents k.
    patch : cells per axis folded into channels before the first convolution: 1, 2, 4, 8, ...;
        None chooses by the size of the grid. Axes too short for it use less.
    widths : channels at the first level and after each halving of the grid; None halves until
        some 64 cells are left and uses 32, 64, 96, 96, ...
    kernel, act, blocks : odd kernel size, activation, residual blocks per level.
    head : width of the dense layers between the coarsest grid and the latents.
    down : how the grid is halved: ``strided`` convolution, ``unshuffle`` (space to channels) or
        ``pooled`` (means). The patch is folded whatever ``down`` and ``up`` say; 1 leaves it out.
    up : how it is doubled: ``shuffle``, ``transposed`` or ``interpolated``; see
        :mod:`romae.nets.resize`.
    bottleneck, objective, corruption, train, scale : as for every autoencoder, see
        :class:`romae.reducers.autoencoder.Autoencoder`.
    """

    # Decay of a tenth takes a tenth off the validation error of a flow with few snapshots and
    # nothing off that of two other cases; one costs those a factor of two. docs/training.md
    default_train = TrainConfig(steps=2000, optimiser="muon", lr=8e-3, weight_decay=0.1)

    def __init__(
        self,
        latent: int = 2,
        *,
        patch: int | None = None,
        widths: tuple[int, ...] | None = None,
        kernel: int = 3,
        act: Activation = "gelu",
        blocks: int = 1,
        head: int = 128,
        down: Down = "strided",
        up: Up = "shuffle",
        bottleneck: Bottleneck = Plain(),
        objective: Terms = MSE(),
        corruption: Corruption | None = None,
        train: TrainConfig | None = None,
        scale: Scale = "units",
    ) -> None:
        super().__init__(latent, bottleneck, objective, corruption, train, scale)
        check_option("act", act, get_args(Activation))
        check_option("down", down, get_args(Down))
        check_option("up", up, get_args(Up))
        check_whole("blocks", blocks, 0)
        for what, value in [("patch", patch), ("head", head)]:
            if value is not None or what == "head":
                check_whole(what, value)
        if widths is not None and not widths:
            raise OptionError("widths is empty. Expected channels per level, such as (32, 64).")
        for width in widths or ():
            check_whole("widths", width)
        if check_whole("kernel", kernel) % 2 == 0:
            raise OptionError(f"kernel is {kernel}. Expected an odd number: 1, 3, 5, ...")
        self.patch, self.kernel, self.act = patch, kernel, act
        self.widths = None if widths is None else tuple(widths)
        self.blocks, self.head = blocks, head
        self.down, self.up = down, up

    def check_size(self, snapshots: Snapshots) -> None:
        """Refuse points without order, and a latent size that cannot be determined."""
        layout = snapshots.layout
        if layout.unstructured:
            raise DataError(
                f"{self.name} needs a grid, and {snapshots.source} lists "
                f"{layout.shape[0]} points along {layout.space[0]!r} without order. Type "
                "PODAutoencoder, which works on any mesh, or resample to a grid first. If the "
                f"order has a meaning, give it a coordinate: ds.assign_coords("
                f"{layout.space[0]}=range({layout.shape[0]}))"
            )
        super().check_size(snapshots)

    def _networks(self, squeeze: Squeeze) -> tuple[nn.Module, nn.Module]:
        layout = self.layout
        grid = Grid(layout.shape, layout.periodic)
        plan = grid.plan(self.patch, None if self.widths is None else len(self.widths) - 1)
        spec = ConvSpec(
            grid,
            tuple(plan),
            self.widths or tuple(min(32 * (i + 1), 96) for i in range(len(plan))),
            self.kernel,
            self.act,
            self.blocks,
            self.head,
            self.down,
            self.up,
        )
        encoder = ConvEncoder(layout.channels, squeeze.width, spec)
        return encoder, ConvDecoder(self.inside, layout.channels, spec)
