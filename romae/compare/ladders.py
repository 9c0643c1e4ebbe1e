"""Models to compare, with the whole curve over k where one fit gives it.

A *ladder* is one fitted reducer and its *rungs*: the reducers that share its encoder. The
latents of POD are nested (the first j of k latents are those of POD with rank j), so one
encoding serves all ranks,

    z = E(x) in R^k,      x^_j = D_j(z_1 ... z_j),      j in {1, 2, 3, 4, 6, 8, 12, 16, ...}.

Any reducer with a method ``truncate(j)`` is taken to be nested, unless it says ``nested = False``.
Others have one rung.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from romae.errors import DataError, NotFittedError, OptionError
from romae.fields import Snapshots

Models = Any  # one reducer or reduced model, a sequence of them, or a mapping of names to them


@dataclass(frozen=True)
class Rung:
    """One row of the comparison: ``reducer`` decodes the first ``latent`` numbers."""

    name: str
    latent: int
    reducer: Any


@dataclass(frozen=True)
class Ladder:
    """One fitted ``reducer``, its class name ``family`` and its ``rungs`` by latent size."""

    reducer: Any
    family: str
    rungs: tuple[Rung, ...]

    def along(self, snapshots: Snapshots, case: int) -> "Ladder":
        """The same for one trajectory, whose blocks come in order: see ``Reducer.along``."""
        rungs = tuple(replace(r, reducer=along(r.reducer, snapshots, case)) for r in self.rungs)
        return replace(self, reducer=along(self.reducer, snapshots, case), rungs=rungs)


def along(reducer: Any, snapshots: Snapshots, case: int) -> Any:
    """``reducer`` for one trajectory; itself where it knows no such thing."""
    own = getattr(reducer, "along", None)
    return reducer if own is None else own(snapshots, case)


def named(models: Models) -> dict[str, Any]:
    """``models`` as a mapping of names to models; names are unique.

    Raises :class:`OptionError` when there is none.
    """
    if isinstance(models, Mapping):
        found = {str(name): model for name, model in models.items()}
    else:
        several = models if isinstance(models, Sequence) else [models]
        found = _unique([(default_name(model), model) for model in several])
    if not found:
        raise OptionError("no model to compare. Expected at least one: compare([pod, ae], test).")
    return found


def default_name(model: Any) -> str:
    """``"POD k=8"`` for a reducer, ``"POD k=8 + DMD"`` for a reduced model."""
    reducer = as_reducer(model)
    name = f"{reducer.name} k={reducer.latent}"
    dynamics = getattr(model, "dynamics", None)
    return name if dynamics is None else f"{name} + {dynamics.name}"


def as_reducer(model: Any) -> Any:
    """The reducer of a reduced model, or the reducer itself, fitted.

    Raises :class:`OptionError` for anything else, :class:`NotFittedError` before ``fit``.
    """
    reducer = getattr(model, "reducer", model)
    if not (hasattr(reducer, "encode_tensor") and hasattr(reducer, "decode_tensor")):
        raise OptionError(
            f"cannot compare a {type(model).__name__}. Expected fitted reducers or reduced models, "
            f"such as romae.POD(8).fit(train) or romae.load('wake.rom')."
        )
    if getattr(reducer, "layout", None) is None or getattr(reducer, "scaling", None) is None:
        raise NotFittedError(
            f"this {type(reducer).__name__} has not been fitted. Call .fit(train) first, or open a "
            f"fitted one with romae.load(path)."
        )
    return reducer


def identity(reducer: Any) -> str:
    """Equal for reducers that do the same: one saved in two reduced models is loaded twice."""
    if not hasattr(reducer, "to_bundle"):
        return str(id(reducer))
    document, arrays = reducer.to_bundle()
    found = hashlib.sha256(str(document.get("class")).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def ladders(models: Models, *, pod_curve: bool = True) -> list[Ladder]:
    """One ladder per model; with ``pod_curve`` nested reducers get every rank of the curve.

    The ranks include the latent sizes of all other models, so that each meets POD at its own
    size. Reduced models that share a reducer give one ladder, and so do PODs of one data set at
    several sizes: the largest holds the others.
    """
    given = named(models)
    reducers: dict[str, tuple[str, Any]] = {}
    for name, model in given.items():
        reducer = as_reducer(model)
        # A reduced model is known by its reducer here: its dynamics play no part.
        own = reducer is model or (isinstance(models, Mapping) and name != default_name(model))
        label = name if own else default_name(reducer)
        reducers.setdefault(identity(reducer), (label, reducer))
    sizes = {reducer.latent for _, reducer in reducers.values()}
    rows = dict(_unique(list(reducers.values())))
    taken: set[str] = set()
    result: list[Ladder] = []
    nested = {n: r for n, r in rows.items() if pod_curve and _nested(r)}
    # A name of the caller's own is kept, with the rank behind it.
    stems = {name: name.removesuffix(f" k={r.latent}") for name, r in nested.items()}
    for name, reducer in rows.items():
        if name in nested:
            stem = stems[name]
            if any(stems[n] == stem and _holds(r, reducer) for n, r in nested.items()):
                continue  # every rung of this one is a rung of that one
            rungs = tuple(
                Rung(f"{stem} k={k}", k, reducer if k == reducer.latent else reducer.truncate(k))
                for k in ranks(reducer.latent, sizes)
            )
        else:
            rungs = (Rung(name, reducer.latent, reducer),)
        if taken & {rung.name for rung in rungs}:
            rungs = tuple(Rung(f"{r.name} ({len(result) + 1})", r.latent, r.reducer) for r in rungs)
        taken |= {rung.name for rung in rungs}
        result.append(Ladder(reducer, reducer.name, rungs))
    return result


def _nested(reducer: Any) -> bool:
    return hasattr(reducer, "truncate") and getattr(reducer, "nested", True)


def _holds(large: Any, small: Any) -> bool:
    """Whether ``small`` is ``large`` truncated: same data, options, scaling and weights.

    Never so for what is trained: each size ends elsewhere.
    """
    if type(large) is not type(small) or not small.latent < large.latent:
        return False
    (one, arrays), (other, others) = large.to_bundle(), small.to_bundle()
    options = [{**d["arguments"], "rank": None, "latent": None} for d in (one, other)]
    if "train" in options[0] or options[0] != options[1] or not small.training:
        return False
    if large.training.get("fingerprint") != small.training.get("fingerprint"):
        return False
    outside = [n for n in arrays if not n.startswith("module/")]
    return all(np.array_equal(arrays[n], others.get(n)) for n in outside)


def ranks(most: int, also: Iterable[int] = ()) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, ... up to and with ``most``, and those of ``also`` below it.

    >>> ranks(10, also=[5, 40])
    [1, 2, 3, 4, 5, 6, 8, 10]
    """
    steps = {1, most} | {k for k in also if k <= most}
    for power in range(1, most.bit_length() + 1):
        steps |= {2**power, 3 * 2 ** (power - 1)}
    return sorted(k for k in steps if 1 <= k <= most)


