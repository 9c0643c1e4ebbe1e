"""Reconstruction errors of several models on one test set, in one pass over it.

For every block of test snapshots x and every model: z = E(x), x^ = D(z), and the energies of
x^ - x are added up (:mod:`romae.metrics`). Memory holds one block and one batch, however
long the test set is. The reference mean is the training mean of the first model, so that all
models divide by the same fluctuation.
"""

from typing import Any, Literal

import numpy as np
import xarray as xr

from romae.compare.coding import BLOCK_BYTES, finite_blocks, reconstruct
from romae.compare.ladders import Ladder, Models, along, check_test, ladders
from romae.compare.timing import rates
from romae.conventions import LATENT
from romae.errors import DataError, check_option
from romae.fields import Snapshots, open_snapshots
from romae.metrics import ALL, ErrorSums, FluctuationSums, unit_groups
from romae.progress import track

RATE_BATCH = 32  # snapshots in the batch that is timed


def compare(
    models: Models,
    test: Any,
    *,
    pod_curve: bool = True,
    rates: Literal["measure", "skip"] = "measure",
    on_leak: Literal["raise", "flag"] = "raise",
    block_bytes: int = BLOCK_BYTES,
) -> xr.Dataset:
    """Error, bytes and times of fitted models on unseen snapshots.

    ``models``: fitted reducers or reduced models, a list or a mapping of names to them.
    ``test``: Snapshots, or what ``open_snapshots`` takes; read once, by blocks. With
    ``pod_curve`` a POD of rank k gives a row for every rank of the curve 1, 2, 3, 4, 6, ... k.

    Returns a Dataset over ``model`` and ``field`` (the fields and "all"): ``error``,
    ``error_mean`` and ``error_worst`` as defined in :mod:`romae.metrics`, ``mse_over_variance``;
    over ``model``: ``latent``, ``nbytes``, ``stored_bytes``, ``fit_seconds``, ``encode_rate``,
    ``decode_rate``, ``worst_snapshot``, ``leak``. Every variable says its unit.

    Raises :class:`romae.errors.GridMismatchError` when ``test`` is on another grid,
    :class:`DataError` when a model was fitted to ``test`` (unless ``on_leak="flag"``) or when
    no field fluctuates.
    """
    check_option("rates", rates, ["measure", "skip"])
    check_option("on_leak", on_leak, ["raise", "flag"])
    snapshots = open_snapshots(test)
    leaks = check_test(models, snapshots, on_leak=on_leak)
    steps = ladders(models, pod_curve=pod_curve)
    reference = steps[0].reducer
    layout = reference.layout
    groups = unit_groups([f.units for f in layout.fields])
    fluctuation = FluctuationSums(layout.quadrature, np.asarray(reference.scaling.mean, float))
    sums = {rung.name: ErrorSums(layout.quadrature, groups) for s in steps for rung in s.rungs}
    with track(len(snapshots), "comparing") as task:
        now, coders = -1, steps
        for case, values in finite_blocks(snapshots, block_bytes):
            if case != now:
                now, coders = case, [ladder.along(snapshots, case) for ladder in steps]
            fluctuation.add(values)
            for ladder in coders:
                for rung, approximation in reconstruct(ladder, values):
                    sums[rung.name].add(approximation - values)
            task.advance(len(values))
    denominator = fluctuation.energy
    if not (denominator > 0).any():
        raise DataError(
            f"no field of {snapshots.source} differs from the training mean: relative errors "
            f"need fluctuations. Compare on other snapshots."
        )
    result = _dataset(steps, sums, denominator, snapshots)
    if rates == "measure":
        _add_rates(result, steps, snapshots)
    result.attrs["leak"] = "; ".join(f"{n}: {text}" for n, text in leaks.items() if text)
    result.attrs["reference_mean"] = (
        f"temporal mean of the training data of {steps[0].rungs[-1].name}"
    )
    return result


