"""Which parameters the cases have, and what is missing where one of several files lacks one.

A parameter of several files is a scalar coordinate of every one of them; opening keeps those that
all have (:mod:`romae.fields.join`). What a few lack is found here, for the message.
"""

import numpy as np

from romae.errors import DataError
from romae.fields import Snapshots

SHOWN = 3  # files that a message names


def lacking(snapshots: Snapshots, wanted: tuple[str, ...] | None = None) -> str:
    """Why scalar coordinates that some files have are no parameters: a sentence, or nothing.

    ``wanted``: the names that matter; None takes all.
    """
    own: dict[str, set[str]] = {}
    for trajectory in snapshots.trajectories:
        segment = trajectory.segments[0]
        scalars = {str(n) for n, c in segment.dataset.coords.items() if not c.dims}
        own.setdefault(segment.label, set()).update(scalars - {snapshots.layout.time})
    names = [n for n in sorted(set().union(*own.values())) if wanted is None or n in wanted]
    told = []
    for name in names:
        without = [label for label, has in own.items() if name not in has]
        if without:
            shown = ", ".join(without[:SHOWN]) + (" ..." if len(without) > SHOWN else "")
            told.append(
                f"{name!r} is in {len(own) - len(without)} of {len(own)} files and missing in "
                f"{shown}: write it there too, ds.assign_coords({name}=...), a single number."
            )
    return " ".join(told)


def check_numbers(values: np.ndarray, name: str, where: str) -> None:
    """Raise :class:`DataError` for a parameter (cases,) that is no number in some case."""
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise DataError(
            f"parameter {name!r} of {where} is {values[wrong[0]]} in case {wrong[0]}. Expected a "
            f"number in every case; type .assign_coords({name}=...), or leave the case out with "
            "isel(case=[...])."
        )
