"""The laws that every reducer and every model of the latents keeps, for those who write one.

    from romae.testing import check_dynamics, check_reducer

    def test_mine():
        check_reducer(Mine(latent=2), snapshots)         # small data: it is fitted twice
        check_dynamics(MyDynamics(), latents)

Each law that is broken raises AssertionError with the law in words. Nothing but romae is
needed; romae's own classes are tested by the same functions.
"""

import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from romae.conventions import BUNDLE_FILE, CASE, LATENT, MEMBER, TIME
from romae.dynamics import Dynamics
from romae.dynamics.base import OUTSIDE
from romae.dynamics.perturbed import Perturbed
from romae.errors import DataError, GridMismatchError, NotFittedError, OptionError
from romae.fields import Snapshots, open_snapshots
from romae.model import load
from romae.reducers import Reducer

ROUNDING = 1e-5  # of the largest latent: sums of float32 in another order


def check_reducer(reducer: Reducer, snapshots: Any) -> None:
    """Fit ``reducer``, which is not fitted yet, to ``snapshots`` and check every law.

    ``snapshots``: what ``open_snapshots`` takes; eight or more per case, two points or more
    on the last space axis.
    """
    data = open_snapshots(snapshots)
    _refuses(lambda: reducer.encode(data), NotFittedError, "encode before fit")
    twin = type(reducer)(**reducer.arguments)
    _law(reducer.fit(data, device="cpu") is reducer, "fit returns the reducer")
    z = reducer.encode(data)
    _check_latents(reducer, data, z)
    _check_tensors(reducer, data, z)
    _check_fields(reducer, data, z)
    _check_refusals(reducer, data)
    _check_saving(reducer, lambda opened: opened.encode(data), z)
    again = twin.fit(data, device="cpu").encode(data)
    _law(z.identical(again), "a second fit to the same data gives the same latents")


def check_dynamics(dynamics: Dynamics, latents: xr.DataArray) -> None:
    """Fit ``dynamics``, which is not fitted yet, to ``latents`` (time, latent), check every law.

    Models that take parameters or inputs are fitted once more with each.
    """
    given, twins = latents.copy(deep=True), [type(dynamics)(**dynamics.arguments) for _ in range(2)]
    _refuses(lambda: dynamics.forecast(latents, 1), NotFittedError, "forecast before fit")
    _law(dynamics.fit(latents) is dynamics, "fit returns the dynamics")
    steps, c = 6, dynamics.context
    forecast = dynamics.forecast(latents, steps)
    _law(forecast.dims == (TIME, LATENT), "a forecast has the dims (time, latent)")
    _law(forecast.shape == (steps, latents.sizes[LATENT]), "a forecast has the steps asked for")
    _law(forecast.dtype == latents.dtype, "a forecast has the dtype of the history")
    _law(bool(np.isfinite(forecast).all()), "a short forecast is finite")
    axis = np.concatenate([latents[TIME].values, forecast[TIME].values])
    gaps = np.diff(axis).astype(float)
    _law(np.allclose(gaps, gaps[0], rtol=1e-6), "the time axis goes on in even steps")
    _law(forecast[TIME].attrs == latents[TIME].attrs, "the time axis keeps its attributes")
    _law(latents.identical(given), "latents are left as they were")
    shorter = dynamics.forecast(latents, steps - 2)
    _law(shorter.equals(forecast[: steps - 2]), "a shorter forecast is the beginning of a longer")
    recent = dynamics.forecast(latents[-max(c, 2) :], steps)
    _law(recent.equals(forecast), "only the last `context` steps of the history matter")
    batch = xr.concat([latents, latents[::-1].assign_coords({TIME: latents[TIME]})], CASE)
    both = dynamics.forecast(batch, 2)
    _law(_close(both.values[0], forecast.values[:2]), "a batch of histories gives what one gives")
    if c > 1:
        _refuses(lambda: dynamics.forecast(latents[: c - 1], 1), DataError, "too short a history")
    wide = xr.concat([latents, latents[:, :1]], LATENT)
    _refuses(lambda: dynamics.forecast(wide, 1), DataError, "latents of another size")
    _check_saving(dynamics, lambda opened: opened.forecast(latents, steps), forecast)
    _check_ensemble(dynamics, latents, steps)
    _check_times(dynamics, latents, forecast)
    _check_params(twins[0], latents, steps)
    _check_inputs(twins[1], latents, steps)


