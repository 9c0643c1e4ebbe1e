"""Known series over time, and time steps, as commands take them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from romae.fields import Snapshots


def number_or_text(duration: str | None) -> float | str | None:
    """A duration without a unit is in that of the time axis."""
    try:
        return None if duration is None else float(duration)
    except ValueError:
        return duration


def series(path: str | None, time: str) -> Any:
    """Inputs from a file, over the time dimension of the data, called ``time`` there."""
    from romae.fields.series import open_series

    return None if path is None else open_series(path, time, where="--inputs")


def input_parts(
    path: str | None, snapshots: "Snapshots", split: tuple[Any, str] | None
) -> list[Any] | None:
    """Inputs of train, validation and test, as ``split`` cuts the data; None without a file."""
    from romae.fields.series import split_series

    found = series(path, snapshots.layout.time)
    if found is None:
        return None
    shares, by = ((1.0, 1.0), "time") if split is None else split
    cut = split_series(found, snapshots.cases, shares, by)
    return [cut[0], cut[1] if len(cut) == 3 else cut[0], cut[-1]]


def check_inputs(known: "Sequence[Any]", data: "Sequence[Snapshots | None]") -> None:
    """Series that do not cover their part of the data show before any work. Raises DataError."""
    from romae.compare.forcing import Forcing

    for inputs, part in zip(known, data, strict=False):
        if part is not None:
            Forcing.read(inputs, part)
