"""Dense autoencoder on the fields themselves, as a residual on POD.

    h = U_k W x' / c + rho E(x'),        x'^ = c U_k^T z + g D(z / sigma)

E: R^n -> R^k and D: R^k -> R^n dense networks of mirrored widths, whose last layers start at zero,
z what the bottleneck makes of h; the units are those of
:class:`romae.reducers.network_coder.ResidualCoder`. At the start this is POD with k modes.

Every point has its own weights: nothing is assumed of the grid, neither neighbours nor order, and
no set of modes needs to hold the field. The price is 2 n times the first width in weights. It fits
small or unstructured grids whose fields POD coordinates do not hold.

Sources: Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks";
the residual: Linot & Graham 2022.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

from torch import Tensor, nn

from romae.errors import OptionError, check_option, check_whole
from romae.fields import Snapshots
from romae.nets.activations import Activation
from romae.nets.bottlenecks import Bottleneck, Plain, Squeeze
from romae.nets.dense import MLP
from romae.reducers.autoencoder import Feed, Scale, Terms
from romae.reducers.data import FitData
from romae.reducers.layerwise import pretrain_layers
from romae.reducers.network_coder import NetworkCoder, ResidualCoder
from romae.reducers.residual_autoencoder import ResidualAutoencoder
from romae.train import TrainConfig
from romae.train.objective import MSE, Corruption

Pretrain = Literal["none", "layers"]

MOST_WEIGHTS = 100_000_000  # 0.4 GB to store, four times that to train


class DenseAutoencoder(ResidualAutoencoder):
    """Autoencoder whose dense networks see every point of the fields; see the module.

    ``fit`` refuses grids and widths of more than 1e8 weights with an OptionError.

    Parameters
    ----------
    latent : number of latents k.
    hidden : widths of the encoder from the fields inwards; the decoder mirrors them.
    act : activation.
    pretrain : ``layers`` trains the hidden layers one by one before all of them together, for deep
        networks; see :mod:`romae.reducers.layerwise`.
    bottleneck, objective, corruption, train, scale : as for every autoencoder, see
        :class:`romae.reducers.autoencoder.Autoencoder`.
    """

    default_train = TrainConfig(steps=6000, lr=1e-3)

    def __init__(
        self,
        latent: int = 2,
        *,
        hidden: Sequence[int] = (256, 64),
        act: Activation = "gelu",
        pretrain: Pretrain = "none",
        bottleneck: Bottleneck = Plain(),
        objective: Terms = MSE(),
        corruption: Corruption | None = None,
        train: TrainConfig | None = None,
        scale: Scale = "units",
    ) -> None:
        super().__init__(latent, bottleneck, objective, corruption, train, scale)
        check_option("act", act, get_args(Activation))
        check_option("pretrain", pretrain, get_args(Pretrain))
        self.hidden = tuple(check_whole("hidden", width) for width in hidden)
        if pretrain == "layers" and not self.hidden:
            raise OptionError(
                'pretrain="layers" needs hidden layers, and hidden is empty. Type '
                'hidden=(256, 64), or pretrain="none".'
            )
        self.act, self.pretrain = act, pretrain

    def check_size(self, snapshots: Snapshots) -> None:
        """Refuse networks that no machine should train, and sizes that cannot be determined."""
        n = snapshots.layout.size
        weights = 2 * sum(a * b for a, b in pairwise((n, *self.hidden, self.latent)))
        if weights > MOST_WEIGHTS:
            width = self.hidden[0] if self.hidden else self.latent
            raise OptionError(
                f"{self.name}(hidden={self.hidden}) on {n} values a snapshot has {weights:.3g} "
                f"weights: {weights * 4 / 1e9:.1f} GB to store, {weights * 16 / 1e9:.1f} GB while "
                f"training. Expected {MOST_WEIGHTS:.0e} or fewer, which is a first width of "
                f"{max(MOST_WEIGHTS // (2 * n), 1)} and not {width}. Type PODAutoencoder, whose "
                f"networks never see the grid, or ConvAutoencoder."
            )
        super().check_size(snapshots)

    def _networks(self, squeeze: Squeeze) -> tuple[nn.Module, nn.Module]:
        n, widths, act = self.layout.size, self.hidden, self.act
        encoder = MLP(n, squeeze.width, hidden=widths, act=act, zero_last=True)
        decoder = MLP(self.inside, n, hidden=widths[::-1], act=act, zero_last=True)
        shape = (self.layout.channels, *self.layout.shape)
        return (
            nn.Sequential(nn.Flatten(), encoder),
            nn.Sequential(decoder, nn.Unflatten(1, shape)),
        )

    def _prepare(self, coder: NetworkCoder, feed: Feed, data: FitData) -> None:
        """Layer-wise pre-training, where it was asked for."""
        if self.pretrain == "none":
            return
        assert isinstance(coder, ResidualCoder)
        encoder, decoder = (m for m in coder.modules() if isinstance(m, MLP))

        def latents(w: Tensor) -> Tensor:
            return coder.opened(coder.codes(w)) / coder.spread

        pretrain_layers(
            encoder,
            decoder,
            latents,
            feed,
            self.train,
            label=f"{self.name} latent={self.latent}",
            data_id=self._identity(*data.held_out()),
            folder=data.folder,
        )
