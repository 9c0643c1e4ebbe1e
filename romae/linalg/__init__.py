"""Linear algebra on snapshots that may not fit in memory."""

from romae.linalg.pod import Decomposition, decompose

__all__ = ["Decomposition", "decompose"]
