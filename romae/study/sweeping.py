"""Error over latent size for several kinds of reducer and seeds, to choose k by.

    runs (kind, k, seed) -> error energies of held-out snapshots -> e(k), its spread, the elbow

See :mod:`romae.compare.elbow` for the elbow and what its uncertainty means.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from romae.compare.elbow import block_of, curve, elbow, redrawn
from romae.errors import MissingFileError, OptionError, check_whole
from romae.fields import open_snapshots
from romae.files import atomic_file
from romae.metrics import unit_groups
from romae.study.sweep_plan import SweepPlan, plan_sweep

QUANTILES = (0.05, 0.95)  # of the redrawn sweeps: nine in ten lie between
TIE = 1e-3  # of an error: an autoencoder that stays at its start is POD but for rounding


def sweep(
    data: Any,
    kinds: Sequence[str] = ("pod", "pod-ae"),
    *,
    latent: Sequence[int] = (1, 2, 4, 8, 16),
    seeds: int = 3,
    folder: str | os.PathLike[str] = "sweep",
    jobs: int = 1,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    split: tuple[float, float, float] = (0.7, 0.15, 0.15),
    split_by: Literal["time", "case"] = "time",
    device: str = "auto",
) -> xr.Dataset:
    """Fit ``kinds`` at every size of ``latent`` with several seeds, and find the elbow.

    ``kinds``: as ``romae fit`` names them; ``options``: their arguments by kind; ``split``: train,
    validation, test. Runs are kept in ``folder``: a sweep that was killed goes on, one with more
    sizes or seeds does the new ones. ``jobs`` runs go side by side, each in its own process and
    on its own GPU; a script needs ``if __name__ == "__main__":`` then.

    Returns a Dataset over (kind, latent): ``error`` (also over seed), relative L2 on the test
    snapshots, ``error_median``, and ``error_lower``, ``error_upper``, between which nine in ten
    redrawn sweeps lie; ``elbow_share``, the share of them with the elbow at that size;
    ``best_share``, the share in which the kind has the smallest error of all at that size
    (kinds within a thousandth of it share it);
    ``nbytes``; ``fit_seconds`` (also over seed); over kind: ``elbow`` (0 where none was reached),
    ``elbow_lower``, ``elbow_upper``. ``attrs["verdict"]`` says it in words.

    Raises :class:`romae.errors.RomaeError` when runs fail, after the others are done.
    """
    from romae.study.parallel import perform_all

    check_whole("jobs", jobs)
    plan = make_plan(data, kinds, latent=latent, seeds=seeds, folder=folder, options=options,
                     split=split, split_by=split_by, device=device)  # fmt: skip
    perform_all(plan, jobs)
    return collect(plan)


def make_plan(
    data: Any,
    kinds: Sequence[str],
    *,
    latent: Sequence[int],
    seeds: int,
    folder: str | os.PathLike[str],
    options: Mapping[str, Mapping[str, Any]] | None,
    split: tuple[float, float, float],
    split_by: Literal["time", "case"],
    device: str,
) -> SweepPlan:
    """The checked plan of :func:`sweep`: ``.runs`` names the runs, ``.perform(name)`` does one."""
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise OptionError(f"{target} is a file. Expected the folder of a sweep; type another.")
    plan = plan_sweep(open_snapshots(data), target, kinds=tuple(kinds), latent=latent, seeds=seeds,
                      options=options or {}, split=split, split_by=split_by,
                      device=device)  # fmt: skip
    plan.check()
    return plan


def collect(plan: SweepPlan) -> xr.Dataset:
    """The result of a sweep whose runs are all finished.

    Written to the folder too: sweep.nc, sweep.csv, sweep.png and sweep.svg.
    """
    from romae.report.figures import png, svg, sweep_curve

    missing = [label for label in plan.runs if not plan.finished(label)]
    if missing:
        raise MissingFileError(
            f"{len(missing)} of {len(plan.runs)} runs are not finished: {', '.join(missing[:5])}"
            f"{', ...' if len(missing) > 5 else ''}. Start the sweep again without --index."
        )
    scores = {label: xr.load_dataset(plan.score_step(label).output) for label in plan.runs}
    result = summarise(list(scores.values()), plan)
    with atomic_file(plan.folder / "sweep.nc", overwrite=True) as temporary:
        result.to_netcdf(temporary, engine="netcdf4")
    with atomic_file(plan.folder / "sweep.csv", overwrite=True) as temporary:
        temporary.write_text(result.drop_dims("seed").to_dataframe().to_csv(lineterminator="\n"))
    figure = sweep_curve(result)
    with atomic_file(plan.folder / "sweep.png", overwrite=True) as temporary:
        temporary.write_bytes(png(figure))
    with atomic_file(plan.folder / "sweep.svg", overwrite=True) as temporary:
        temporary.write_text(svg(figure), encoding="utf-8")
    return result


def summarise(scores: list[xr.Dataset], plan: SweepPlan) -> xr.Dataset:
    """Medians, spreads and elbows of the scores of all runs."""
    test = plan.parts[2]
    groups = unit_groups([f.units for f in test.layout.fields])
    blocks = block_of(test.lengths)
    kinds = list(dict.fromkeys(str(s.attrs["kind"]) for s in scores))
    sizes, seeds = plan.sizes, max(sum(k in s["latent"] and s.attrs["kind"] == kind for s in scores)
                                   for kind in kinds for k in plan.sizes)  # fmt: skip
    shape = (len(kinds), len(sizes))
    error, seconds = (np.full((*shape, seeds), np.nan) for _ in range(2))
    nbytes = np.zeros(shape, np.int64)
    drawn = []
    truth = scores[0]["fluctuation"].values
    for i, kind in enumerate(kinds):
        energies = []
        for j, k in enumerate(sizes):
            mine = [s.sel(latent=k) for s in scores if s.attrs["kind"] == kind and k in s["latent"]]
            energies.append(np.stack([s["error"].values for s in mine]))
            error[i, j, : len(mine)] = curve(energies[-1], truth, groups)
            seconds[i, j, : len(mine)] = [float(s["fit_seconds"]) for s in mine]
            nbytes[i, j] = int(mine[0]["nbytes"])
        drawn.append(redrawn(energies, truth, blocks, groups))
    result = _dataset(kinds, sizes, error, np.stack(drawn))
    result["fit_seconds"] = (("kind", "latent", "seed"), seconds, {"units": "s"})
    result["nbytes"] = (("kind", "latent"), nbytes, {"units": "byte"})
    families = {str(s.attrs["kind"]): str(s.attrs["family"]) for s in scores}
    result = result.assign_coords(family=("kind", [families[k] for k in kinds]))
    result.attrs |= {"source": test.source, "test_snapshots": len(test)}
    result.attrs["verdict"] = "\n".join(sentences(result))
    return result


def _dataset(
    kinds: list[str], sizes: Sequence[int], error: np.ndarray, drawn: np.ndarray
) -> xr.Dataset:
    """``error`` (kind, latent, seed), ``drawn`` (kind, draw, latent)."""
    median = np.nanmedian(error, axis=-1)
    at, each = elbow(median), elbow(drawn)  # (kind,), (kind, draw)
    share = np.stack([np.bincount(e, minlength=len(sizes)) / e.size for e in each])
    first = drawn <= (1 + TIE) * drawn.min(axis=0)
    best = (first / first.sum(axis=0)).mean(axis=1)
    low, high = np.quantile(drawn, QUANTILES, axis=1)
    number = np.asarray(sizes)
    last = len(sizes) - 1
    bounds = np.quantile(each, QUANTILES, axis=1, method="nearest").astype(int)
    two, one = ("kind", "latent"), ("kind",)
    attrs = {"units": "1", "long_name": "relative L2 error of the fluctuation"}
    data: dict[str, Any] = {
        "error": (("kind", "latent", "seed"), error, attrs),
        "error_median": (two, median, attrs),
        "error_lower": (two, low, attrs),
        "error_upper": (two, high, attrs),
        "elbow_share": (two, share, {"units": "1"}),
        "best_share": (two, best, {"units": "1"}),
        "elbow": (one, np.where(at < last, number[at], 0), {"units": "1"}),
        "elbow_lower": (one, number[bounds[0]], {"units": "1"}),
        "elbow_upper": (one, number[bounds[1]], {"units": "1"}),
    }
    return xr.Dataset(data, coords={"kind": kinds, "latent": number},
                      attrs={"title": "Error over latent size"})  # fmt: skip


def sentences(result: xr.Dataset) -> list[str]:
    """What the sweep says: the elbow of each kind, and where POD is the best."""
    found = []
    largest = int(result["latent"][-1])
    for kind in result["kind"].values:
        one = result.sel(kind=kind)
        name, k = str(one["family"].item()), int(one["elbow"])
        low, high = int(one["elbow_lower"]), int(one["elbow_upper"])
        if k == 0:
            left = 100 * float(one["error_median"][-1])
            found.append(
                f"{name} ({kind}): no elbow up to k = {largest}, which leaves {left:.3g} % error."
            )
            continue
        share, error = float(one["elbow_share"].sel(latent=k)), one["error_median"].sel(latent=k)
        found.append(
            f"{name} ({kind}): elbow at k = {k} with {100 * float(error):.2g} % error; "
            f"{100 * share:.0f} % of redrawn sweeps have it there"
            + ("." if low == high else f", nine in ten from {low} to {high}.")
        )
    pods = [k for k, f in zip(result["kind"].values, result["family"].values, strict=True)
            if f == "POD"]  # fmt: skip
    if pods and result.sizes["kind"] > 1:
        found.append(_pod(result["best_share"].sel(kind=pods[0])))
    return found


def _pod(share: xr.DataArray) -> str:
    """Where POD beats all others, in at least 95 % of redrawn sweeps or the other way round."""

    def named(which: xr.DataArray) -> str:
        return ", ".join(str(int(k)) for k in share["latent"][which.values])

    wins, loses = share >= QUANTILES[1], share <= QUANTILES[0]
    parts = [f"wins at k = {named(wins)}" if wins.any() else "wins at none of these sizes"]
    if loses.any():
        parts.append(f"loses at k = {named(loses)}")
    open_ = ~wins & ~loses
    if open_.any():
        parts.append(f"is undecided at k = {named(open_)}")
    return f"POD {', '.join(parts)}."
