"""What a reference case is.

A case is a seeded, closed description of one data set: the equations with their
parameters, the grid, the times that are kept, and a generator that produces the
snapshots block by block, so that memory never grows with the number of snapshots.

    X_j(t) in R^(C, *space),    t = t_0 < ... < t_(T-1),    j = 0 ... J-1

with C variables on one grid and J trajectories ("cases" along the dimension
``case``) that differ in the parameters mu_j. :func:`romae.cases.write_case` turns a
case into one CF netCDF file.

To write a case, make a frozen dataclass of its parameters, derive it from
:class:`Case`, and fill in ``name``, ``title``, ``source``, ``variables``, ``coords``,
``times`` and ``trajectories`` (and ``parameters`` or ``mask`` where there are any).
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

Attrs = Mapping[str, Any]


class Axis(NamedTuple):
    """Values along one dimension and their netCDF attributes."""

    values: np.ndarray
    attrs: dict[str, Any]


def axis(values: Any, long_name: str, *, units: str = "1", **attrs: Any) -> Axis:
    """Coordinate values with attributes; ``units="1"`` means nondimensional (CF).

    Pass ``periodic=1`` for an axis whose last point is followed by its first; the
    point that closes the period is then not repeated.
    """
    return Axis(np.asarray(values), {"long_name": long_name, "units": units, **attrs})


@dataclass(frozen=True)
class Case(ABC):
    """One reference data set: parameters in, blocks of snapshots out.

    Subclasses are frozen dataclasses whose every field has a default or comes from
    ``datasets/<name>/dataset.toml``. Two equal cases produce the same bits on one
    machine: randomness comes only from ``numpy.random.default_rng(self.seed)``.
    """

    name: ClassVar[str]  # folder below datasets/, for example "kuramoto-sivashinsky"
    title: ClassVar[str]  # one line
    source: ClassVar[str]  # method and publication
    variables: ClassVar[Mapping[str, Attrs]]  # name -> long_name, units, standard_name, in C order

    @abstractmethod
    def coords(self) -> dict[str, Axis]:
        """Space dimensions in array order, for example ``{"y": ..., "x": ...}``."""

    @abstractmethod
    def times(self) -> Axis:
        """The T times that are kept, the same for every trajectory, increasing."""

    @abstractmethod
    def trajectories(self) -> Iterator[Iterator[np.ndarray]]:
        """One iterator per trajectory over blocks (n, C, *space), float32, n >= 1.

        The blocks of one trajectory follow each other in time and add up to T. A block
        should stay below some tens of MiB.
        """

    def parameters(self) -> dict[str, Axis]:
        """Parameters over the trajectories, J values each; empty: one trajectory.

        With parameters the file has a leading dimension ``case``, even for J = 1.
        """
        return {}

    def mask(self) -> np.ndarray | None:
        """Valid points, bool (*space), True where there is data; None: everywhere.

        Points that are not valid (an obstacle, land) are written as NaN.
        """
        return None

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, C, *space) of one trajectory."""
        space = (len(a.values) for a in self.coords().values())
        return (len(self.times().values), len(self.variables), *space)

    @property
    def cases(self) -> int:
        """Number of trajectories J."""
        return next((len(p.values) for p in self.parameters().values()), 1)

    @property
    def nbytes(self) -> int:
        """Bytes of all snapshots in float32."""
        return 4 * self.cases * int(np.prod(self.shape))

    def arguments(self) -> dict[str, Any]:
        """The dataclass fields, as they are recorded in the file."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
