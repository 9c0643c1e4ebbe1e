"""The first look at all data: what a new archive's plan says, and its files that hold no values.

    ranges -> eps per field;  labels and attributes -> template;  samples -> methods, side files

Everything that every chunk needs is written here once; see :mod:`romae.archive.plan`.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from romae.archive import choose
from romae.archive.bound import Bound, measure_ranges, stored_dtypes
from romae.archive.labels import write_labels
from romae.archive.plan import Plan, digest, place_plan
from romae.archive.store import ARCHIVE, CODED, SIDE, TOOLS, VERSION, put_file
from romae.archive.template import Template, make_template
from romae.fields.snapshots import Snapshots


def make_plan(
    snapshots: Snapshots, bound: Bound, model: Any, request: dict[str, Any], target: Path
) -> Plan | None:
    """Look at all data once, choose the methods, write the template: the plan in ``.partial``.

    None if others have finished the archive meanwhile.
    """
    return place_plan(target, request, lambda f: _fill(f, snapshots, bound, model, request))


def _fill(
    folder: Path, snapshots: Snapshots, bound: Bound, model: Any, request: dict[str, Any]
) -> dict[str, Any]:
    from romae import __version__

    layout, dtypes = snapshots.layout, stored_dtypes(snapshots)
    ranges = measure_ranges(snapshots, dtypes)
    eps, targets = bound.eps(ranges), bound.targets(ranges)
    template = make_template(snapshots)
    lost = write_labels(template.groups, folder / ARCHIVE)
    methods = choose.candidates(snapshots, eps, model, request["chunk"], dtypes)
    sides = {m.name: side for m in methods if (side := m.to_bytes())}
    tools = {m.name: tool for m in methods if (tool := m.tools())}
    for name, data in sides.items():
        put_file(folder / SIDE / f"{name}.bin", data)
    for name, data in tools.items():
        put_file(folder / SIDE / f"{name}{TOOLS}", data)
    write_arrays(folder / ARCHIVE, snapshots, request["chunk"])
    variables = {
        f.name: {
            "dtype": dtypes[c].str,
            "dims": template.dims[f.name],
            "attrs": f.attrs,
            "encoding": f.encoding if np.dtype(f.dtype) == dtypes[c] else {},
            "bound": bound.values[c],
            "target": float(targets[c]),
            "eps": float(eps[c]),
            "range": [float(ranges.low[c]), float(ranges.high[c])],
            "special": int(ranges.special[c]),
        }
        for c, f in enumerate(layout.fields)
    }
    facts = {
        "version": VERSION,
        "variables": variables,
        "bound": bound.kind,
        "lengths": list(snapshots.lengths),
        "chunk": request["chunk"],
        "time": layout.time,
        "time_name": layout.time_name,
        "space": list(layout.space),
        "shape": list(layout.shape),
        **told_of(template, lost),
        "case_source": layout.case,
        "source": {
            "name": os.path.basename(snapshots.source.rstrip("/")) or snapshots.source,
            "fingerprint": request["fingerprint"],
            "bytes": sum(d.itemsize for d in dtypes) * len(snapshots) * int(np.prod(layout.shape)),
        },
        "model": request["model"],
        "request": digest(request),
        "made": {
            "romae": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    return {
        "request": request,
        "methods": [m.name for m in methods],
        "floors": {m.name: m.floor for m in methods},
        "sides": list(sides),
        "tools": list(tools),
        "facts": facts,
    }


def told_of(template: Template, lost: Any) -> dict[str, Any]:
    """What the facts say of labels and attributes; ``lost``: what :func:`write_labels` returned."""
    return {
        "case_dim": template.case_dim,
        "groups": [name for name, _ in template.groups],
        "encodings": lost,
        "order": template.order,
        "types": template.types,
        "unlimited": template.unlimited,
        "left_out": template.left_out,
    }


def write_arrays(folder: Path, snapshots: Snapshots, chunk: int) -> None:
    """The metadata of ``coded/<case>``: Zarr v3 arrays (T, C, *space) of our own codec."""
    layout = snapshots.layout
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    (folder / CODED).mkdir()
    put_file(folder / CODED / "zarr.json", _compact(group))
    for case, n in enumerate(snapshots.lengths):
        meta = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [n, layout.channels, *layout.shape],
            "data_type": snapshots.dtype.name,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": [chunk, layout.channels, *layout.shape]},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "fill_value": "NaN",
            "codecs": [{"name": "romae"}, {"name": "crc32c"}],
            "dimension_names": [layout.time, None, *layout.space],
        }
        (folder / CODED / str(case)).mkdir()
        put_file(folder / CODED / str(case) / "zarr.json", _compact(meta))


def _compact(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
