"""Archives of snapshots with a guaranteed error bound."""

from romae.archive.compress import compress
from romae.archive.reading import Archive
from romae.archive.report import Report

__all__ = ["Archive", "Report", "compress"]
