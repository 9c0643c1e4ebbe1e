"""Reference cases: small seeded solvers and closed forms that write CF netCDF files.

    from romae.cases import make_case
    make_case("kuramoto-sivashinsky", "demo", "ks.nc")

The cards are in ``datasets/``; each case is one module here. No torch.
"""

from romae.cases.base import Axis, Case, axis
from romae.cases.catalogue import (
    CaseInfo,
    SizeInfo,
    Splits,
    case_card,
    case_info,
    get_case,
    list_cases,
    make_case,
)
from romae.cases.write import write_case

__all__ = [
    "Axis",
    "Case",
    "CaseInfo",
    "SizeInfo",
    "Splits",
    "axis",
    "case_card",
    "case_info",
    "get_case",
    "list_cases",
    "make_case",
    "write_case",
]
