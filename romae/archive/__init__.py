"""Archives of snapshots with a guaranteed error bound."""

from romae.archive.compress import compress
from romae.archive.decompress import decompress
from romae.archive.pack import pack
from romae.archive.reading import Archive
from romae.archive.report import Report
from romae.archive.verification import Verification
from romae.archive.verify import verify

__all__ = ["Archive", "Report", "Verification", "compress", "decompress", "pack", "verify"]
