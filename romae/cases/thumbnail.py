"""The small picture on a card: a field over x and time, or one snapshot of a plane.

    python -m romae.cases.thumbnail kuramoto-sivashinsky cylinder

writes ``thumbnail.png`` beside the card in a checkout. A palette of 160 colours keeps
the file below 60 kB.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from romae.cases.catalogue import make_case
from romae.share import share_path

WIDTH, HEIGHT = 4.2, 2.5  # inches at 100 dots per inch
MARGINS = 1.4, 0.55  # inches that labels and the colour bar take
COLOURS = 160
TIMES = 150  # of a long line over time: more would be stripes


def draw_thumbnail(name: str, path: str | os.PathLike[str], *, size: str = "demo") -> Path:
    """Make case ``name`` in a temporary folder and draw it to the PNG file ``path``."""
    import xarray as xr
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    with (
        tempfile.TemporaryDirectory() as folder,
        xr.open_dataset(make_case(name, size, Path(folder, "case.nc"))) as data,
    ):
        _draw(figure.subplots(), data)
    return _save(figure, Path(path))


def _draw(axes: Any, data: Any) -> None:
    """Line cases: x to the right, time upwards; planes: one snapshot."""
    values, label = _field(data)
    if "case" in values.dims:
        values = values.isel(case=values.sizes["case"] // 2)
    if values.ndim == 2:
        chaotic = data.sizes["time"] > 2000
        rows, plane = "time", values.isel(time=slice(0, TIMES if chaotic else None))
    else:
        rows, plane = values.dims[-2], values.isel(time=values.sizes["time"] // 4)
        ratio = float(np.ptp(plane["x"].values) / np.ptp(plane[rows].values))
        height = min(HEIGHT, (WIDTH - MARGINS[0]) / ratio + MARGINS[1])
        axes.figure.set_size_inches((height - MARGINS[1]) * ratio + MARGINS[0], height)
    signed = float(plane.min()) < 0 < float(plane.max())
    limit = float(np.nanquantile(np.abs(plane), 0.995)) if signed else None
    image = axes.pcolormesh(
        plane["x"],
        plane[rows],
        plane.transpose(rows, "x"),
        cmap="RdBu_r" if signed else "viridis",
        vmin=-limit if limit else None,
        vmax=limit,
        shading="nearest",
        rasterized=True,
    )
    axes.set_facecolor("0.75")
    axes.set(xlabel="x", ylabel="t" if rows == "time" else rows)
    if rows != "time":
        axes.set_aspect("equal")
        axes.locator_params(axis="x", nbins=3)
    axes.figure.colorbar(image, ax=axes, label=label)


def _field(data: Any) -> tuple[Any, str]:
    """What shows the flow best: vorticity where there are two velocities, else the first."""
    if {"u", "v"} <= set(data.data_vars) and {"x", "y"} <= set(data.dims):
        return data.v.differentiate("x") - data.u.differentiate("y"), "vorticity"
    first = next(iter(data.data_vars))
    return data[first], first


def _save(figure: Any, path: Path) -> Path:
    """PNG with a palette: a third of the bytes, and no visible loss."""
    from PIL import Image

    figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
    picture.quantize(COLOURS).save(path, optimize=True)
    return path


if __name__ == "__main__":
    for case in sys.argv[1:]:
        draw_thumbnail(case, share_path("datasets") / case / "thumbnail.png")