def _check_ensemble(dynamics: Dynamics, latents: xr.DataArray, steps: int) -> None:
    members = dynamics.forecast(latents, steps, ensemble=3, seed=1)
    shape = (3, steps, latents.sizes[LATENT])
    _law(members.dims == (MEMBER, TIME, LATENT), "members come along a first dimension `member`")
    _law(members.shape == shape, "an ensemble has the members and steps asked for")
    _law(bool(np.isfinite(members).all()), "a short forecast of an ensemble is finite")
    again = dynamics.forecast(latents, steps, ensemble=3, seed=1)
    _law(members.identical(again), "the seed of an ensemble decides it")
    starts = xr.concat([latents, latents, latents], MEMBER)
    alike = Perturbed(3, 0.0)
    on = dynamics.forecast(starts, 2)
    still = dynamics.forecast(latents, 2, ensemble=alike)
    _law(on.dims == still.dims, "a history of members is continued member by member")
    _law(_close(on.values, still.values), "members of a history are the members of an ensemble")


def _check_times(dynamics: Dynamics, latents: xr.DataArray, forecast: xr.DataArray) -> None:
    some = dynamics.forecast(latents, times=forecast[TIME].values[[0, 2]])
    _law(some.equals(forecast[[0, 2]]), "times on the grid give what steps give")
    first, second = forecast[TIME].values[:2]
    between = np.array([first + (second - first) / 2, second])
    if not dynamics.continuous:
        _refuses(lambda: dynamics.forecast(latents, times=between), OptionError, "off the grid")
        return
    found = dynamics.forecast(latents, times=between)
    _law(_close(found.values[1:], forecast.values[1:2]), "times between steps leave the steps")
    _law(bool(np.isfinite(found).all()), "a forecast between steps is finite")


def _check_params(dynamics: Dynamics, latents: xr.DataArray, steps: int) -> None:
    family = xr.concat([latents * (1 + 0.02 * i) for i in range(4)], CASE)
    table = {"mu": np.arange(4.0)}
    dynamics.fit(family, params=table)
    if "params" not in dynamics.takes:
        dynamics.forecast(latents, steps)  # one law for all cases, whatever their parameters
        return
    both = dynamics.forecast(family[1:3], steps, params={"mu": [1.0, 2.0]})
    one = dynamics.forecast(family[2], steps, params={"mu": 2.0})
    _law(_close(both.values[1], one.values), "each case has the parameters of its row")
    _check_saving(dynamics, lambda m: m.forecast(family[2], steps, params={"mu": 2.0}), one)
    _refuses(lambda: dynamics.forecast(latents, 1), DataError, "a forecast without parameters")
    wrong = {"nu": 1.0}
    _refuses(lambda: dynamics.forecast(latents, 1, params=wrong), DataError, "unknown parameters")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        far = dynamics.forecast(family[2], 1, params={"mu": 9.0})
    _law(OUTSIDE in far.attrs and bool(told), "parameters outside the training range are flagged")


def _check_inputs(dynamics: Dynamics, latents: xr.DataArray, steps: int) -> None:
    long = latents[TIME]
    force = xr.DataArray(np.sin(0.7 * np.arange(long.size)), dims=TIME, coords={TIME: long})
    force.name = "force"
    if "inputs" not in dynamics.takes:
        _refuses(lambda: dynamics.fit(latents, inputs=force), OptionError, "inputs it cannot use")
        return
    dynamics.fit(latents, inputs=force)
    start = latents[: -2 * steps]
    whole = dynamics.forecast(start, steps, inputs=force)
    after = force.copy(deep=True)
    after[-steps + 1 :] = 5.0
    later = dynamics.forecast(start, steps, inputs=after)
    _law(later.identical(whole), "inputs after the forecast do not matter")
    batch = dynamics.forecast(xr.concat([start, start], CASE), steps, inputs=[force, force])
    _law(_close(batch.values[1], whole.values), "each case has inputs of its own")
    _refuses(lambda: dynamics.forecast(start, steps), DataError, "a forecast without its inputs")
    short = force[: -2 * steps]
    _refuses(
        lambda: dynamics.forecast(start, steps, inputs=short),
        DataError,
        "inputs that end too early",
    )


def _check_latents(reducer: Reducer, data: Snapshots, z: xr.DataArray) -> None:
    dims = (TIME, LATENT) if data.layout.case is None and data.cases == 1 else (CASE, TIME, LATENT)
    _law(z.dims == dims, f"latents have the dims {dims}")
    _law(z.sizes[LATENT] == reducer.latent, "`latent` is the number of latents")
    _law(np.array_equal(z[TIME].values, data.times().values), "latents keep the times")
    _law(bool(np.isfinite(z).all()), "latents are finite")
    head = reducer.encode(data.isel(time=slice(0, 3)))
    _law(_close(head.values, z[..., :3, :].values), "encode of a part is the part of encode")


