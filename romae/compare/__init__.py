"""Fitted models against unseen data: errors, bytes, times, forecasts.

``romae.compare`` is both a function, which users call, and this package, which holds the
rest: ``from romae.compare import compare, compare_forecasts, table, write_comparison``.
"""

import sys
from types import ModuleType
from typing import Any

from romae.compare.anomalies import detect
from romae.compare.calibration import calibration
from romae.compare.dynamics import compare_dynamics
from romae.compare.ensembles import compare_ensembles
from romae.compare.forecasts import compare_forecasts
from romae.compare.longrun import compare_statistics
from romae.compare.reconstruction import compare
from romae.compare.tables import ComparisonAccessor, forecast_table, table, write_comparison

__all__ = [
    "ComparisonAccessor",
    "calibration",
    "compare",
    "compare_dynamics",
    "compare_ensembles",
    "compare_forecasts",
    "compare_statistics",
    "detect",
    "forecast_table",
    "table",
    "write_comparison",
]


class _CallablePackage(ModuleType):
    """Importing ``romae.compare`` puts this package where the function of that name was;
    being callable, it does the same."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return compare(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
