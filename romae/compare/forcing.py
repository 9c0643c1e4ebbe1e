"""Known inputs of rollouts from many starts, each with the values of its own times.

    start (i, s) with a history of c snapshots:   u_i(t_{s-c}) ... u_i(t_{s+S})

All starts are rolled out as one batch on one axis, that of their common history; what they are
told of the inputs is that of their own times. A model that takes no inputs, or was fitted without,
forecasts without them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from romae.compare.contenders import Start
from romae.conventions import CASE, TIME
from romae.dynamics.known import read_inputs
from romae.dynamics.times import continue_axis
from romae.fields import Snapshots


@dataclass(frozen=True)
class Forcing:
    """``tables``: the inputs at the times of each case, (T_i, m)."""

    tables: list[pd.DataFrame]

    @classmethod
    def read(cls, inputs: Any, test: Snapshots) -> Self | None:
        """At the times of ``test``; None without inputs.

        Raises :class:`romae.errors.DataError` when they do not cover them.
        """
        if inputs is None:
            return None
        axes = []
        for case in range(test.cases):
            axis = test.times(case)
            axes.append(xr.DataArray(axis.values, dims=TIME, name=TIME, attrs=dict(axis.attrs)))
        return cls(read_inputs(inputs, axes, "inputs"))

    @property
    def names(self) -> list[str]:
        return [str(n) for n in self.tables[0]]

    def along(
        self,
        starts: Sequence[Start],
        history: xr.DataArray,
        dynamics: Any,
        steps: int,
        *,
        cycle: bool = False,
    ) -> xr.Dataset:
        """Series (case, time) on the axis of ``history`` and the ``steps`` after, one a start.

        ``cycle``: the series of a case comes round again at its end; for timings.
        """
        c = history.sizes[TIME]
        ahead = continue_axis(history[TIME], dynamics.dt, steps)
        rows = []
        for case, s in starts:
            table = self.tables[case].to_numpy(dtype=float)
            at = np.arange(s - c, s + steps)
            # before a first snapshot lies a state that no model looks at: see histories_of
            at = at % len(table) if cycle else np.clip(at, 0, len(table) - 1)
            rows.append(table[at])
        values = np.stack(rows)
        times = xr.Variable(
            TIME, np.concatenate([history[TIME].values, ahead]), history[TIME].attrs
        )
        data = {n: ((CASE, TIME), values[..., i]) for i, n in enumerate(self.names)}
        return xr.Dataset(data, coords={TIME: times})


def uses_inputs(dynamics: Any) -> bool:
    """Whether it was fitted with inputs; whether it would take them, where it is not fitted."""
    if not hasattr(dynamics, "fit_seconds"):
        return "inputs" in getattr(dynamics, "takes", ())
    known = getattr(dynamics, "_known", {})
    return known.get("inputs") is not None
