"""Forecasts with a known truth: a wake over a hundred periods, Burgers at unseen Re, unseen drops.

    python benchmarks/forecast_targets.py wake [--kinds dmd opinf ...]
    python benchmarks/forecast_targets.py burgers
    python benchmarks/forecast_targets.py shallow

wake      cylinder at Re 100 (demo grid), 4800 snapshots: reducer and models see the first 400 (10
          periods; the reducer also validates on the next 50), forecasts start at 450 and run for
          4130 steps, 100 periods, against the solver's own snapshots.
          phase: angle about the mean of the latents, in periods; field: relative L2 of the
          fluctuation over the last period, beside that of encoding and decoding the truth.
burgers   closed form, 19 Reynolds numbers from 100 to 1900 for training, 13 others from 50 to 2450
          for the test: forecasts of 95 steps from 5 snapshots; relative L2 over time and space.
          spread: standard deviation of 30 members over the error of their mean, both of latents.
shallow   100 drops into a periodic square, 96 snapshots each, the last 10 for the test as in
          accuracy.py. Aligned(POD(36)), 40 latents, and the models see the first 16: behind the
          alignment others tell the same. Forecasts start from as many of the first snapshots
          of a drop as the model looks at, and run to the end of the simulation. Relative L2 of
          the fluctuation per field over what is forecast, beside that of encoding and decoding the
          truth and of projecting it on POD-40, fitted for each field alone to the first 80.

Each run is a line of ``benchmarks/results/forecast_targets.jsonl``. Models are fitted with the
arguments below, chosen by their validation in fit, not by these tests.
"""

import argparse
import json
import platform
import time
import warnings
from pathlib import Path

import numpy as np

import romae
from romae.cases import make_case
from romae.dynamics import Equivariant
from romae.dynamics.perturbed import Perturbed

RESULTS = Path(__file__).parent / "results" / "forecast_targets.jsonl"
DATA = Path(__file__).parent / "data"
START, STEPS, PERIOD, SNAPSHOTS = 450, 4130, 42, 4800
WAKE = {
    "persistence": lambda: romae.Persistence(),
    "dmd": lambda: romae.DMD(20),
    "dmd-optimised": lambda: romae.DMD(20, rank=11, method="optimised", growth="neutral"),
    "koopman": lambda: romae.Koopman(),
    "koopman-5": lambda: romae.Koopman(1, degree=5),
    "opinf": lambda: romae.OperatorInference(),
    "opinf-cubic": lambda: romae.OperatorInference("cubic"),
    "sindy": lambda: romae.SINDy(),
    "polynomial": lambda: romae.PolynomialMap(),
    "echo": lambda: romae.EchoState(),
    "ode": lambda: romae.NeuralODE(),
}
BURGERS = {
    "latent-gp-linear": lambda: romae.LatentGP("linear"),
    "latent-gp-quadratic": lambda: romae.LatentGP("quadratic"),
    "latent-gp": lambda: romae.LatentGP(),
    "opinf": lambda: romae.OperatorInference(),
    "opinf-cubic": lambda: romae.OperatorInference("cubic"),
    "polynomial": lambda: romae.PolynomialMap(),
}


SHALLOW = {
    "persistence": lambda: romae.Persistence(),
    "climatology": lambda: romae.Climatology(),
    "dmd": lambda: romae.DMD(4),
    "dmd-1-equivariant": lambda: Equivariant(romae.DMD()),
    "dmd-2-equivariant": lambda: Equivariant(romae.DMD(2)),
    "dmd-equivariant": lambda: Equivariant(romae.DMD(4)),
}


def _reducer(name: str, train, validation):
    path = DATA / f"{name}-k2.rom"
    if not path.exists():
        romae.PODAutoencoder(latent=2).fit(train, validation=validation).save(path)
    return romae.load(path)


def _record(case: str, kind: str, model, **values) -> None:
    row = {"case": case, "kind": kind, "model": repr(model), "fit_seconds": model.fit_seconds}
    row |= values | {"machine": platform.machine(), "when": time.strftime("%Y-%m-%d")}
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps({k: v for k, v in row.items() if k not in ("machine", "when", "model")}))


