"""Layout to JSON and arrays and back, exactly.

Numbers go to arrays that any tensor file can hold; datetimes go there as int64 with their unit;
text goes to JSON. Attributes become plain Python values (lists for arrays) when a layout is
made, so that what is read back equals what was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from romae.fields.layout import Field, Layout


def plain(value: Any) -> Any:
    """``value`` with numpy scalars, arrays and bytes turned into what JSON can hold."""
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()] if value.ndim else plain(value.item())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def pack_array(values: np.ndarray, name: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Describe ``values`` in JSON; numbers are put into ``arrays`` under ``name``."""
    dtype = values.dtype
    if dtype.kind in "OUS":
        listed = [plain(v) for v in values.ravel().tolist()]
        return {"dtype": dtype.str, "shape": list(values.shape), "values": listed}
    if dtype.kind in "mM":
        arrays[name] = values.astype("int64")
    elif dtype.kind == "c":
        arrays[name] = np.stack([values.real, values.imag], axis=-1)
    else:
        arrays[name] = np.ascontiguousarray(values, dtype=dtype.newbyteorder("=")).reshape(
            values.shape
        )
    return {"dtype": dtype.str, "array": name}


def unpack_array(state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The array that :func:`pack_array` described."""
    dtype = np.dtype(state["dtype"])
    if "values" in state:
        listed = state["values"]
        if dtype.kind == "S":
            listed = [str(v).encode() for v in listed]
        flat = np.empty(len(listed), dtype=dtype)
        flat[:] = listed
        return flat.reshape(state["shape"])
    stored = np.asarray(arrays[state["array"]])
    if dtype.kind == "c":
        return (stored[..., 0] + 1j * stored[..., 1]).astype(dtype)
    return stored.astype(dtype)


def layout_to_state(layout: Layout) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """See :meth:`romae.fields.Layout.to_state`."""
    arrays: dict[str, np.ndarray] = {}
    if not np.all(layout.weights == 1):  # uniform weights are the default: they cost no bytes
        arrays["weights"] = np.asarray(layout.weights, dtype=np.float64)
    if layout.mask is not None:
        arrays["mask"] = layout.mask
    coords = {
        str(name): {
            "dims": list(v.dims),
            "attrs": plain(v.attrs),
            **pack_array(v.values, f"coords.{name}", arrays),
        }
        for name, v in layout.coords.variables.items()
    }
    state = {
        "fields": [
            {
                "name": f.name,
                "attrs": plain(f.attrs),
                "dtype": f.dtype,
                "encoding": plain(f.encoding),
                "dims": list(f.dims),
            }
            for f in layout.fields
        ],
        "time": layout.time,
        "time_coord": layout.time_coord,
        "space": list(layout.space),
        "shape": list(layout.shape),
        "case": layout.case,
        "periodic": list(layout.periodic),
        "coords": coords,
        "attrs": plain(layout.attrs),
    }
    return state, arrays


def layout_from_state(
    cls: type[Layout],
    field: type[Field],
    state: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> Layout:
    """See :meth:`romae.fields.Layout.from_state`."""
    coords = {
        name: xr.Variable(tuple(c["dims"]), unpack_array(c, arrays), dict(c["attrs"]))
        for name, c in state["coords"].items()
    }
    fields = tuple(
        field(
            name=f["name"],
            attrs=dict(f["attrs"]),
            dtype=f["dtype"],
            encoding=dict(f["encoding"]),
            dims=tuple(f["dims"]),
        )
        for f in state["fields"]
    )
    mask = arrays.get("mask")
    return cls(
        fields=fields,
        time=state["time"],
        space=tuple(state["space"]),
        shape=tuple(state["shape"]),
        case=state["case"],
        periodic=tuple(state["periodic"]),
        coords=xr.Dataset(coords=coords),
        mask=None if mask is None else np.asarray(mask, dtype=bool),
        weights=np.asarray(arrays.get("weights", np.ones(state["shape"])), dtype=np.float64),
        attrs=dict(state["attrs"]),
        time_coord=state["time_coord"],
    )
