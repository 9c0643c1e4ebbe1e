"""How snapshots introduce themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from romae.fields.snapshots import Snapshots


def summary(snapshots: Snapshots) -> str:
    """Shape, fields with units, grid, time span, size in memory and source, one per line."""
    layout = snapshots.layout
    count = counted(len(snapshots), "snapshot")
    if snapshots.cases > 1:
        count += f" in {snapshots.cases} cases"
    fields = [f"{f.name} [{f.units}]" if f.units else f.name for f in layout.fields]
    lines = [
        f"<romae.Snapshots {count}: {human_bytes(snapshots.nbytes)} as {snapshots.dtype}>",
        f"  source  {snapshots.source}",
        f"  fields  {', '.join(fields)}",
        f"  grid    {grid_text(snapshots)}",
        f"  time    {time_text(snapshots)}",
    ]
    if layout.mask is not None:
        masked = 1 - float(layout.mask.mean())
        lines.append(f"  mask    {100 * masked:.3g} % of the points left out")
    if snapshots.params is not None:
        lines.append(f"  params  {', '.join(map(str, snapshots.params.columns))}")
    return "\n".join(lines)


def counted(number: int, what: str) -> str:
    """
    >>> counted(1, "chunk"), counted(3, "chunk")
    ('1 chunk', '3 chunks')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"


def grid_text(snapshots: Snapshots) -> str:
    """ "y=96, x=256 (periodic)"."""
    layout = snapshots.layout
    parts = zip(layout.space, layout.shape, layout.periodic, strict=True)
    return ", ".join(f"{d}={n}" + (" (periodic)" if p else "") for d, n, p in parts)


def time_text(snapshots: Snapshots) -> str:
    """First and last time of the first trajectory and the step."""
    times = snapshots.times()
    unit = shown_units(str(times.attrs.get("units", "")))
    first, last = time_label(times.values[0]), time_label(times.values[-1])
    if snapshots.dt is not None:
        dates = times.dtype.kind in "mMO"
        step = f", step {snapshots.dt:.6g} {'s' if dates else unit}".rstrip()
    else:
        step = "" if len(times) < 2 else ", uneven steps"
    return f"{first} to {last} {unit}".rstrip() + step


def shown_units(units: str) -> str:
    """Units as they stand behind a number: nothing for the dimensionless "1"."""
    return "" if units.strip() == "1" else units.strip()


def time_label(value: object) -> str:
    """A time as people write it."""
    if isinstance(value, np.datetime64):
        return str(value.astype("datetime64[s]"))
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


def human_bytes(n: float) -> str:
    """ "1.5 GiB"."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(n) < 1024:
            return f"{n:.4g} {unit}"
        n /= 1024
    return f"{n:.4g} TiB"
