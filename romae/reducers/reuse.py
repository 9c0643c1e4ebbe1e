"""Fields of an earlier forecast as the memory of the next one.

A decoder writes each number once. Into memory that a process has just asked for, the first touch of
its pages costs as much as the numbers or several times that: the system clears them, and
a virtual machine may have to fetch them from its host first. A loop over forecasts (cycles,
parameters, starts) that needs one of them at a time is quicker in memory of its own.
"""

from typing import Any

import numpy as np
import xarray as xr

from romae.conventions import CASE, MEMBER
from romae.errors import OptionError
from romae.fields import Layout


def memory_of(
    out: xr.Dataset, layout: Layout, lead: tuple[int, ...], types: list[np.dtype]
) -> list[np.ndarray]:
    """The arrays of ``out``, one (*lead, *space) for each field of ``layout``, to be written over.

    ``lead``: (times,) or (cases, times). Raises OptionError where they are not of that shape and
    type, contiguous, writeable and apart.
    """
    shape = (*lead, *layout.shape)
    dims = (*[layout.case or CASE][: len(lead) - 1], layout.time, *layout.space)
    found: list[np.ndarray] = []
    for f, dtype in zip(layout.fields, types, strict=True):
        array = _array(out, f.name, dims)
        flags = getattr(array, "flags", None)
        if flags is None or array.shape != shape or array.dtype != dtype:
            seen = "nothing" if array is None else f"{type(array).__name__}"
            if flags is not None:
                seen = f"{array.dtype} of shape {array.shape}"
            raise _refused(f"{f.name!r}: {seen}", f"{dtype} of shape {shape}")
        if not (flags.c_contiguous and flags.writeable):
            raise _refused(f"{f.name!r}: read-only, or no array of its own", "whole arrays")
        if any(np.may_share_memory(array, other) for other in found):
            raise _refused(f"{f.name!r} in the memory of another field", "memory of its own")
        found.append(array)
    return found


def check_single(latents: xr.DataArray, to: object) -> None:
    """Refuse files, and ensembles, whose members are decoded one by one and then joined."""
    if to is not None:
        raise OptionError(
            f"out was given with to={str(to)!r}. Expected one of them: fields in memory or a file."
        )
    if MEMBER in latents.dims:
        raise _refused(
            f"latents of an ensemble of {latents.sizes[MEMBER]}",
            "one trajectory, or cases; decode each member, model.decode(z.isel(member=0), out=...)",
        )


def _array(out: xr.Dataset, name: str, dims: tuple[str, ...]) -> Any:
    """What ``out`` holds as ``name``, in the order of ``dims``; None where it has other ones."""
    if not isinstance(out, xr.Dataset) or name not in out.data_vars:
        return None
    variable = out.variables[name]
    variable = variable.squeeze([d for d, n in variable.sizes.items() if n == 1 and d not in dims])
    return variable.transpose(*dims).data if set(variable.dims) == set(dims) else None


def _refused(seen: str, expected: str) -> OptionError:
    return OptionError(
        f"out holds {seen}. Expected {expected}, as a forecast of as many times returned them; or "
        "leave out= out for new memory."
    )