def _dataset(
    steps: list[Ladder], sums: dict[str, ErrorSums], denominator: np.ndarray, test: Snapshots
) -> xr.Dataset:
    rungs = [(ladder, rung) for ladder in steps for rung in ladder.rungs]
    nrmse = {name: s.nrmse(denominator) for name, s in sums.items()}  # (T, C + 1)
    per_field = {
        "error": [sums[r.name].relative_l2(denominator) for _, r in rungs],
        "error_mean": [nrmse[r.name].mean(0) for _, r in rungs],
        "error_worst": [nrmse[r.name].max(0) for _, r in rungs],
    }
    nbytes = np.array([r.reducer.nbytes for _, r in rungs], dtype=np.int64)
    latent = np.array([r.latent for _, r in rungs], dtype=np.int64)
    # Latents are float32, unless the reducer makes less of them.
    item = [getattr(r.reducer, "latent_bytes", 4 * r.latent) for _, r in rungs]
    latent_bytes = np.array(item, dtype=np.int64)
    per_model = {
        "latent": latent,
        "nbytes": nbytes,
        "latent_bytes": latent_bytes,
        "stored_bytes": nbytes + latent_bytes * len(test),
        "fit_seconds": np.array([float(ladder.reducer.fit_seconds) for ladder, _ in rungs]),
        "worst_snapshot": np.array([int(nrmse[r.name][:, -1].argmax()) for _, r in rungs]),
    }
    fields = [*test.layout.names, ALL]
    data: dict[str, Any] = {
        name: (("model", "field"), np.stack(v), ATTRS[name]) for name, v in per_field.items()
    }
    squared = np.stack(per_field["error"]) ** 2
    data["mse_over_variance"] = (("model", "field"), squared, ATTRS["mse_over_variance"])
    data |= {name: (("model",), v, ATTRS[name]) for name, v in per_model.items()}
    coords = {
        "model": ("model", [r.name for _, r in rungs]),
        "family": ("model", [ladder.family for ladder, _ in rungs]),
        "field": ("field", fields, {"long_name": "field; 'all' weighs groups of units equally"}),
        "units": ("field", [*(f.units for f in test.layout.fields), ""]),
    }
    return xr.Dataset(data, coords=coords, attrs=_provenance(test))


def _provenance(test: Snapshots) -> dict[str, Any]:
    from romae.bundle import versions

    first, last = test.times(0).values[0], test.times(test.cases - 1).values[-1]
    return {
        "title": "Reconstruction of unseen snapshots",
        "test_source": test.source,
        "test_fingerprint": test.fingerprint,
        "test_snapshots": len(test),
        "test_cases": test.cases,
        "test_nbytes": test.nbytes,
        "test_first_time": str(first),
        "test_last_time": str(last),
        "time_units": str(test.times(0).attrs.get("units", "")),
        "definition": "relative L2 of the fluctuation about the training mean, Frobenius over "
        "space and time, quadrature weighted, masked points excluded; see romae.metrics",
        "versions": ", ".join(f"{k} {v}" for k, v in versions().items()),
    }


def _add_rates(result: xr.Dataset, steps: list[Ladder], test: Snapshots) -> None:
    import torch

    from romae.feed import TensorScaling

    most = max(1, min(RATE_BATCH, test.lengths[0], (64 << 20) // (4 * test.layout.size)))
    values = torch.from_numpy(test.read(0, most, 0))
    measured = []
    with track(result.sizes["model"], "timing") as task:
        for ladder in steps:
            device = ladder.reducer.device
            x = TensorScaling(ladder.reducer.scaling, device).forward(values.to(device))
            for rung in ladder.rungs:
                # A shorter POD encodes with fewer modes: each rank is timed on its own.
                own = along(rung.reducer, test, 0)
                measured.append(rates(own, own, x, rung.latent))
                task.advance()
    for i, name in enumerate(("encode_rate", "decode_rate")):
        result[name] = (("model",), np.array([m[i] for m in measured]), dict(ATTRS[name]))
        result[name].attrs["batch"] = most
    result.attrs["device"] = _device(steps)
    result.attrs["threads"] = torch.get_num_threads()


def _device(steps: list[Ladder]) -> str:
    import torch

    kinds = sorted({str(ladder.reducer.device) for ladder in steps})
    names = [torch.cuda.get_device_name(k) if k.startswith("cuda") else k for k in kinds]
    return ", ".join(names)


ATTRS: dict[str, dict[str, Any]] = {
    "error": {"units": "1", "long_name": "relative L2 error of the fluctuation"},
    "error_mean": {"units": "1", "long_name": "mean over snapshots of the NRMSE"},
    "error_worst": {"units": "1", "long_name": "NRMSE of the worst snapshot"},
    "mse_over_variance": {"units": "1", "long_name": "mean squared error over variance"},
    "latent": {"units": "1", "long_name": "latent size k, numbers per snapshot"},
    "nbytes": {"units": "byte", "long_name": "bytes of the fitted model"},
    "latent_bytes": {"units": "byte", "long_name": f"bytes per snapshot of the {LATENT}s"},
    "stored_bytes": {"units": "byte", "long_name": "model and latents of the test snapshots"},
    "fit_seconds": {"units": "s", "long_name": "wall time of fit (of all ranks, for POD)"},
    "worst_snapshot": {"units": "1", "long_name": "index of the worst snapshot, cases in a row"},
    "encode_rate": {"units": "s-1", "long_name": "snapshots encoded per second, tensor level"},
    "decode_rate": {"units": "s-1", "long_name": "snapshots decoded per second, tensor level"},
}
