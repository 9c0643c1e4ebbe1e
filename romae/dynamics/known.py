"""What is known besides the latents: parameters of a case, inputs over time.

    mu_i = (p_i - mean) / scale        parameters of case i, (p,), one row per case
    u_n  = (f(t_n) - mean) / scale     inputs (forcing, control) at the times of the axis, (m,)

A parameter that never changed in training teaches nothing and is not handed to the model; it
is still watched. Values outside the range of training are allowed and flagged. Inputs are
taken at the times of the latents, between two of their own times by a straight line, and
never beyond their ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from romae.conventions import CASE, TIME
from romae.dynamics.times import kind_of, seconds_since, time_label
from romae.errors import DataError, nearest

INPUT = "input"  # dimension over several inputs of one array


@dataclass(frozen=True)
class Known:
    """Names, scale and range of training of parameters or inputs; arrays (p,), physical."""

    names: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def measure(cls, table: pd.DataFrame) -> Self:
        """Of the rows of ``table``, one column for each."""
        x = table.to_numpy(dtype=float)
        std, size = x.std(axis=0), np.abs(x).max(axis=0)
        scale = np.where(std > 1e-12 * size, std, 1.0)
        names = tuple(map(str, table.columns))
        return cls(names, x.mean(axis=0), scale, x.min(axis=0), x.max(axis=0))

    @property
    def changes(self) -> np.ndarray:
        """Which of them changed in training, (p,)."""
        return np.asarray(self.high - self.low > 1e-12 * np.abs(self.high))

    def normalise(self, table: pd.DataFrame) -> np.ndarray | None:
        """Rows of ``table`` (B, p) without those that never changed; None when none did."""
        if not self.changes.any():
            return None
        x = (table[list(self.names)].to_numpy(dtype=float) - self.mean) / self.scale
        return np.asarray(x[:, self.changes])

    def check(self, table: pd.DataFrame, what: str) -> None:
        """Refuse ``table`` when a name is missing or unknown."""
        missing = [n for n in self.names if n not in table]
        unknown = [n for n in table if n not in self.names]
        if unknown:
            known = nearest(unknown[0], self.names)
            raise DataError(f"{what}: unknown name {unknown[0]!r}. {known}")
        if missing:
            raise DataError(
                f"{what}: {missing[0]!r} is missing. Expected {', '.join(self.names)}, as in "
                f"training; type {what}={{{missing[0]!r}: value, ...}}."
            )

    def outside(self, table: pd.DataFrame) -> str:
        """Sentence about values outside the range of training; "" when there are none."""
        found = []
        for n, low, high in zip(self.names, self.low, self.high, strict=True):
            x = table[n].to_numpy(dtype=float)
            slack = 1e-9 * max(abs(low), abs(high))
            beyond = x[(x < low - slack) | (x > high + slack)]
            if beyond.size:
                worst = beyond[np.argmax(np.abs(beyond - (low + high) / 2))]
                found.append(f"{n} = {worst:g} (trained on {low:g} to {high:g})")
        return ", ".join(found)

    def to_state(self) -> dict[str, Any]:
        return {k: np.asarray(v).tolist() for k, v in vars(self).items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        arrays = {k: np.asarray(v, dtype=float) for k, v in state.items() if k != "names"}
        return cls(names=tuple(state["names"]), **arrays)


def read_params(params: Any, latents: Any, cases: int, what: str = "params") -> pd.DataFrame | None:
    """One row of numbers per case, or None when there are none.

    ``params``: a table, a mapping of names to a value or to one value per case, a Dataset over
    ``case``, an array (cases, p); None takes the numeric coordinates over ``case`` that
    ``encode`` leaves on ``latents``. Columns of text are left out. Raises DataError.
    """
    table = _table(params, latents, cases)
    if table is None:
        return None
    if len(table) != cases:
        raise DataError(
            f"{what} has {len(table)} row{'s' * (len(table) != 1)} for {cases} "
            f"case{'s' * (cases != 1)}. Expected one row per case, in their order."
        )
    table.columns = table.columns.map(str)
    table = table.select_dtypes("number").reset_index(drop=True)
    bad = [n for n in table if not np.isfinite(table[n].to_numpy(dtype=float)).all()]
    if bad:
        raise DataError(f"{what}: {bad[0]!r} is not finite in some case. Expected numbers.")
    return table if len(table.columns) else None


def _table(params: Any, latents: Any, cases: int) -> pd.DataFrame | None:
    if params is None:
        if isinstance(latents, xr.DataArray):
            coords = {
                str(n): c.values if CASE in c.dims else np.repeat(c.values, cases)
                for n, c in latents.coords.items()
                if c.dims in ((CASE,), ()) and n != CASE and c.dtype.kind in "iuf"
            }
            return pd.DataFrame(coords) if coords else None
        return None
    if isinstance(params, pd.DataFrame):
        return params.copy()
    if isinstance(params, xr.Dataset):
        params = {str(n): v.values for n, v in params.variables.items() if n != CASE}
    if isinstance(params, Mapping):
        return pd.DataFrame({k: _per_case(k, np.asarray(v), cases) for k, v in params.items()})
    array = np.asarray(params, dtype=float)
    if array.ndim == 1:
        array = array[None] if cases == 1 else array[:, None]
    if array.ndim != 2:
        raise DataError(
            f"params has shape {array.shape}. Expected (cases, p), or names and values."
        )
    return pd.DataFrame(array, columns=[f"p{i}" for i in range(array.shape[1])])


def _per_case(name: str, values: np.ndarray, cases: int) -> np.ndarray:
    """One value for all cases, or one for each."""
    if values.size not in (1, cases) or values.ndim > 1:
        raise DataError(
            f"params: {name!r} has the shape {values.shape} for {cases} case{'s' * (cases != 1)}. "
            "Expected one value, or one for each case in their order."
        )
    return np.broadcast_to(values, cases)


def read_inputs(inputs: Any, times: Sequence[xr.DataArray], what: str) -> list[pd.DataFrame]:
    """Inputs at each axis of ``times``: a table (T_i, m) per case.

    ``inputs``: a DataArray (time), (time, input) or a Dataset of series over time, for all
    cases; with a dimension ``case``, or as a list, one for each. Raises DataError when a series
    does not cover the times.
    """
    each = inputs_of_cases(inputs, len(times))
    if len(each) != len(times):
        raise DataError(
            f"{what}: inputs of {len(each)} cases for {len(times)} cases of latents. Expected one "
            "series for each, or one for all."
        )
    return [_at(_series(one, what), t, what) for one, t in zip(each, times, strict=True)]


def inputs_of_cases(inputs: Any, cases: int) -> list[Any]:
    """One entry for each case: those of a list or of a dimension ``case``, else the same for all.

    As many as ``inputs`` have; whether that is ``cases`` is for the caller to check.
    """
    if isinstance(inputs, list | tuple):
        return list(inputs)
    if isinstance(inputs, xr.Dataset | xr.DataArray) and CASE in inputs.dims:
        return [inputs.isel({CASE: i}) for i in range(inputs.sizes[CASE])]
    return [inputs] * cases


def _series(inputs: Any, what: str) -> xr.Dataset:
    if isinstance(inputs, xr.DataArray):
        extra = [d for d in inputs.dims if d != TIME]
        if TIME in inputs.dims and len(extra) <= 1:
            if not extra:
                return inputs.reset_coords(drop=True).to_dataset(name=inputs.name or INPUT)
            labels = [str(v) for v in inputs[extra[0]].values]
            bare = inputs.reset_coords(drop=True).drop_vars([extra[0]], errors="ignore")
            named = (f"{INPUT}{n}" if extra[0] not in inputs.coords else n for n in labels)
            return xr.Dataset({n: bare.isel({extra[0]: i}) for i, n in enumerate(named)})
    series = inputs.data_vars.values() if isinstance(inputs, xr.Dataset) else ()
    if series and all(v.dims == (TIME,) for v in series):
        return inputs
    raise DataError(
        f"{what}: inputs are a {type(inputs).__name__} of {dict(getattr(inputs, 'sizes', {}))}. "
        f"Expected an xarray.DataArray ({TIME}, {INPUT}) or a Dataset of series over {TIME}, with "
        "their times as coordinate."
    )


def _at(series: xr.Dataset, times: xr.DataArray, what: str) -> pd.DataFrame:
    """``series`` at ``times`` by straight lines between its own; nothing beyond its ends."""
    if TIME not in series.coords:
        raise DataError(f"{what}: inputs have no coordinate {TIME!r}. Expected their times.")
    own = series[TIME]
    if kind_of(own) != kind_of(times):
        raise DataError(
            f"{what}: the times of the inputs are of kind {kind_of(own)}, those of the latents of "
            f"kind {kind_of(times)}. Give both the same kind of time axis."
        )
    t, s = seconds_since(times, times.values[0]), seconds_since(own, times.values[0])
    if s.size > 1 and not np.all(np.diff(s) > 0):
        raise DataError(
            f"{what}: the times of the inputs do not increase. Sort with .sortby('time')."
        )
    slack = 0.01 * (t[-1] - t[0]) / max(t.size - 1, 1) + 1e-12 * np.abs(s).max(initial=0)
    lost = (t < s[0] - slack) | (t > s[-1] + slack)
    if lost.any():
        first, last = times.values[lost][0], times.values[lost][-1]
        raise DataError(
            f"{what}: inputs are missing from {time_label(first)} to {time_label(last)} "
            f"({int(lost.sum())} of {t.size} times); they cover {time_label(own.values[0])} to "
            f"{time_label(own.values[-1])}. Expected all times of history and forecast; give a "
            "longer series or forecast fewer steps."
        )
    found = {str(n): np.interp(t, s, np.asarray(v, float)) for n, v in series.data_vars.items()}
    for n, x in found.items():
        if not np.isfinite(x).all():
            at = times.values[int(np.argmin(np.isfinite(x)))]
            raise DataError(f"{what}: the input {n!r} is not finite at {time_label(at)}. Fill it.")
    return pd.DataFrame(found)