def _check_tensors(reducer: Reducer, data: Snapshots, z: xr.DataArray) -> None:
    x = torch.cat([x for case, x in reducer.batches(data) if case == 0])
    first = z.values[0] if CASE in z.dims else z.values
    own = reducer.along(data, 0)
    one = torch.cat([own.encode_tensor(row[None]) for row in x])
    _law(one.shape == (len(x), reducer.latent), "encode_tensor gives (B, k)")
    _law(_close(one.numpy(), first), "encode does not depend on how snapshots are batched")
    own = reducer.along(z, 0)
    y = own.decode_tensor(one)
    _law(y.shape == x.shape, "decode_tensor gives (B, C, *space)")
    several = torch.cat([own.decode_tensor(part) for part in one.split(3)])
    _law(_close(several.numpy(), y.numpy()), "decode does not depend on how latents are batched")
    lost, whole = (np.square(v) * data.layout.quadrature for v in ((x - y).numpy(), x.numpy()))
    _law(lost.sum() <= whole.sum() * 1.001, "a reconstruction is no worse than the temporal mean")


def _check_fields(reducer: Reducer, data: Snapshots, z: xr.DataArray) -> None:
    fields, source = reducer.decode(z), data.to_dataset()
    _law(set(fields.data_vars) == set(data.layout.names), "decode gives the fields of the source")
    for c, field in enumerate(data.layout.fields):
        got, want = fields[field.name], source[field.name]
        _law(got.dims == want.dims, f"{field.name} keeps its dims {want.dims}, not {got.dims}")
        _law(got.attrs == want.attrs, f"{field.name} keeps its units and attributes")
        floating = want.dtype.kind == "f"
        _law(got.dtype == want.dtype or not floating, f"{field.name} keeps its dtype {want.dtype}")
        valid = xr.DataArray(data.layout.valid[c], dims=data.layout.space)
        _law(bool((np.isfinite(got) == valid).all()), f"{field.name} is NaN just where masked")
    for name, coordinate in source.coords.items():
        if set(coordinate.dims) <= {*data.layout.space, data.layout.time}:
            kept = name in fields.coords and fields[name].variable.identical(coordinate.variable)
            _law(kept, f"coordinate {name} comes back with its values and attributes")


def _check_refusals(reducer: Reducer, data: Snapshots) -> None:
    source = data.to_dataset().load()
    smaller = source.isel({data.layout.space[-1]: slice(0, -1)})
    _refuses(lambda: reducer.encode(smaller), GridMismatchError, "another grid")
    name, space = data.layout.names[0], data.layout.space
    point = dict(zip(space, np.argwhere(data.layout.valid[0])[0], strict=True))
    torn = source.assign({name: source[name].astype(float)})
    torn[name][{data.layout.time: 1, **point}] = np.nan
    _refuses(lambda: reducer.encode(torn), DataError, "NaN at some times only")


def _check_saving(fitted: Any, use: Callable[[Any], xr.DataArray], expected: xr.DataArray) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = fitted.save(Path(folder, "saved.rom"))
        files = sorted(p.name for p in path.rglob("*"))
        _law(files == ["model.safetensors", BUNDLE_FILE], f"two files are saved, not {files}")
        json.loads((path / BUNDLE_FILE).read_text(), parse_constant=_no_number)
        opened = load(path)
    _law(type(opened) is type(fitted), "load gives the class that was saved")
    _law(repr(opened) == repr(fitted), "load gives the arguments that were saved")
    _law(opened.nbytes == fitted.nbytes > 0, "nbytes counts what is saved")
    _law(use(opened).identical(expected), "what was saved gives the same bits")


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.abs(a - b).max() <= ROUNDING * np.abs(b).max())


def _no_number(text: str) -> None:
    raise AssertionError(f"{BUNDLE_FILE} is strict JSON, without {text}")


def _refuses(action: Callable[[], object], kind: type[Exception], what: str) -> None:
    try:
        action()
    except kind:
        return
    raise AssertionError(f"{what} raises {kind.__name__}")


def _law(kept: bool, text: str) -> None:
    if not kept:
        raise AssertionError(f"broken law: {text}")
