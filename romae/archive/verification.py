"""What verifying came to, as a table for people and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from romae.archive.report import aligned
from romae.fields.summary import counted


@dataclass
class Verification:
    """``problems``: one sentence each, empty when all is well; ``damaged``: chunks that cannot be

    decoded; ``worst``: per field the largest error found against the source, and where.
    """

    path: str
    chunks: int
    problems: list[str] = field(default_factory=list)
    damaged: list[dict[str, Any]] = field(default_factory=list)
    worst: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": self.ok, **vars(self)}

    def __str__(self) -> str:
        state = "sound" if self.ok else "NOT SOUND"
        lines = [f"{self.path}: {state}, {counted(self.chunks, 'chunk')} checked"]
        lines += [f"  {p}" for p in self.problems]
        lines += [f"  note: {n}" for n in self.notes]
        if self.worst:
            header = [
                "field",
                "worst error",
                "bound",
                "of bound",
                "time",
                "place",
                "source",
                "archive",
            ]
            rows = [
                [
                    w["field"],
                    f"{w['error']:.4g}",
                    f"{w['bound']:.4g}",
                    f"{w['error'] / w['bound']:.1%}" if w["bound"] else "exact",
                    w["time"] + (f" of case {w['case']}" if w["cases"] > 1 else ""),
                    w["place"],
                    f"{w['source']:.6g}",
                    f"{w['archive']:.6g}",
                ]
                for w in self.worst
            ]
            lines += ["", aligned(header, rows)]
        return "\n".join(lines)
