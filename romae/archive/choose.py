"""Which methods a chunk may be coded by.

    candidates(snapshots, eps, model) -> [Method, ...]        tried on every chunk, fewest bytes win

``model=None`` learns nothing: splines and the lossless coder. ``"auto"`` also fits what may pay for
itself, on a sample of whole chunks spread over the data; a fitted reducer is tried beside all that.
A method of one's own is tried beside the splines. Side information is stored once and counted, so
with b_m the bytes of a sample chunk by method m, b_0 those by the methods kept so far, a fitted m
stays only if

    (chunks in all / chunks in the sample) Σ max(0, b_0 - b_m)  >  bytes of its side information.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from romae.archive.bound import read_values
from romae.archive.chunk import chunk_bytes, filled
from romae.archive.given import GivenModel
from romae.archive.method import Method
from romae.archive.store import sha256
from romae.errors import ArchiveError, OptionError, nearest
from romae.fields.snapshots import Snapshots
from romae.progress import track

SAMPLE_BYTES = 256 * 2**20  # of float64 that methods are fitted on
SAMPLE_CHUNKS = 12
TRIED_CHUNKS = 3  # of the sample, on which bytes are counted


def classes() -> dict[str, type[Method]]:
    """The methods this romae can decode, by the name that chunks carry."""
    from romae.archive.coded_pod import CodedPOD
    from romae.archive.equation import Equation
    from romae.archive.network import Network
    from romae.archive.spline import Spline
    from romae.archive.stencil import Stencil

    found: list[type[Method]] = [Spline, CodedPOD, Equation, Stencil, Network]
    return {c.name: c for c in found}


def load_method(name: str, side: bytes) -> Method:
    """The method ``name`` with its side information.

    Raises :class:`ArchiveError` for a name this romae does not know.
    """
    known = classes()
    if name not in known:
        raise ArchiveError(
            f"the archive was coded by the method {name!r}. {nearest(name, known)} It may come "
            "from a newer romae; type `pip install --upgrade romae`"
        )
    return known[name].from_bytes(side)


def candidates(
    snapshots: Snapshots,
    eps: np.ndarray,
    model: Any,
    chunk: int,
    dtypes: Sequence[np.dtype],
) -> list[Method]:
    """Methods to try on every chunk of ``chunk`` snapshots; ``eps``: (C,), 0 = exact.

    Raises :class:`OptionError` for a ``model`` that cannot code.
    """
    found = [c.from_bytes(b"") for n, c in classes().items() if n == "spline"]
    if model is None or not eps.any():
        return found
    given = model if isinstance(model, GivenModel) else None
    if given is None and not _is_auto(model):
        method = as_method(model)
        return [m for m in found if m.name != method.name] + [method]
    sample = take_sample(snapshots, eps, chunk, dtypes)
    with track(None, "fitting methods"):
        fitted = [m for m in fit_methods(snapshots, sample) if m is not None]
        if given is not None:
            found_network = _fit_given(given, sample, eps)
            fitted += [] if found_network is None else [found_network]
        return keep_paying(found, fitted, sample)


@dataclass
class Sample:
    """``runs``: chunks (n, C', *space) float64 of the fields with a bound, finite; ``eps``: (C',);

    ``dtypes``: stored types of those fields; ``share``: chunks in all per chunk here.
    """

    runs: list[np.ndarray]
    eps: np.ndarray
    dtypes: list[np.dtype]
    share: float


def take_sample(
    snapshots: Snapshots, eps: np.ndarray, chunk: int, dtypes: Sequence[np.dtype]
) -> Sample:
    """Whole chunks at even distances over all cases, at most ``SAMPLE_BYTES``."""
    from romae.archive.plan import chunk_items, chunk_range

    lengths, lossy = list(snapshots.lengths), np.flatnonzero(eps)
    items = list(chunk_items(lengths, chunk))
    each = chunk * lossy.size * int(np.prod(snapshots.layout.shape)) * 8
    count = max(1, min(len(items), SAMPLE_CHUNKS, SAMPLE_BYTES // max(1, each)))
    places = np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))
    runs = []
    for place in places:
        start, stop = chunk_range(items[place], lengths, chunk)
        x = read_values(snapshots, start, stop, items[place][0])[:, lossy]
        finite = np.isfinite(x)
        runs.append(np.stack([filled(x[:, c], finite[:, c]) for c in range(lossy.size)], axis=1))
    return Sample(runs, eps[lossy], [dtypes[int(c)] for c in lossy], len(items) / len(places))


def fit_methods(snapshots: Snapshots, sample: Sample) -> list[Method | None]:
    """Every method that is learned, fitted; None where it does not apply."""
    from romae.archive.coded_pod_fit import fit_pod
    from romae.archive.equation_fit import fit_equation
    from romae.archive.stencil_fit import fit_stencil

    runs, eps, periodic = sample.runs, sample.eps, snapshots.layout.periodic
    return [
        fit_equation(runs, eps, periodic),
        fit_stencil(runs, eps, periodic, sample.share),
        fit_pod(lambda: runs, eps, share=sample.share),
    ]


def _fit_given(given: GivenModel, sample: Sample, eps: np.ndarray) -> Method | None:
    from romae.archive.network_fit import fit_network

    return fit_network(given.reducer, sample.runs, eps, sample.share, given.parent)


def keep_paying(base: list[Method], fitted: Sequence[Method], sample: Sample) -> list[Method]:
    """``base`` and those of ``fitted`` that save more bytes than they bring, with their floors."""
    step = max(1, len(sample.runs) // TRIED_CHUNKS)
    runs = sample.runs[::step][:TRIED_CHUNKS]
    share = sample.share * len(sample.runs) / len(runs)

    def sizes(method: Method) -> np.ndarray:
        found = np.array([chunk_bytes(x, sample.eps, method, sample.dtypes) for x in runs])
        method.floor = float(min(found / [len(x) for x in runs]))
        return found

    if not fitted:
        return base
    kept, best = list(base), np.min([sizes(m) for m in base], axis=0)
    left = {m.name: (m, sizes(m)) for m in fitted}
    while left:
        gains = {
            n: share * float(np.maximum(0, best - b).sum()) - len(m.to_bytes())
            for n, (m, b) in left.items()
        }
        name = max(gains, key=lambda n: gains[n])
        if gains[name] <= 0:
            break
        method, found = left.pop(name)
        kept.append(method)
        best = np.minimum(best, found)
    return kept


def as_method(model: Any) -> Method:
    """``model`` (not "auto" or None) as a method."""
    if isinstance(model, Method):
        if model.name not in classes():
            raise OptionError(
                f"model={model!r} has the name {model.name!r}, by which nobody could open the "
                f"archive. {nearest(model.name, classes())}"
            )
        return model
    what = repr(model) if isinstance(model, str | os.PathLike) else type(model).__name__
    raise OptionError(
        f"model={what} cannot predict fields for an archive. Expected 'auto', None (none on the "
        "command line), a fitted reducer, the path of a saved one, or a method of romae.archive"
    )


def _is_auto(model: Any) -> bool:
    return isinstance(model, str) and model == "auto"


def describe_model(model: Any) -> str:
    """``model`` in the plan: equal words, equal bytes."""
    if model is None or _is_auto(model):
        return str(model).lower()
    if isinstance(model, GivenModel):
        return model.describe()
    method = as_method(model)
    return f"{method.name} {sha256(method.to_bytes())[:16]}"
