"""Which variable is which channel, and on what grid: the meaning of an array (B, C, *space).

A snapshot x has C channels on a grid of ``shape`` points. Integrals over the grid are sums

    ∫ f dΩ / ∫ dΩ  ≈  Σ_i w_i f_i / Σ_i w_i        w: quadrature weights, mean 1 over the grid

restricted to the valid points of each channel (obstacles and land are masked). The layout
carries all that turns such an array back into a labelled dataset: names, units, order of the
dimensions, coordinates, attributes, data types and fill values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from romae.errors import DataError, GridMismatchError
from romae.fields.compare import first_difference
from romae.fields.state import layout_from_state, layout_to_state


@dataclass(frozen=True)
class Field:
    """One physical variable.

    ``attrs`` carries ``units``, ``long_name`` and the like; ``dtype`` is the decoded type in the
    source; ``encoding`` holds ``dtype`` and ``_FillValue`` for writing; ``dims`` is the order of
    the dimensions in the source, case and length-1 dimensions included.
    """

    name: str
    attrs: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    encoding: dict[str, Any] = field(default_factory=dict)
    dims: tuple[str, ...] = ()

    @property
    def units(self) -> str:
        """Units as written in the source; empty when there are none."""
        return str(self.attrs.get("units", ""))


def _shape(array: np.ndarray | None) -> tuple[int, ...] | None:
    return None if array is None else array.shape


@dataclass(frozen=True, eq=False)
class Layout:
    """Channels, grid, mask and weights of snapshots (B, C, *space).

    ``mask``: bool (C, *space), True where valid, or None; ``weights``: (*space), mean 1;
    ``coords``: space coordinates (also 2-D and scalar ones); ``periodic``: one flag per space
    axis; ``time`` and ``case`` are dimension names in the source and ``time_coord`` the name of
    the time coordinate where it is not the dimension's.
    """

    fields: tuple[Field, ...]
    time: str
    space: tuple[str, ...]
    shape: tuple[int, ...]
    case: str | None = None
    periodic: tuple[bool, ...] = ()
    coords: xr.Dataset = field(default_factory=xr.Dataset)
    mask: np.ndarray | None = None
    weights: np.ndarray = None  # type: ignore[assignment]  # uniform when left out
    attrs: dict[str, Any] = field(default_factory=dict)
    time_coord: str | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        if not self.periodic:
            put(self, "periodic", (False,) * len(self.space))
        if self.weights is None:
            put(self, "weights", np.ones(self.shape))
        for what, got, want in (
            ("shape", len(self.shape), len(self.space)),
            ("periodic", len(self.periodic), len(self.space)),
            ("weights", self.weights.shape, self.shape),
            ("mask", _shape(self.mask), (self.channels, *self.shape)),
        ):
            if got not in (want, None):
                raise DataError(f"layout: {what} has {got}, expected {want} for {self.space}")

    @property
    def channels(self) -> int:
        """Number of fields C."""
        return len(self.fields)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields, in channel order."""
        return tuple(f.name for f in self.fields)

    @property
    def size(self) -> int:
        """Numbers in one snapshot, masked ones counted: C · Π shape."""
        return self.channels * int(np.prod(self.shape))

    @property
    def unstructured(self) -> bool:
        """Whether the one space axis only lists points: it has no coordinate of its own, and two

        or more over it (x and y). Neighbours in the list are then no neighbours in space.
        """
        over = [n for n, c in self.coords.variables.items() if c.dims == self.space]
        return len(self.space) == 1 and self.space[0] not in over and len(over) > 1

    @property
    def valid(self) -> np.ndarray:
        """Valid points, bool (C, *space); all True without a mask."""
        if self.mask is None:
            return np.ones((self.channels, *self.shape), dtype=bool)
        return self.mask

    @property
    def quadrature(self) -> np.ndarray:
        """Weights per channel, float64 (C, *space); zero where masked."""
        return self.weights[None] * self.valid

    @property
    def time_name(self) -> str:
        """Name of the time coordinate."""
        return self.time_coord or self.time

    def check_same(self, other: Layout, what: str = "the data") -> None:
        """Raise :class:`GridMismatchError` unless ``other`` has these fields on this grid.

        Compared in this order: fields, space dimensions, shape, units, coordinates (to 1e-5 of a
        step), mask. ``what`` says what ``other`` is, for the message.
        """
        if message := first_difference(self, other, what):
            raise GridMismatchError(message)

    def to_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """JSON-able description and the arrays it refers to; see :meth:`from_state`."""
        return layout_to_state(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Layout:
        """The layout that :meth:`to_state` described, coordinates exact in every type."""
        return layout_from_state(cls, Field, state, arrays)

    def to_dataset(
        self,
        values: np.ndarray | list[Any],
        time: xr.DataArray | None = None,
        *,
        case: xr.DataArray | None = None,
    ) -> xr.Dataset:
        """Label snapshots as the source was.

        ``values``: (T, C, *space) or, with several cases, (N, T, C, *space), in physical units,
        of numpy or dask, which stays lazy; or a list of the fields, (T, *space) or (N, T, *space),
        NaN where masked already, which are not copied where they have the source's type;
        ``time``: its coordinate, length T; ``case``: coordinate of length N whose own
        coordinates are the parameters. Masked points become NaN. Floating fields get the
        source's type; integer fields stay floating, for a reconstruction is no integer.
        """
        masked = isinstance(values, list)
        if isinstance(values, list):
            each, lead = values, values[0].ndim - len(self.shape)
            known = [v.shape[lead:] for v in values] == [self.shape] * self.channels
            shape: tuple[Any, ...] = (len(values), *values[0].shape)
        else:
            values = values if hasattr(values, "__array_function__") else np.asarray(values)
            lead, shape = values.ndim - 1 - len(self.shape), values.shape
            known = shape[lead:] == (self.channels, *self.shape)
            each = [values[(slice(None),) * lead + (c,)] for c in range(self.channels * known)]
        if lead not in (1, 2) or not known:
            expected = ("T", self.channels, *self.shape)
            raise GridMismatchError(
                f"cannot label an array of shape {shape}: expected {expected} for fields "
                f"{', '.join(self.names)} on ({', '.join(self.space)})"
            )
        case_dim = str(case.dims[0]) if case is not None and case.dims else self.case or "case"
        dims = ((case_dim,) if lead == 2 else ()) + (self.time, *self.space)
        data = {
            f.name: self._variable(
                None if masked or self.mask is None else self.mask[c], f, v, dims
            )
            for c, (f, v) in enumerate(zip(self.fields, each, strict=True))
        }
        coords: dict[Any, Any] = dict(self.coords.variables)
        if time is not None:
            coords[self.time_name] = xr.Variable((self.time,), time.values, dict(time.attrs))
        if case is not None and case.dims:
            coords |= {str(k): v.variable for k, v in case.coords.items()}
            coords.setdefault(case_dim, case.variable)
        # All at once: each coordinate that is added later has xarray merge all of them again.
        result = xr.Dataset(data, coords, dict(self.attrs))
        for name in self.coords.variables:
            # CF: coordinates have no missing values; xarray would write a _FillValue for floats.
            if result[name].dtype.kind == "f":
                result[name].encoding = {"_FillValue": None}
        if time is not None:
            result[self.time_name].encoding = dict(time.encoding)
        return result

    def _variable(
        self, mask: np.ndarray | None, f: Field, values: np.ndarray, dims: tuple[str, ...]
    ) -> xr.Variable:
        if mask is not None:
            values = np.where(mask, values, np.nan)
        if np.dtype(f.dtype).kind == "f":
            values = values.astype(f.dtype, copy=False)
        variable = xr.Variable(dims, values, dict(f.attrs), dict(f.encoding))
        if not f.dims:
            return variable
        known = {*dims, self.case}
        squeezed = {d: 1 for d in f.dims if d not in known}
        order = [d for d in f.dims if d in dims or d in squeezed]
        order = [d for d in dims if d not in order] + order
        if squeezed:
            variable = variable.set_dims({**squeezed, **dict(zip(dims, values.shape, strict=True))})
        return variable.transpose(*order)
