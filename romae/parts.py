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

from romae.nets.bottlenecks import Bottleneck, Plain, Saturated
from romae.train.objective import MSE, Corruption, Term

__all__ = ["MSE", "Bottleneck", "Corruption", "Plain", "Saturated", "Term"]
