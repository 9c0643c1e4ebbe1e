"""What the autoencoders share: parts, feeds, training, the start from POD.

An autoencoder is composed: a network, which is its class, around a *bottleneck*
(:mod:`romae.nets.bottlenecks`), trained for an *objective* on snapshots that a *corruption* has
spoilt (:mod:`romae.train.objective`).

Every network here is POD plus a residual network whose last layer starts at zero, so
that it starts as POD of its latent size and training can only improve on that (Linot &
Graham 2022, "Data-driven reduced-order modeling of spatiotemporal chaos with neural
ordinary differential equations").
"""

import copy
import hashlib
import math
from abc import abstractmethod
from typing import Any, ClassVar, Literal, Self, get_args

import torch

from romae import parts  # noqa: F401  (a kind is known by its name once its class is imported)
from romae.bundle import Bundle
from romae.errors import OptionError, check_option, check_whole
from romae.feed import ResidentFeed, StreamFeed, make_feed
from romae.fields import Snapshots
from romae.linalg import Decomposition
from romae.nets.bottlenecks import Bottleneck, Plain, Saturated
from romae.reducers.base import Reducer
from romae.reducers.coder import Coder
from romae.reducers.data import FitData
from romae.reducers.network_coder import NetworkCoder
from romae.reducers.pod import decompose_fields
from romae.train import TrainConfig, train
from romae.train.checkpoint import Told
from romae.train.objective import Corruption, Frame, Term, Training, objective
from romae.train.penalties import Contractive
from romae.train.ranks import Ranks, here

Scale = Literal["units", "field", "none"]
Feed = ResidentFeed | StreamFeed
Terms = Term | tuple[Term, ...]


