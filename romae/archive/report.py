"""What compressing came to: bytes in, bytes out, errors, as a table for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from romae.fields.summary import counted, human_bytes

SHARED = ("parent", "ratio_with_parent")


@dataclass(frozen=True)
class Report:
    """``manifest``: of the finished archive, None while others still write; ``seconds``: of this

    call; ``coded``: bytes of fields that this call went through; ``missing``: chunks to come.
    """

    path: str
    manifest: dict[str, Any] | None
    seconds: float
    coded: int
    missing: int = 0

    @property
    def finished(self) -> bool:
        """Whether the archive stands under its name."""
        return self.manifest is not None

    @property
    def ratio(self) -> float:
        """Bytes of the fields over bytes of all files; nan while unfinished."""
        return float("nan") if self.manifest is None else float(self.manifest["ratio"])

    @property
    def nbytes(self) -> int:
        """Bytes of all files; 0 while unfinished."""
        return 0 if self.manifest is None else int(self.manifest["bytes"]["total"])

    @property
    def speed(self) -> float:
        """MB/s of fields in this call."""
        return self.coded / 1e6 / max(self.seconds, 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        own = {
            "path": self.path,
            "finished": self.finished,
            "missing_chunks": self.missing,
            "seconds": self.seconds,
            "megabytes_per_second": self.speed,
        }
        return own | self.recorded()

    def recorded(self) -> dict[str, Any]:
        """What the finished archive itself says, for JSON; empty while unfinished."""
        if self.manifest is None:
            return {}
        kept = ("ratio", "bytes", "source", "bound", "variables", "methods", "chunk", "left_out")
        shared = {k: self.manifest[k] for k in SHARED if k in self.manifest}
        return {k: self.manifest[k] for k in kept} | shared

    def __str__(self) -> str:
        if self.manifest is None:
            left = counted(self.missing, "chunk") + (" is" if self.missing == 1 else " are")
            return f"{self.path}: this part is written; {left} left to other parts"
        return summary(self.manifest, self.path, self.speed if self.coded else None)


def summary(manifest: dict[str, Any], path: str, speed: float | None = None) -> str:
    """What a finished archive holds, its sizes and errors; ``speed``: MB/s of writing it."""
    return "\n".join([*_sizes(manifest, path, speed), *_errors(manifest)])


def _sizes(manifest: dict[str, Any], path: str, speed: float | None) -> list[str]:
    source, sizes = manifest["source"]["bytes"], manifest["bytes"]
    methods = ", ".join(f"{m} {counted(n, 'chunk')}" for m, n in manifest["methods"].items())
    parts = f"chunks {human_bytes(sizes['chunks'])}"
    if sizes["side"]:
        parts += f", side {human_bytes(sizes['side'])}"
    lines = [
        f"{path}  {human_bytes(source)} -> {human_bytes(sizes['total'])}, "
        f"{_times(manifest['ratio'])}" + ("" if speed is None else f", {speed:.3g} MB/s"),
        f"  {parts}, coordinates and description {human_bytes(sizes['other'])}",
        f"  {methods}, {counted(manifest['chunk'], 'snapshot')} each",
    ]
    if parent := manifest.get("parent"):
        lines.append(
            f"  with the model {parent['path']}, {human_bytes(parent['nbytes'])}, which is not in "
            f"it: {_times(manifest['ratio_with_parent'])} if it is counted here"
        )
    if manifest["model"].startswith("network ") and "network" not in manifest["methods"]:
        lines.append(
            "  the model given won no chunk: others were smaller, or it saved less than it weighs"
        )
    lines += [f"  left out: {n} {why}" for n, why in manifest["left_out"].items()]
    return lines


def _times(ratio: float) -> str:
    """Of a few snapshots the description alone is larger."""
    return f"{ratio:.4g} times smaller" if ratio >= 1 else f"{1 / ratio:.4g} times larger"


def _errors(manifest: dict[str, Any]) -> list[str]:
    kind, rows = manifest["bound"], []
    for name, v in manifest["variables"].items():
        worst = v["rms_error"] if kind == "nrmse" else v["max_error"]
        lossy = v["target"] and not _why_exact(v, manifest)
        share = f"{worst / v['target']:.1%}" if lossy else "exact"
        row = [name, f"{v['bound']:.3g}", f"{v['target']:.4g}", f"{v['max_error']:.4g}"]
        rows.append([*row, f"{v['rms_error']:.4g}", share, str(v["stored_exactly"])])
    measure = "of bound" if kind != "nrmse" else "rms of bound"
    header = ["field", kind, "bound", "max error", "rms error", measure, "values kept"]
    reasons: dict[str, list[str]] = {}
    for name, v in manifest["variables"].items():
        if why := _why_exact(v, manifest):
            reasons.setdefault(why, []).append(name)
    stored = [f"{', '.join(names)}: stored exactly, for {why}" for why, names in reasons.items()]
    return ["", aligned(header, rows), *stored]


def _why_exact(about: dict[str, Any], manifest: dict[str, Any]) -> str:
    """Why a field is stored bit for bit; "" where it is not."""
    if about["special"] == sum(manifest["lengths"]) * math.prod(manifest["shape"]):
        return "no value is finite"
    if about["eps"]:
        return ""
    if about["range"][0] == about["range"][1]:
        return "the values are constant"
    return "the bound is below the rounding of the data"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded with spaces, the first to the left."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if not i else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
