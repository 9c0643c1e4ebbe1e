"""Names and numbers that every part of romae agrees on.

Inside, arrays are ``(B, C, *space)``: B snapshots, C channels, then the space
axes. At the border, dimensions carry the names below.
"""

TIME = "time"  # dimension of snapshots and of latents in time
LATENT = "latent"  # dimension of the encoded state, size k
MEMBER = "member"  # dimension over the forecasts of an ensemble
CASE = "case"  # dimension over trajectories that differ in parameters
REDUCER = "reducer"  # attribute of latents: whose they are
PHASES = "phases"  # attribute of latents that begin with (cos, sin) of so many phases

FORMAT_VERSION = 1  # of a saved model; raised when an older romae could not read it
BUNDLE_FILE = "romae.json"  # description of a saved model, beside its tensors
ARCHIVE_HEAD = b'{"format":"romae-archive"'  # how the file of that name begins in an archive