class Autoencoder(Reducer):
    """Base of the trained reducers. An implementation writes ``_start`` and ``_build``.

    Parameters
    ----------
    latent : number of latents k.
    bottleneck : what stands between the encoder network and the latents.
    objective : term or terms that the training minimises.
    corruption : what is done to the snapshots that the encoder sees while training, or None.
    train : length, learning rate, seed and the like; None takes the default of the class.
    scale : as for :class:`romae.POD`.
    """

    default_train: ClassVar[TrainConfig]

    def __init__(
        self,
        latent: int,
        bottleneck: Bottleneck,
        objective: Terms,
        corruption: Corruption | None,
        train: TrainConfig | None,
        scale: Scale,
    ) -> None:
        super().__init__()
        self.latent = check_whole(f"{self.name} latent", latent)
        check_option("scale", scale, get_args(Scale))
        self.objective = (objective,) if isinstance(objective, Term) else tuple(objective)
        _check_part("train", train, TrainConfig | None, "TrainConfig(epochs=50)")
        _check_part("bottleneck", bottleneck, Bottleneck, "parts.Plain()")
        _check_part("corruption", corruption, Corruption | None, "parts.Noise()")
        for term in self.objective or (None,):
            _check_part("objective", term, Term, "parts.MSE()")
        bottleneck.check(self.latent)
        self.bottleneck, self.corruption, self.scale = bottleneck, corruption, scale
        self.train = self.default_train if train is None else train
        self._inside: int | None = None

    def check_size(self, snapshots: Snapshots) -> None:
        """Refuse a size that the snapshots cannot determine, and one that reduces nothing."""
        super().check_size(snapshots)
        mask, n = snapshots.layout.mask, snapshots.layout.size
        n = n if mask is None else int(mask.sum())
        free = isinstance(self.bottleneck, Plain | Saturated) and self.corruption is None
        if (
            self.latent >= n
            and free
            and not any(isinstance(t, Contractive) for t in self.objective)
        ):
            raise OptionError(
                f"{self.name} asks for {self.latent} latents of snapshots that have {n} values: a "
                f"copy of the snapshot would be the best code. Expected fewer, or a regulariser. "
                f"Type a size of {n - 1} or less, or add one such as bottleneck=parts.Sparse(), "
                "corruption=parts.Noise()."
            )

    @property
    def inside(self) -> int:
        """Number of latents of the networks: ``latent``, unless it was truncated."""
        return self._inside or self.latent

    @property
    def nested(self) -> bool:
        """Whether the first latents are of use without the others, for :meth:`truncate`."""
        return self.bottleneck.nested

    def truncate(self, latent: int) -> Self:
        """The same reducer with the first ``latent`` latents, the others zero.

        Raises :class:`romae.errors.OptionError` unless the bottleneck orders the latents.
        """
        module = self._coder_ready()
        if not self.nested:
            raise OptionError(
                f"{self.name}.truncate: the bottleneck {self.bottleneck.kind!r} leaves the latents "
                f"without order. Type bottleneck=romae.parts.Ordered(), or {self.name}({latent})."
            )
        if check_whole("latent", latent) > self.latent:
            raise OptionError(
                f"this {self.name} has {self.latent} latents; truncate to {latent} asks for what "
                f"it does not hold. Truncate to 1 ... {self.latent}."
            )
        short, short.module = copy.copy(self), copy.copy(module)
        short.module.kept = short.latent = latent
        short._inside = self.inside
        return short

    @property
    def latent_bytes(self) -> int:
        """Bytes of one encoded snapshot: of float32 latents, or of the numbers of codes."""
        return math.ceil(self.latent * self._coder_ready().squeeze.bits / 8)

    @property
    def findings(self) -> dict[str, float]:
        """What the bottleneck says about the latents: codes in use, rank, ..."""
        return self._coder_ready().squeeze.report()

    def _fitted_scalars(self) -> dict[str, Any]:
        return {"latent": self.latent, "_inside": self._inside}

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """The fitted reducer that ``to_bundle`` described, truncated as it was."""
        self = super().from_bundle(bundle)
        self._coder_ready().kept = self.latent
        return self

    def _coder_ready(self) -> NetworkCoder:
        coder = self._ready()
        assert isinstance(coder, NetworkCoder)
        return coder

    @abstractmethod
    def _start(self, pod: Decomposition, snapshots: int) -> NetworkCoder:
        """The coder before training, for ``self.layout``; it equals POD."""

    def _modes_needed(self, snapshots: Snapshots) -> int | float:
        """How many POD modes ``_start`` wants: a number, or a fraction of the energy."""
        return self.latent

    def _feed(self, coder: Coder, snapshots: Snapshots, data: FitData, shuffle: bool) -> Feed:
        """Batches for the training: scaled fields, unless the coder works in other coordinates."""
        return make_feed(
            snapshots,
            data.scaling,
            batch=self.train.batch_for(len(data.snapshots)),
            shuffle=shuffle,
            seed=self.train.seed,
            device=data.device,
            **self._share(shuffle),
        )

    def _resident(self, w: Any, data: FitData, shuffle: bool) -> ResidentFeed:
        """Batches of working coordinates ``w`` (T, ...) that are in memory."""
        return ResidentFeed(
            w,
            batch=self.train.batch_for(len(data.snapshots)),
            shuffle=shuffle,
            seed=self.train.seed,
            **self._share(shuffle),
        )

    def _share(self, training: bool) -> dict[str, int]:
        """The ranks of torchrun share what they train on; each validates on everything."""
        ranks = here() if training else Ranks()
        return {"rank": ranks.rank, "world": ranks.world}

    def _fit(self, data: FitData) -> Coder:
        self._inside = None
        train_set, valid_set = data.held_out()
        pod = decompose_fields(data, self._modes_needed(data.snapshots))
        if len(pod.modes) < self.latent:
            raise OptionError(
                f"{self.name}(latent={self.latent}): the snapshots have only {len(pod.modes)} "
                f"independent modes above rounding. Type a latent size of {len(pod.modes)} or less."
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.train.seed)
            coder = self._start(pod, len(data.snapshots))
        coder.to(data.device)
        train_feed = self._feed(coder, train_set, data, True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.train.seed)
            self._prepare(coder, train_feed, data)
            self._survey(coder, train_feed, "begin")
        frame = Frame(
            self.layout,
            self.scaling,
            data.survey,
            pod.total / len(data.snapshots),
            self.latent,
            coder,
            data.device,
        )
        module = Training(coder, self.objective, self.corruption, frame).to(data.device)
        valid_feed = None if valid_set is None else self._feed(coder, valid_set, data, False)
        self.history = train(
            module,
            objective,
            train_feed,
            valid_feed,
            self.train,
            label=f"{self.name} latent={self.latent}",
            data_id=self._identity(train_set, valid_set),
            folder=data.folder,
            report=coder.squeeze.report,
        )
        self._survey(coder, train_feed, "finish")
        return self._finish(coder, valid_feed, train_set, data)

    def _finish(
        self, coder: NetworkCoder, valid_feed: Feed | None, train_set: Snapshots, data: FitData
    ) -> NetworkCoder:
        """The trained coder, or a smaller one that does the same."""
        return coder

    def _prepare(self, coder: NetworkCoder, feed: Feed, data: FitData) -> None:
        """What is done to the coder before its training: nothing, unless overridden."""

    def _survey(self, coder: NetworkCoder, feed: Feed, hook: Literal["begin", "finish"]) -> None:
        """Show the bottleneck what the encoder makes of the training snapshots, if it wants it."""
        if coder.squeeze.surveys:
            with torch.no_grad():
                h = torch.cat([coder.analyse(w) for w in feed.epoch(0)])
                getattr(coder.squeeze, hook)(h)

    def _identity(self, train_set: Snapshots, valid_set: Snapshots | None) -> Told:
        """What decides the result, besides tensors and settings of the training."""
        layout, options = self.layout, {k: str(v) for k, v in self.arguments.items()}
        told = ("objective", "corruption", "scale")
        settings = {k: v for k, v in options.items() if k in told}
        rest = {k: v for k, v in options.items() if k not in (*told, "train")}
        numbers = hashlib.sha256(layout.quadrature.tobytes() + self.scaling.scale.tobytes())
        data = {
            "training snapshots": train_set.fingerprint,
            "validation snapshots": valid_set.fingerprint if valid_set else "none",
            "periodic axes": str(layout.periodic),
            "weights and scale": numbers.hexdigest(),
        }
        reducer = {"reducer": self.name}
        return {"settings": settings, "architecture": reducer | rest, "data": data}


def _check_part(name: str, value: object, kind: Any, example: str) -> None:
    if not isinstance(value, kind):
        raise OptionError(
            f"{name} is a {type(value).__name__}: {value!r}. Expected one such as {example}; type "
            f"{name}=romae.{example}"
        )