def check_test(models: Models, test: Snapshots, *, on_leak: str) -> dict[str, str]:
    """Check grids, and say for each model name what it knew of ``test`` already ("" for nothing).

    Raises :class:`romae.errors.GridMismatchError` for another grid and, with ``on_leak="raise"``,
    :class:`DataError` when a model was fitted to these very snapshots.
    """
    found = {}
    for name, model in named(models).items():
        reducer = as_reducer(model)
        reducer.layout.check_same(test.layout, f"the test data, for {name}")
        found[name] = leak(getattr(reducer, "training", None) or {}, test)
        if found[name] == SAME and on_leak == "raise":
            raise DataError(
                f"{name} was fitted to these very snapshots ({test.source}, {len(test)} of them): "
                f"an error on them says nothing about unseen ones. Expected later or other ones; "
                f"split first: train, test = snapshots.split(0.8, 0.2), on the command line "
                f"--split 0.8,0.2 for fit and compare alike; or type "
                f'on_leak="flag" for the training error.'
            )
    return found


SAME = "the training data themselves"
OVERLAP = "times within the training times of the same source"


def leak(training: Mapping[str, Any], test: Snapshots) -> str:
    """What ``training`` (as a reducer recorded it) has in common with ``test``, or ""."""
    if not training:
        return ""
    if training.get("fingerprint") == test.fingerprint:
        return SAME
    alone = training.get("cases", 1) == 1 and test.cases == 1
    if not alone or training.get("source") != test.source or "first_time" not in training:
        return ""
    times = test.times(0).values
    first, last = training["first_time"], training["last_time"]
    if times.dtype.kind in "iuf":
        inside = float(times[0]) <= float(last) and float(times[-1]) >= float(first)
    else:  # ISO text of dates orders as the dates do
        inside = str(times[0]) <= last and str(times[-1]) >= first
    return OVERLAP if inside else ""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Repeated names get a number: ``A``, ``A (2)``."""
    found: dict[str, Any] = {}
    for name, model in pairs:
        label, n = name, 1
        while label in found:
            n += 1
            label = f"{name} ({n})"
        found[label] = model
    return found
