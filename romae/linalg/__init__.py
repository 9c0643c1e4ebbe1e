"""Linear algebra on snapshots that may not fit in memory."""

from romae.linalg.pod import Decomposition, decompose
from romae.linalg.rows import read_ahead

__all__ = ["Decomposition", "decompose", "read_ahead"]
