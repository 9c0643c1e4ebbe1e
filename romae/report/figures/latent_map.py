"""Latent maps: one dot per snapshot in two dimensions, coloured by time or a parameter."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from romae.conventions import CASE, TIME
from romae.errors import OptionError, nearest
from romae.report.figures.style import SEQUENTIAL, label, new_figure, percent, styled

NAMES = {"pca": "principal axis", "tsne": "t-SNE", "umap": "UMAP"}


@styled
def latent_map_figure(found: xr.Dataset, *, colour: str = TIME) -> Figure:
    """``found``, what :func:`romae.latent_map` returned, coloured by the coordinate ``colour``."""
    first = found["first"]
    able = [str(n) for n, c in first.coords.items() if c.ndim == 1 and c.dtype.kind in "fiuM"]
    if colour not in able:
        raise OptionError(f"cannot colour by {colour!r}. {nearest(colour, able)}")
    axis = first[colour]
    values = np.broadcast_to(
        axis.values if axis.dims == (TIME,) else axis.values[:, None], first.shape
    )
    unit = str(axis.attrs.get("units", ""))
    if values.dtype.kind == "M":
        values, unit = np.broadcast_to(np.arange(first.sizes[TIME]), first.shape), "index"
    figure = new_figure(4.8, layout="compressed")
    figure.set_size_inches(6.4, 4.8)  # one square picture
    ax = figure.subplots()
    lines = found if CASE in first.dims else found.expand_dims(CASE)
    for case in range(lines.sizes[CASE]):
        one = lines.isel({CASE: case})
        ax.plot(one["first"], one["second"], color="0.85", lw=0.7, zorder=1)
    drawn = ax.scatter(found["first"].values.ravel(), found["second"].values.ravel(),
                       c=values.astype(float).ravel(), cmap=SEQUENTIAL, s=14, zorder=2,
                       linewidths=0)  # fmt: skip
    shares = found.attrs.get("share_of_variance", [np.nan, np.nan])
    for which, share in zip("xy", shares, strict=True):
        name = f"{NAMES[found.attrs['method']]} {'1' if which == 'x' else '2'}"
        said = name if np.isnan(share) else f"{name}, {percent(float(share))} of the variance"
        getattr(ax, f"set_{which}label")(said)
    ax.set_aspect("equal", adjustable="box")
    bar = figure.colorbar(drawn, ax=ax, fraction=0.04, pad=0.02)
    bar.set_label(label(colour, unit))
    bar.outline.set_visible(False)
    return figure