def wake(kinds: list[str]) -> None:
    path = DATA / "cylinder-demo-100-periods.nc"
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        make_case("cylinder", "demo", path, snapshots=SNAPSHOTS)
    data = romae.open_snapshots(path)
    train = data.isel(time=slice(0, 400))
    ae = _reducer("wake", train, data.isel(time=slice(400, START)))
    z = ae.encode(data).astype(float)
    end = START + STEPS
    mean = train.to_dataset().mean("time")
    last = data.isel(time=slice(end - PERIOD, end)).to_dataset()

    def field_error(latents) -> float:
        fields = ae.decode(latents)
        top = sum(float(((fields[v] - last[v]) ** 2).sum()) for v in last)
        return float(np.sqrt(top / sum(float(((last[v] - mean[v]) ** 2).sum()) for v in last)))

    def phase(latents) -> np.ndarray:
        x = ((latents - z[:400].mean("time")) / z[:400].std("time")).values
        return np.unwrap(np.arctan2(x[:, 1], x[:, 0])) / (2 * np.pi)

    truth = phase(z[START:end])
    floor = field_error(z[end - PERIOD : end])
    for kind in kinds or WAKE:
        model = WAKE[kind]()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that a rollout left is in the record
            model.fit(z[:400])
            begin = time.perf_counter()
            forecast = model.forecast(z[:START], STEPS)
            seconds = time.perf_counter() - begin
        off = phase(forecast) - truth
        off -= np.round(off[0])
        _record(
            "wake", kind, model,
            phase=float(abs(off[-1])), phase_worst=float(np.abs(off).max()),
            field=field_error(forecast[-PERIOD:]), floor=floor, rollout_seconds=seconds,
            left=forecast.attrs.get("left_training_range_at"),
        )  # fmt: skip


def burgers(kinds: list[str]) -> None:
    path = DATA / "burgers-demo.nc"
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        make_case("burgers", "demo", path)
    data = romae.open_snapshots(path)
    train, validation, test = (data.isel(case=slice(*s)) for s in ((0, 19), (19, 22), (22, None)))
    ae = _reducer("burgers", train, validation)
    known, z = ae.encode(train), ae.encode(test)
    u = test.to_dataset().u.values[:, 5:]
    re = test.params["Re"].to_numpy()
    inside = (re > 100) & (re < 1900)

    def relative(latents, which=slice(None)) -> float:
        off = ae.decode(latents).u.values - u
        return float(np.linalg.norm(off[which]) / np.linalg.norm(u[which]))

    for kind in kinds or BURGERS:
        model = BURGERS[kind]()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # extrapolation is what is tested
            forecast = model.fit(known).forecast(z[:, :5], 95)
            amplitude = 0.0 if kind.startswith("latent-gp") else 1.0
            members = model.forecast(z[:, :5], 95, ensemble=Perturbed(30, amplitude))
        error = ((members.mean("member") - z[:, 5:]) ** 2).mean(("time", "latent"))
        spread = members.var("member", ddof=1).mean(("time", "latent"))
        ratio = np.sqrt(spread / error).values
        _record(
            "burgers", kind, model,
            error=relative(forecast), error_inside=relative(forecast, inside),
            error_above=relative(forecast, re > 1900), floor=relative(z[:, 5:]),
            floor_inside=relative(z[:, 5:], inside),
            spread_inside=float(np.median(ratio[inside])),
            spread_above=float(np.median(ratio[re > 1900])),
        )  # fmt: skip


def shallow(kinds: list[str]) -> None:
    path = DATA / "shallow-water.nc"
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        make_case("shallow-water", "full", path)
    data = romae.open_snapshots(path)
    train, test = data.isel(case=slice(0, 80)), data.isel(case=slice(90, None))
    seen, truth = train.to_dataset().load(), test.to_dataset().load()
    few = seen.isel(case=slice(0, 16))
    ae = romae.Aligned(romae.POD(36), axes=("y", "x")).fit(few)
    # Where the drop falls is what the law does not depend on: no parameter of it.
    known, z = (ae.encode(d).drop_vars(["x0", "y0"], errors="ignore") for d in (few, truth))

    def parts(data) -> dict[str, np.ndarray]:
        return {v: data[v].transpose("case", "time", "y", "x").values for v in truth}

    fields, mean = parts(truth), seen.mean(("case", "time"))

    def relative(other: dict[str, np.ndarray], steps: int) -> dict[str, float]:
        """Error of the last ``steps`` over the fluctuation about the training mean."""
        found = {}
        for v, x in fields.items():
            x = x[:, -steps:]
            off = np.linalg.norm(other[v][:, -steps:] - x)
            found[v] = float(off / np.linalg.norm(x - mean[v].values))
        return found

    floor, pod = parts(ae.decode(z)), {}
    for v in truth:
        alone = romae.POD(40).fit(seen[[v]])
        pod |= {
            v: alone.decode(alone.encode(truth[[v]]))[v].transpose("case", "time", "y", "x").values
        }
    for kind in kinds or SHALLOW:
        model = SHALLOW[kind]().fit(known)
        steps = z.sizes["time"] - model.context
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that a rollout left is in the record
            forecast = model.forecast(z[:, : model.context], steps)
        ahead = parts(ae.decode(forecast))
        _record(
            "shallow", kind, model,
            error=relative(ahead, steps), end=relative(ahead, 1),
            floor=relative(floor, steps), pod40=relative(pod, steps),
            left=forecast.attrs.get("left_training_range_at"),
        )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["wake", "burgers", "shallow"])
    parser.add_argument("--kinds", nargs="*", default=[])
    given = parser.parse_args()
    {"wake": wake, "burgers": burgers, "shallow": shallow}[given.what](given.kinds)
