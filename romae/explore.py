"""Uses of latents: states in between, cases in between, new states, maps.

    between states     z(s) = (1 - s) E(a) + s E(b),    s in [0, 1]
    between cases      z(t; p) interpolated over the parameters p at every t
    new states         z = m + (z_i + h e - m) / sqrt(1 + h²),  e ~ N(0, cov z),  i at random
    maps               z -> two numbers, neighbours staying neighbours

All give latents as ``encode`` does, for ``decode`` to make fields of. New states follow the
smoothed bootstrap with its variance corrected (Silverman & Young 1987, "The bootstrap: to smooth
or not to smooth?"), h = n^(-1/(k+4)): their mean and covariance are those of the latents given.
States between two add up linearly for POD only; those of an autoencoder lie on the surface that
it has learned.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from romae.conventions import CASE, LATENT, TIME
from romae.errors import DataError, MissingDependencyError, OptionError, check_option, check_whole
from romae.fields import Snapshots, open_snapshots

Method = Literal["pca", "tsne", "umap"]


def interpolate_states(model: Any, a: Any, b: Any, n: int = 11) -> xr.DataArray:
    """Latents (time, latent) on the straight line from state ``a`` to state ``b``, both included.

    ``a``, ``b``: one snapshot each, such as ``snapshots.isel(time=slice(5, 6))``. The coordinate
    ``time`` is the share s of the way. ``model.decode`` gives the fields.
    """
    check_whole("n", n, 2)
    ends = []
    for name, state in (("a", a), ("b", b)):
        snapshots = open_snapshots(state)
        if len(snapshots) != 1:
            raise DataError(
                f"{name} holds {len(snapshots)} snapshots. Expected one; select it, for example "
                f".isel(time=slice(5, 6))."
            )
        ends.append(model.encode(snapshots).values.reshape(-1))
    s = np.linspace(0, 1, n)
    z = (1 - s)[:, None] * ends[0] + s[:, None] * ends[1]
    return _latents(z.astype(ends[0].dtype), s, "share of the way from a to b")


def interpolate_cases(
    model: Any,
    data: Any,
    params: Mapping[str, float],
    *,
    method: Literal["rbf", "linear"] = "rbf",
) -> xr.DataArray:
    """Latents (case, time, latent) at parameters between those of the cases of ``data``.

    ``params``: a value for every parameter that differs between the cases. ``rbf`` is smooth
    (thin plate splines), ``linear`` piecewise linear. Cases are compared at equal times, as far
    as the shortest goes. Raises :class:`OptionError` outside the range of the cases.
    """
    check_option("method", method, ["rbf", "linear"])
    snapshots = open_snapshots(data)
    names, known = _parameters(snapshots)
    at = _target(names, known, params)
    z = model.encode(snapshots).isel({TIME: slice(0, min(snapshots.lengths))})
    low, span = known.min(0), np.ptp(known, axis=0)
    unit, target = (known - low) / span, (at - low) / span
    values = _interpolate(unit, z.values.reshape(len(z), -1).astype(float), target, method)
    coords: dict[Any, Any] = {TIME: z[TIME].variable, LATENT: z[LATENT].variable, CASE: [0]}
    coords |= {name: (CASE, [value]) for name, value in zip(names, at, strict=True)}
    return xr.DataArray(values.reshape(1, *z.shape[1:]).astype(z.dtype), coords,
                        (CASE, TIME, LATENT), name="latents")  # fmt: skip


def sample_states(
    model: Any, data: Any | None = None, n: int = 16, *, seed: int = 0
) -> xr.DataArray:
    """Latents (time, latent) of ``n`` new states that scatter as those of ``data`` do.

    ``data``: snapshots, or latents that ``encode`` gave; None draws from the prior of a variational
    model. ``time`` numbers the draws: they are states, not a trajectory. Raises
    :class:`OptionError` for a model without a prior where there are no data.
    """
    check_whole("n", n)
    if data is None:
        drawn = _prior(model, n, seed)
        return _latents(drawn, np.arange(n), "number of the draw")
    z, _ = _known(model, data)
    rng = np.random.default_rng(seed)
    count, k = z.shape
    width = count ** (-1 / (k + 4))
    mean = z.mean(0)
    # The noise is a random mixture of the latents themselves, so that any covariance will do.
    mixture = rng.standard_normal((n, count)) @ (z - mean) / np.sqrt(max(count - 1, 1))
    picked = z[rng.integers(count, size=n)]
    new = mean + (picked + width * mixture - mean) / np.sqrt(1 + width**2)
    return _latents(new.astype(np.float32), np.arange(n), "number of the draw")


def _prior(model: Any, n: int, seed: int) -> np.ndarray:
    """(n, k) draws of the prior that the latents were trained towards."""
    import torch

    reducer = getattr(model, "reducer", model)
    squeeze = getattr(getattr(reducer, "module", None), "squeeze", None)
    drawn = None
    if squeeze is not None:
        drawn = squeeze.draw(n, torch.Generator().manual_seed(seed))
    if drawn is None:
        raise OptionError(
            f"{reducer.name} has no prior to draw states from. Give data whose latents the states "
            f"should scatter like, sample_states(model, snapshots), or fit a romae.VAE."
        )
    return np.asarray(drawn.numpy())


def latent_map(
    model: Any, data: Any, *, method: Method = "pca", seed: int = 0, **options: Any
) -> xr.Dataset:
    """Two numbers per snapshot in which neighbours in the latent space stay neighbours.

    ``pca``: the plane of largest variance; ``tsne``, ``umap``: by scikit-learn and umap-learn, with
    their ``options`` (``perplexity``, ``n_neighbors``). Only ``pca`` keeps distances. Returns
    ``first`` and ``second`` over the dimensions of the latents, with their coordinates: times and
    parameters. Raises :class:`romae.errors.MissingDependencyError` without the library.
    """
    check_option("method", method, ["pca", "tsne", "umap"])
    z, like = _known(model, data)
    if len(z) < 3 or z.shape[1] < 2:
        raise DataError(
            f"a map of {len(z)} snapshots with {z.shape[1]} latents says nothing. Expected 3 "
            f"snapshots and 2 latents or more."
        )
    if method == "pca":
        if options:
            raise OptionError(f"pca takes no options, got {', '.join(options)}.")
        found, attrs = _plane(z)
    else:
        found, attrs = _by_library(z, method, seed, options), {"seed": seed}
    result = xr.Dataset(attrs={"title": "Latent map", "method": method, **attrs})
    there = like.notnull().values.reshape(-1)
    for i, name in enumerate(("first", "second")):
        values = np.full(there.shape, np.nan)
        values[there] = found[:, i]
        result[name] = like.copy(data=values.reshape(like.shape))
    return result


def _plane(z: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Coordinates (T, 2) in the plane of largest variance; the sign makes the largest positive."""
    centred = z - z.mean(0)
    _, s, v = np.linalg.svd(centred, full_matrices=False)
    v = v * np.sign(v[np.arange(len(v)), np.abs(v).argmax(1)])[:, None]
    share = s[:2] ** 2 / max(float((s**2).sum()), np.finfo(float).tiny)
    return centred @ v[:2].T, {"share_of_variance": share}


