"""Templates (:mod:`romae.archive.template`) to and from a Zarr v3 group, by xarray.

xarray may store times as float64 days since some date and lose their last bit: what was written is
read again and compared, and a variable that came back changed is written without its encoding.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from romae.archive.template import SMALL
from romae.errors import DataError
from romae.fields.state import plain

KEPT = ("dtype", "_FillValue", "units", "calendar", "scale_factor", "add_offset")
NETCDF = ("char_dim_name",)  # encodings that Zarr refuses, for those who write netCDF again


def write_template(groups: Sequence[tuple[str, xr.Dataset]], folder: Path) -> dict[str, Any]:
    """Write the groups into ``folder``, which is made; the encodings that could not be written.

    The result, {group: {variable: encoding}}, is put back by :func:`read_template`.
    Raises :class:`DataError` for a variable that Zarr cannot hold.
    """
    lost: dict[str, Any] = {}
    for mode, (name, dataset) in zip(_modes(), groups, strict=False):
        clean = _storable(dataset)
        wanted = {
            str(n): v.encoding | _only(dataset.variables[n].encoding, NETCDF)
            for n, v in clean.variables.items()
        }
        _write(clean, folder, name, mode)
        found = _reopen(folder, name)
        if changed := _changed(clean, found):
            for n in changed:
                clean.variables[n].encoding = _safe_encoding(clean.variables[n])
            _write(clean, folder, name, mode)
            found = _reopen(folder, name)
            if still := _changed(clean, found):
                raise DataError(
                    f"variable {still[0]!r} ({clean.variables[still[0]].dtype}) cannot be stored "
                    "in Zarr without change. Convert it, or leave it out with "
                    f"ds.drop_vars({still[0]!r})"
                )
        if other := _other_encodings(wanted, found):
            lost[name] = other
    for path in folder.rglob("zarr.json"):  # zarr indents: a quarter of a small archive
        path.write_text(json.dumps(json.loads(path.read_text()), separators=(",", ":")))
    return lost


def _modes() -> Iterator[Any]:
    yield "w"
    while True:
        yield "a"


def _storable(dataset: xr.Dataset) -> xr.Dataset:
    """A copy in memory with the encodings that matter and plain attributes."""
    copy = dataset.compute()
    copy.attrs = plain(dataset.attrs)
    copy.encoding = {}
    for variable in copy.variables.values():
        variable.attrs = plain(variable.attrs)
        kept = _only(variable.encoding, KEPT)
        if variable.dtype.kind in "OUS" and "units" not in kept:  # text; cftime dates have units
            kept.pop("dtype", None)
        if variable.dtype.kind == "f":
            kept.setdefault("_FillValue", None)  # xarray would invent one
        variable.encoding = kept
    return copy


def _only(encoding: Mapping[Any, Any], names: Sequence[str]) -> dict[str, Any]:
    return {k: v for k, v in encoding.items() if k in names}


def _other_encodings(wanted: dict[str, dict[str, Any]], found: xr.Dataset) -> dict[str, Any]:
    """What of the source's encodings did not come back, as JSON holds it."""
    other = {}
    for name, encoding in wanted.items():
        have = found.variables[name].encoding
        texts = {k: str(np.dtype(v)) if k == "dtype" else plain(v) for k, v in encoding.items()}
        kept = {k: str(v) if k == "dtype" else plain(v) for k, v in have.items()}
        if lost := {k: v for k, v in texts.items() if repr(kept.get(k)) != repr(v)}:
            other[name] = lost
    return other


def _safe_encoding(variable: xr.Variable) -> dict[str, Any]:
    if variable.dtype.kind == "M":
        return {"units": "nanoseconds since 1970-01-01", "dtype": "int64", "calendar": "standard"}
    return {"_FillValue": None} if variable.dtype.kind == "f" else {}


def _write(dataset: xr.Dataset, folder: Path, group: str, mode: Any) -> None:
    from zarr.codecs import BloscCodec

    encoding: dict[Hashable, Any] = {}
    for name, variable in dataset.variables.items():
        encoding[name] = dict(variable.encoding)  # what is given here replaces the variable's own
        if variable.dims:
            encoding[name]["chunks"] = tuple(max(1, n) for n in variable.shape)
        if variable.dtype.kind in "fiumMb":
            codec = BloscCodec(cname="zstd", clevel=9, shuffle="shuffle", typesize=8)
            encoding[name]["compressors"] = [codec]
    with _quiet():
        dataset.to_zarr(
            folder,
            group=group or None,
            mode=mode,
            zarr_format=3,
            consolidated=False,
            encoding=encoding,
        )


def _reopen(folder: Path, group: str) -> xr.Dataset:
    return open_group(str(folder), group, {"decode_timedelta": False})


def open_group(store: Any, group: str, options: Mapping[str, Any]) -> xr.Dataset:
    """One group as xarray opens Zarr, without dask."""
    with _quiet():
        return xr.open_dataset(
            store,
            engine="zarr",
            group=group or None,
            chunks=None,
            cache=False,
            consolidated=False,
            **options,
        )


def _changed(written: xr.Dataset, found: xr.Dataset) -> list[str]:
    """Variables whose values are not what they were."""
    names = []
    for name, variable in written.variables.items():
        a, b = variable.values, found.variables[name].values
        kinds = {a.dtype.kind, b.dtype.kind}
        text = bool(kinds & set("OUST"))
        same = a.shape == b.shape and (
            text or kinds <= {"M"} or kinds <= {"m"} or a.dtype == b.dtype
        )
        if same and a.dtype.kind in "fc":
            same = np.array_equal(a, b, equal_nan=True)
        elif same:
            same = bool(np.all((a == b) | (_missing(a) & _missing(b))))
        if not same:
            names.append(str(name))
    return names


def _missing(values: np.ndarray) -> np.ndarray:
    return np.isnat(values) if values.dtype.kind in "mM" else np.zeros(values.shape, bool)


def read_template(
    store: Any, group: str, encodings: Mapping[str, Any], options: Mapping[str, Any]
) -> xr.Dataset:
    """The template ``group``, small variables in memory, with the encodings of the source."""
    dataset = open_group(store, group, options)
    for name, variable in dataset.variables.items():
        if variable.nbytes <= SMALL and name not in dataset.xindexes:
            variable.load()
        kept = _only(variable.encoding, KEPT)
        variable.encoding = {**kept, **encodings.get(group, {}).get(str(name), {})}
    dataset.encoding = {}
    return dataset


@contextmanager
def _quiet() -> Iterator[None]:
    """Zarr warns that text has no final specification in its version 3; xarray reads it."""
    with warnings.catch_warnings():
        for words in (
            ".*Zarr V3 specification.*",
            ".*does not have a Zarr V3.*",
            ".*specification.*",
        ):
            warnings.filterwarnings("ignore", message=words)
        yield
