"""Short names of reducers and dynamics, as the command line and study files spell them.

The class name works too: ``kind = "pod-ae"`` and ``kind = "PODAutoencoder"`` are the
same. Options are the constructor's own arguments, read strictly. A preset such as ``vae`` takes its
own options and those of its network (:mod:`romae.reducers.presets`). ``aligned`` takes ``axes``,
``inner``, the kind it works with (``pod-ae``), and the options of that. Its size counts the phases,
two latents for each axis; an energy fraction is that of the POD inside.
"""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import romae
from romae.config import read_arguments
from romae.errors import OptionError, nearest

REDUCERS = {
    "pod": "POD",
    "quadratic": "QuadraticManifold",
    "pod-ae": "PODAutoencoder",
    "conv": "ConvAutoencoder",
    "dense": "DenseAutoencoder",
    "linear": "LinearAutoencoder",
    "stacked": "StackedAutoencoder",
    "sequence": "SequenceAutoencoder",
    "conditional": "ConditionalAutoencoder",
    "vae": "VAE",
    "cvae": "CVAE",
    "denoising": "DenoisingAutoencoder",
    "masked": "MaskedAutoencoder",
    "vqvae": "VQVAE",
    "sparse": "SparseAutoencoder",
    "contractive": "ContractiveAutoencoder",
    "rank": "RankFindingAutoencoder",
    "aligned": "Aligned",
}
DYNAMICS = {
    "persistence": "Persistence",
    "climatology": "Climatology",
    "dmd": "DMD",
    "echo": "EchoState",
    "polynomial": "PolynomialMap",
    "gru": "GRU",
    "lstm": "LSTM",
    "transformer": "Transformer",
    "neural-ode": "NeuralODE",
    "opinf": "OperatorInference",
    "sindy": "SINDy",
    "koopman": "Koopman",
    "ensemble": "Ensemble",
    "equivariant": "Equivariant",
    "latent-gp": "LatentGP",
}
_SIZE = {"POD": "rank"}  # what the constructor calls the latent size, where not "latent"


def make_reducer(
    kind: str,
    latent: int | float | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    where: str = "",
    besides: Iterable[str] = (),
) -> Any:
    """Unfitted reducer; ``latent`` None takes the default of the class.

    ``where`` opens the errors about options, before the kind; ``besides``: options that are known,
    too, and have been taken out. Raises :class:`OptionError` for
    unknown kinds and options, with the nearest name.
    """
    made = _lookup(kind, REDUCERS, "reducer")
    arguments = dict(options or {})
    where = f"{where} {kind}".strip()
    if made is romae.Aligned:
        own = {n: arguments.pop(n) for n in ("axes",) if n in arguments}
        latent = arguments.pop("latent", None) if latent is None else latent
        whole = None if isinstance(latent, float) else latent
        size = None if whole is not None else latent
        besides = ("axes", "inner")
        inside = _inside(arguments, where)
        inner = make_reducer(inside, size, arguments, where=where, besides=besides)
        return made(inner, **read_arguments(made, own, where=where), latent=whole)
    cls = _network(made, arguments, where)
    default = getattr(cls, "default_train", None)
    if default is not None and isinstance(arguments.get("train"), Mapping):
        # One setting of a training changes that one; the others stay those of the class.
        arguments["train"] = {**asdict(default), **arguments["train"]}
    if latent is not None:
        arguments[_SIZE.get(cls.__name__, "latent")] = latent
    given = read_arguments(made, arguments, where=where, rest=cls, besides=besides)
    return made(**given)


def seeded(kind: str, options: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """``options`` with the seed of the training, where they name none and ``kind`` is trained."""
    if not trained(kind, options):
        return dict(options)
    return {**options, "train": {"seed": seed, **options.get("train", {})}}


def trained(kind: str, options: Mapping[str, Any]) -> bool:
    """Whether a reducer of this kind is trained from random weights."""
    network = _network(_lookup(kind, REDUCERS, "reducer"), options, kind)
    return hasattr(network, "default_train")


def _inside(arguments: dict[str, Any], where: str) -> str:
    """The kind of the reducer inside another one, taken out of ``arguments``."""
    kind = arguments.pop("inner", "pod-ae")
    if not isinstance(kind, str):
        raise OptionError(f"{where}.inner is {kind!r}. Expected a kind; {nearest('', REDUCERS)}")
    return kind


def _network(made: Any, arguments: Mapping[str, Any], where: str) -> Any:
    """The class that ``made`` gives: itself, or the network that a preset composes, or that of the
    reducer inside."""
    if made is romae.Aligned:
        inner = dict(arguments)
        return _network(_lookup(_inside(inner, where), REDUCERS, "reducer"), inner, where)
    if inspect.isclass(made):
        return made
    from romae.reducers.presets import NETWORKS

    parameter = inspect.signature(made).parameters.get("network")
    if parameter is None:  # a preset of one network says which by its annotation
        return inspect.signature(made, eval_str=True).return_annotation
    network = arguments.get("network", parameter.default)
    if network not in NETWORKS:
        raise OptionError(
            f"{where}.network: unknown value {network!r}. {nearest(str(network), NETWORKS)}"
        )
    return NETWORKS[network]


def make_dynamics(
    kind: str,
    options: Mapping[str, Any] | None = None,
    *,
    device: str = "cpu",
    where: str = "",
) -> Any:
    """Unfitted dynamics model, trained on ``device`` if it is one that trains."""
    from romae.feed import pick_device

    cls = _lookup(kind, DYNAMICS, "dynamics")
    arguments = read_arguments(cls, options or {}, where=f"{where} {kind}".strip())
    if "device" in inspect.signature(cls).parameters:
        arguments.setdefault("device", str(pick_device(device)))
    return cls(**arguments)


def class_name(kind: str, table: Mapping[str, str], what: str) -> str:
    """Name of the public class or preset that ``kind`` stands for."""
    if kind in table.values():
        return kind
    if kind not in table:
        raise OptionError(f"unknown {what} {kind!r}. {nearest(kind, [*table, *table.values()])}")
    return table[kind]


def _lookup(kind: str, table: Mapping[str, str], what: str) -> Any:
    return getattr(romae, class_name(kind, table, what))
