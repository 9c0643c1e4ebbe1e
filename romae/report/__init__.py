"""A finished study as a directory: one self-contained page, its figures and its numbers."""

from romae.report.archive import Archived
from romae.report.provenance import collect_provenance
from romae.report.write import write_report

__all__ = ["Archived", "collect_provenance", "write_report"]
