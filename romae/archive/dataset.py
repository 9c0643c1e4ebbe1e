"""An archive as an xarray Dataset: the template, with the fields put in, lazy.

A field is an array over (case, time, *space) inside and has the dimensions of the source, in the
source's order, outside: dimensions of length 1 that were set aside are restored. Whatever is
indexed decodes the chunks it touches and no others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from romae.archive.reading import Archive
from romae.archive.taking import take
from romae.archive.template import typed_attributes
from romae.archive.template_zarr import read_template
from romae.errors import OptionError


def open_fields(
    archive: Archive,
    *,
    case: int | None = None,
    drop: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """The Dataset of ``archive``; ``options`` of decoding as in ``xr.open_dataset``.

    ``case``: only this one, needed where the cases have times of their own. Raises
    :class:`OptionError` where it is needed and not given, or names no case.
    """
    facts = archive.facts
    cases = _chosen_cases(archive, case)
    group = facts["groups"][case or 0] if len(facts["groups"]) > 1 else facts["groups"][0]
    given = {**(options or {}), "drop_variables": list(drop) or None}
    dataset = read_template(archive.labels(), group, facts["encodings"], given)
    shared = facts["case_dim"]
    if case is not None and shared is not None and shared in dataset.dims:
        dataset = dataset.isel({shared: case})
    fields = {}
    for i, (name, about) in enumerate(facts["variables"].items()):
        if name in drop:
            continue
        dims = [d for d in about["dims"] if case is None or d != shared]
        array = FieldArray(archive, i, cases, tuple(dims))
        variable = xr.Variable(dims, indexing.LazilyIndexedArray(array), dict(about["attrs"]))
        variable.encoding = _encoding(about, array)
        fields[name] = variable
    types = facts.get("types", {})
    variables = {**fields, **dataset.variables}
    listed = dict.fromkeys([n for n in facts.get("order", []) if n in variables] + [*variables])
    for name, variable in variables.items():
        variable.attrs = typed_attributes(variable.attrs, types.get(str(name), {}))
    whole = xr.Dataset(
        {n: variables[n] for n in listed if n not in dataset.coords},
        coords={n: variables[n] for n in listed if n in dataset.coords},
        attrs=typed_attributes(dataset.attrs, types.get("", {})),
    )
    limits = [d for d in facts["unlimited"] if d in whole.dims]
    whole.encoding = {"source": archive.path, **({"unlimited_dims": set(limits)} if limits else {})}
    return whole


def _chosen_cases(archive: Archive, case: int | None) -> tuple[int, ...]:
    """Cases that the fields run over."""
    count = len(archive.lengths)
    if case is not None:
        if not 0 <= case < count:
            raise OptionError(f"case={case}: the archive has {count}. Expected 0 to {count - 1}")
        return (case,)
    if len(archive.facts["groups"]) > 1:
        lengths = ", ".join(map(str, archive.lengths[:8]))
        raise OptionError(
            f"{archive.path} holds {count} cases that do not share their times (of {lengths}"
            f"{', ...' if count > 8 else ''} snapshots) and make no common Dataset. Open one, from "
            f"0 to {count - 1}: xr.open_dataset({archive.path!r}, engine='romae', case=0), in a "
            "shell --case 0; or all as a tree: xr.open_datatree(path)"
        )
    return tuple(range(count))


def _encoding(about: Mapping[str, Any], array: FieldArray) -> dict[str, Any]:
    found = dict(about["encoding"])
    found.setdefault("dtype", np.dtype(about["dtype"]))
    if isinstance(found["dtype"], str):
        found["dtype"] = np.dtype(found["dtype"])
    chunk, time = array.archive.chunk, array.archive.facts["time"]
    found["preferred_chunks"] = {
        d: min(chunk, n) if d == time else 1 if d == array.case_dim else n
        for d, n in zip(array.dims, array.shape, strict=True)
    }
    return found


class FieldArray(BackendArray):
    """One field of an archive over ``dims``, for xarray's lazy indexing."""

    def __init__(
        self, archive: Archive, field: int, cases: tuple[int, ...], dims: tuple[str, ...]
    ) -> None:
        facts = archive.facts
        self.archive, self.field, self.cases, self.dims = archive, field, cases, dims
        self.dtype = archive.dtypes[field].newbyteorder("=")
        self.case_dim = facts["case_dim"]
        sizes = {facts["time"]: archive.lengths[cases[0]]}
        sizes |= dict(zip(facts["space"], archive.shape, strict=True))
        sizes |= {self.case_dim: len(cases)} if self.case_dim in dims else {}
        self.shape = tuple(sizes.get(d, 1) for d in dims)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.typing.ArrayLike:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._take
        )

    def _take(self, key: tuple[Any, ...]) -> np.ndarray:
        """Outer indexing: an int, a slice or positions for each dimension."""
        facts = self.archive.facts
        picked: dict[str, Any] = {
            d: [k] if np.isscalar(k) else k for d, k in zip(self.dims, key, strict=True)
        }
        sizes = dict(zip(self.dims, self.shape, strict=True))
        places: dict[str, Any] = {d: np.arange(sizes[d])[k] for d, k in picked.items()}
        with_case = self.case_dim in self.dims
        cases = [self.cases[i] for i in places[self.case_dim]] if with_case else self.cases
        space = tuple(
            picked[d] if isinstance(picked[d], slice) else places[d] for d in facts["space"]
        )
        values = take(self.archive, self.field, cases, places[facts["time"]], space)
        axes = [self.case_dim, facts["time"], *facts["space"]]
        if not with_case:
            values, axes = values[0], axes[1:]
        values = values.transpose([axes.index(d) for d in self.dims if d in axes])
        values = values[tuple(slice(None) if d in axes else None for d in self.dims)]
        for axis, d in enumerate(self.dims):
            if d not in axes:  # of length 1 in the source
                values = np.take(values, places[d], axis=axis)
        squeezed = tuple(axis for axis, k in enumerate(key) if np.isscalar(k))
        return values.squeeze(squeezed) if squeezed else values
