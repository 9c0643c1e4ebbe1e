"""Parts that autoencoders are composed of: ``ConvAutoencoder(4, bottleneck=parts.Plain())``.

=============  =========================================================================
bottleneck     what stands between the encoder network and the latents
objective      terms that the training minimises, one or several with weights
corruption     what is done to the snapshots that the encoder sees while training
=============  =========================================================================

In files and on the command line a part is its kind, ``"plain"``, or a table with options,
``{kind = "saturated", bound = 4.0}``. New ones: subclass, decorate with ``@dataclass(frozen=True,
kw_only=True)``, name a ``kind``.
"""

from romae.nets.bottlenecks import (
    Bottleneck,
    Ordered,
    Plain,
    RankFinding,
    Saturated,
    Sparse,
    Variational,
    VectorQuantised,
)
from romae.train.adversarial import Adversarial
from romae.train.corruptions import Masking, Noise, Patches, SensorDropout, Shifts
from romae.train.objective import MSE, Corruption, Term
from romae.train.penalties import Contractive
from romae.train.physics import Divergence, Physics
from romae.train.terms import BCE, L1, Gradient, Relative, Spectral

__all__ = [
    "BCE",
    "L1",
    "MSE",
    "Adversarial",
    "Bottleneck",
    "Contractive",
    "Corruption",
    "Divergence",
    "Gradient",
    "Masking",
    "Noise",
    "Ordered",
    "Patches",
    "Physics",
    "Plain",
    "RankFinding",
    "Relative",
    "Saturated",
    "SensorDropout",
    "Shifts",
    "Sparse",
    "Spectral",
    "Term",
    "Variational",
    "VectorQuantised",
]
