"""What a model is given besides latents: parameters and inputs, to fit on and to forecast with.

    fit        params (cases, p) and a table of inputs (T_i, m) per case, measured and normalised
    forecast   the same names, normalised by what was measured:
               params (B, p) and inputs (B, context + steps, m), over history and forecast

Names that the fit did not know and values that are missing are refused; values outside the range
of training are told. :mod:`romae.dynamics.known` reads one table, here is what needs the model.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from romae.conventions import TIME
from romae.dynamics.ahead import Ahead
from romae.dynamics.known import Known, read_inputs, read_params
from romae.dynamics.saving import KNOWN
from romae.dynamics.sequences import Latents, Trajectory
from romae.errors import DataError, OptionError

if TYPE_CHECKING:
    from romae.dynamics.base import Dynamics


@dataclass(frozen=True)
class Given:
    """Training data besides latents: ``params``, one row per case, and ``inputs``, one table each.

    In physical units; None where nothing was given.
    """

    params: pd.DataFrame | None
    inputs: list[pd.DataFrame] | None

    @classmethod
    def read(
        cls, model: "Dynamics", latents: Latents, cases: list[Trajectory], params: Any, inputs: Any
    ) -> Self:
        """Raises DataError, and OptionError for inputs that ``model`` cannot use."""
        table = read_params(params, latents, len(cases))
        axes = [case.time for case in cases]
        return cls(table, _read_inputs(model, inputs, axes, "training inputs"))

    def measure(self) -> dict[str, Known | None]:
        """Names, scales and ranges of both, by the names of ``KNOWN``."""
        joined = None if self.inputs is None else pd.concat(self.inputs, ignore_index=True)
        tables = zip(KNOWN, (self.params, joined), strict=True)
        return {n: None if t is None else Known.measure(t) for n, t in tables}

    def normalised(self, model: "Dynamics") -> dict[str, Any]:
        """Those that ``model`` takes, as the keywords of its ``_fit``."""
        mu, law = None, model._known["inputs"]
        if self.params is not None and (scales := model._known["params"]) is not None:
            mu = scales.normalise(self.params)
        series = None
        if self.inputs is not None and law is not None and law.changes.any():
            series = [law.normalise(table) for table in self.inputs]
        return {n: v for n, v in zip(KNOWN, (mu, series), strict=True) if n in model.takes}


def given_ahead(
    model: "Dynamics",
    history: xr.DataArray,
    cases: list[Trajectory],
    ahead: Ahead,
    params: Any,
    inputs: Any,
) -> tuple[dict[str, np.ndarray | None], str]:
    """Normalised params (B, p) and inputs (B, context + steps, m); what lies outside.

    Raises DataError for what the fit had and the forecast lacks, OptionError for the reverse.
    """
    mu, beyond = _params_ahead(model, history, len(cases), params)
    u, far = _inputs_ahead(model, cases, ahead, inputs)
    taken = {n: v for n, v in zip(KNOWN, (mu, u), strict=True) if n in model.takes}
    return taken, ", ".join(filter(None, (beyond, far)))


def _params_ahead(
    model: "Dynamics", history: xr.DataArray, cases: int, params: Any
) -> tuple[np.ndarray | None, str]:
    law = model._known["params"]
    named = params is not None and not isinstance(params, pd.DataFrame)  # not those of the data
    if named and (law is None or "params" not in model.takes):
        lacks = "was fitted without params" if "params" in model.takes else "takes no params"
        raise OptionError(
            f"{model.name} {lacks}, and the forecast got some. Expected a model that was fitted to "
            "cases of different parameters and takes them, such as romae.OperatorInference() or "
            "romae.LatentGP(); or leave params out."
        )
    if law is None:
        return None, ""
    table = read_params(params, history, cases)
    if params is None and table is not None and not set(law.names) <= set(table):
        table = None  # coordinates that mean something else
    if table is None and "params" in model.takes and law.changes.any():
        raise DataError(
            f"{model.name} was fitted with {', '.join(law.names)} and the forecast has "
            f"none. Expected params={{{law.names[0]!r}: value, ...}}, one value per case."
        )
    if table is None:
        return None, ""
    if params is None or isinstance(params, pd.DataFrame):
        table = table[[n for n in table if n in law.names]]
    law.check(table, "params")
    return law.normalise(table), law.outside(table)


def _inputs_ahead(
    model: "Dynamics", cases: list[Trajectory], ahead: Ahead, inputs: Any
) -> tuple[np.ndarray | None, str]:
    law = model._known["inputs"]
    if law is None and inputs is not None and "inputs" in model.takes:
        raise OptionError(
            f"{model.name} was fitted without inputs. Fit with inputs=, or leave out."
        )
    if law is not None and inputs is None:
        raise DataError(
            f"{model.name} was fitted with the inputs {', '.join(law.names)} and the forecast "
            "has none. Expected inputs= that cover history and forecast."
        )
    if inputs is None:
        return None, ""
    axes = [_whole_axis(case.time[-model.context :], ahead.grid) for case in cases]
    series = _read_inputs(model, inputs, axes, "inputs")
    if series is None or law is None:
        return None, ""
    law.check(series[0], "inputs")
    outside = law.outside(pd.concat(series))
    if not law.changes.any():
        return None, outside
    return np.stack([law.normalise(s) for s in series]), outside  # type: ignore[misc]


def _read_inputs(
    model: "Dynamics", inputs: Any, times: list[xr.DataArray], what: str
) -> list[pd.DataFrame] | None:
    if inputs is None:
        return None
    if "inputs" not in model.takes:
        raise OptionError(
            f"{model.name} takes no inputs. Expected a model that does, such as "
            "romae.OperatorInference(); or leave inputs out."
        )
    return read_inputs(inputs, times, what)


def _whole_axis(past: xr.DataArray, ahead: np.ndarray) -> xr.DataArray:
    values = np.concatenate([past.values, ahead])
    return xr.DataArray(values, dims=TIME, name=TIME, attrs=past.attrs)
