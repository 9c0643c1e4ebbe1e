"""Convolutional autoencoder on a grid, as a residual on POD.

    z = U_k W x' / c + rho E(x'),        x'^ = c U_k^T z + g D(z / sigma),

E and D convolutional networks whose last layers start at zero (:mod:`romae.nets.conv`). At the
start this is POD with k modes. The rest sets every unit, so that the networks work with
numbers near one whatever POD has left for them: c and sigma are the standard deviations of
the first POD coordinate and, over c, of the first k; rho is the share of the fluctuation that
POD leaves (relative L2), g its rms per value. Without rho and g a step of training is as large
as the field, and the small rest that POD leaves at larger k is never learnt.

It needs no set of modes that holds the field: structures that travel, fronts, turbulence
on large grids. It costs minutes where the dense network in POD coordinates costs seconds,
and its error levels off where POD's goes on falling with k; compare both.

Sources: Milano & Koumoutsakos 2002; Murata, Fukami & Fukagata 2020, "Nonlinear mode
decomposition with convolutional neural networks for fluid dynamics"; Shi et al. 2016
(PixelShuffle).
"""

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from romae.errors import DataError, OptionError, check_option, check_whole
from romae.fields import Snapshots
from romae.linalg import Decomposition
from romae.nets.activations import Activation
from romae.nets.conv import ConvDecoder, ConvEncoder
from romae.nets.grid import ConvSpec, Grid
from romae.reducers.autoencoder import Autoencoder, Scale
from romae.reducers.coder import Coder
from romae.reducers.pod import LinearCoder, linear_coder
from romae.train import TrainConfig


class ConvCoder(Coder):
    """The maps of the module docstring; ``basis`` holds U_k and W, ``unit`` is c."""

    unit: Tensor  # c
    spread: Tensor  # sigma (k,)
    share: Tensor  # rho
    gain: Tensor  # g
    valid: Tensor | None

    def __init__(
        self, basis: LinearCoder, encoder: nn.Module, decoder: nn.Module, valid: Tensor | None
    ) -> None:
        super().__init__()
        self.basis = basis
        for name in ("unit", "share", "gain"):
            self.register_buffer(name, torch.tensor(1.0))
        self.register_buffer("spread", torch.ones(len(basis.modes)))
        self.register_buffer("valid", valid, persistent=False)
        self.encoder, self.decoder = encoder, decoder

    def measure(self, s: np.ndarray, snapshots: int, size: float) -> None:
        """Set the units from all singular values ``s``; ``size`` is the sum of the weights W."""
        k = len(self.basis.modes)
        total, left = np.sum(s**2), max(np.sum(s[k:] ** 2), 1e-14 * np.sum(s**2))
        self.unit.fill_(float(s[0]) / snapshots**0.5)
        self.spread.copy_(torch.from_numpy(np.maximum(s[:k] / s[0], 1e-3)))
        self.share.fill_(float(np.sqrt(left / total)))
        self.gain.fill_(float(np.sqrt(left / snapshots / size)))

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, *space) -> (B, k)."""
        return self.basis.encode(x) / self.unit + self.share * self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """(B, k) -> (B, C, *space), zero where masked."""
        x = self.basis.decode(z * self.unit) + self.gain * self.decoder(z / self.spread)
        return x if self.valid is None else x * self.valid


class ConvAutoencoder(Autoencoder):
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
    down : ``strided`` convolution or ``unshuffle`` (space to channels) to halve the grid.
    train : length, learning rate, seed and the like.
    scale : as for :class:`romae.POD`.
    """

    default_train = TrainConfig(steps=2000, lr=4e-3)

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
        down: Literal["strided", "unshuffle"] = "strided",
        train: TrainConfig | None = None,
        scale: Scale = "units",
    ) -> None:
        super().__init__(latent, train, scale)
        check_option("act", act, get_args(Activation))
        check_option("down", down, ("strided", "unshuffle"))
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
        self.blocks, self.head, self.down = blocks, head, down

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

    def _start(self, pod: Decomposition, snapshots: int) -> Coder:
        coder = self._coder(pod.modes[: self.latent])
        coder.measure(pod.s, snapshots, float(self.layout.quadrature.sum()))
        return coder

    def _build(self) -> Coder:
        return self._coder(np.zeros((self.latent, self.layout.size)))

    def _coder(self, modes: np.ndarray) -> ConvCoder:
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
        )
        encoder = ConvEncoder(layout.channels, self.latent, spec)
        decoder = ConvDecoder(self.latent, layout.channels, spec)
        valid = None
        if layout.mask is not None:
            valid = torch.from_numpy(layout.valid.astype(np.float32))
        return ConvCoder(linear_coder(layout, modes), encoder, decoder, valid)