def _by_library(z: np.ndarray, method: str, seed: int, options: dict[str, Any]) -> np.ndarray:
    z = (z - z.mean(0)) / np.where(z.std(0) > 0, z.std(0), 1.0)
    try:
        if method == "tsne":
            from sklearn.manifold import TSNE

            made = {"perplexity": min(30.0, (len(z) - 1) / 3), **options}
            return np.asarray(TSNE(2, random_state=seed, **made).fit_transform(z))
        from umap import UMAP
    except ImportError as error:
        library = {"tsne": "scikit-learn", "umap": "umap-learn"}[method]
        raise MissingDependencyError(
            f"a map by {method} needs {library}, which is not installed. Type "
            f"`pip install 'romae[maps]'`, or take method='pca'."
        ) from error
    made = {"n_neighbors": min(15, len(z) - 1), "n_jobs": 1, **options}
    return np.asarray(UMAP(n_components=2, random_state=seed, **made).fit_transform(z))


def _known(model: Any, data: Any) -> tuple[np.ndarray, xr.DataArray]:
    """Latents (T, k), and a DataArray of the other dimensions, NaN where a case has ended."""
    given = isinstance(data, xr.DataArray) and data.dims[-1:] == (LATENT,)
    latents = data if given else model.encode(data)
    like = latents.isel({LATENT: 0}, drop=True)
    z = latents.values.reshape(-1, latents.sizes[LATENT]).astype(float)
    return z[~np.isnan(z).any(1)], like


def _parameters(snapshots: Snapshots) -> tuple[list[str], np.ndarray]:
    """Names and values (cases, parameters) of what differs between the cases, as numbers."""
    table = None if snapshots.params is None else snapshots.params.select_dtypes("number")
    names = [] if table is None else [str(n) for n in table if table[n].nunique() > 1]
    if table is None or not names:
        raise DataError(
            f"{snapshots.source}: no parameter differs between its {snapshots.cases} cases. "
            f"Expected coordinates over the case dimension, such as Re."
        )
    return names, table[names].to_numpy(float)


def _target(names: list[str], known: np.ndarray, params: Mapping[str, float]) -> np.ndarray:
    if set(params) != set(names):
        raise OptionError(
            f"params gives {', '.join(params) or 'nothing'}. Expected a value for each of "
            f"{', '.join(names)}."
        )
    at = np.array([float(params[n]) for n in names])
    for name, value, low, high in zip(names, at, known.min(0), known.max(0), strict=True):
        if not low <= value <= high:
            raise OptionError(
                f"{name} = {value:g} lies outside the cases, {low:g} to {high:g}. Expected a value "
                f"between them: this interpolates and does not extrapolate."
            )
    return at


def _interpolate(known: np.ndarray, values: np.ndarray, at: np.ndarray, method: str) -> np.ndarray:
    """Values (n,) at ``at`` (d,) from those (cases, n) at ``known`` (cases, d)."""
    from scipy.interpolate import LinearNDInterpolator, RBFInterpolator, interp1d

    dims = known.shape[1]
    if len(known) < dims + 1 + (method == "rbf"):
        raise DataError(
            f"{len(known)} cases are too few for {dims} parameters by {method}. Expected "
            f"{dims + 1 + (method == 'rbf')} or more."
        )
    if method == "rbf":
        return RBFInterpolator(known, values, kernel="thin_plate_spline", degree=1)(at[None])[0]
    if dims == 1:
        return interp1d(known[:, 0], values, axis=0)(at[0])
    found = LinearNDInterpolator(known, values)(at[None])[0]
    if np.isnan(found).any():
        raise OptionError("the parameters lie outside the hull of the cases. Take method='rbf'.")
    return found


def _latents(z: np.ndarray, axis: np.ndarray, what: str) -> xr.DataArray:
    coords = {TIME: (TIME, axis, {"long_name": what}), LATENT: np.arange(z.shape[1])}
    return xr.DataArray(z, coords, (TIME, LATENT), name="latents")
