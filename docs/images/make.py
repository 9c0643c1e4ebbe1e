"""The figure of README.md and docs/index.md, from a finished run of the demonstration.

    python docs/images/make.py runs/wake docs/images/demo.png

Error over latent size above, one reconstructed snapshot below: the report's own figures.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
import xarray as xr

FIELD = "v"


def main(run: Path, target: Path) -> None:
    """Draw both figures and stack them into one PNG."""
    import romae
    from romae.report.figures import error_curve, reconstructions

    data = json.loads((run / "study.json").read_text())["data"]
    test = romae.open_snapshots(run / "data" / "snapshots.nc").split(*data["split"])[-1]
    comparison = xr.load_dataset(run / "compare" / "comparison.nc", engine="netcdf4")
    models = [romae.load(path) for path in sorted((run / "models").glob("*.rom"))]
    pod = next(m for m in models if isinstance(m, romae.POD))
    small = [pod.truncate(2), *(m for m in models if m.latent == 2 and m is not pod)]
    shown = {f"{m.name} k=2": m for m in small}
    below = reconstructions(shown, test, field=FIELD)
    stack([error_curve(comparison, fields=["all"]), below], target)


def stack(figures: list, target: Path, dpi: int = 110) -> None:
    """``figures`` one above the other as ``target``."""
    from matplotlib import image

    pictures = []
    for figure in figures:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
        buffer.seek(0)
        pictures.append(image.imread(buffer)[..., :3])
    width = max(p.shape[1] for p in pictures)
    padded = [
        np.pad(p, ((0, 0), ((width - p.shape[1]) // 2, (width - p.shape[1] + 1) // 2), (0, 0)),
               constant_values=1.0)
        for p in pictures
    ]  # fmt: skip
    image.imsave(target, np.concatenate(padded))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
