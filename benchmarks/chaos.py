"""Forecasts of chaotic and quasi-periodic flows: the figures of docs/accuracy.md on long runs.

    python benchmarks/chaos.py ks             # 5 minutes on one core
    python benchmarks/chaos.py kolmogorov     # 10 minutes, of which 7 make data and reducer
    python benchmarks/chaos.py re34           # 4 minutes, of which 2 make data and reducer
    python benchmarks/chaos.py speed          # half a minute; after ks

Each prints markdown. Data and reducers are kept in ``--data`` (default benchmarks/data) and made
when they are not there. One thread: set OMP_NUM_THREADS=1.

ks: Kuramoto-Sivashinsky, L = 22, 64 points, the trajectory of case A at finer spacing. Reducer:
PODAutoencoder(8) with its defaults, on the 20 000 training snapshots 2.5 apart. Dynamics: 20 000
snapshots dt apart from the beginning of the same trajectory; 200 starts in the last 8000 of case A,
which neither has seen. Valid prediction time: first time with || u - u* || / rms || u* || > 0.4, of
decoded fields against the solver's. Long runs: 100 rollouts of 10 000 time units; power
spectrum and joint density of (u_x, u_xx) against those of the data, as relative L2 errors
of 2.5-spaced snapshots.

kolmogorov: Re 30, 48^2, PODAutoencoder(18) on 14 000 snapshots 0.1 apart (2000 more validate);
dynamics on the same 16 000, every fifth; 50 starts in the 1800 time units after, mean squared
error of decoded fields over 500 time units against the solver's, median over starts.

re34: Re 34, 48^2, chaotic; Aligned(POD(94), axes="x") on every twentieth of 48 000 snapshots 0.1
apart; dynamics on every second of the first 50 000; 60 starts in the 1000 time units after.
Valid prediction time as above, over the rms of the fluctuation. Long runs: 10 rollouts of 1000 time
units; mean, standard deviation and Wasserstein distance (over the standard deviation) of the
dissipation < |grad u|^2 > / Re of decoded fields against 6000 time units of the solver. Modes,
ridge and noise of the first three were chosen on models of the first 40 000 snapshots, by forecasts
in the next 10 000.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.sparse import csr_array
from scipy.stats import wasserstein_distance

import romae
from romae.cases.kolmogorov import Kolmogorov, Spectral
from romae.cases.kuramoto_sivashinsky import KuramotoSivashinsky
from romae.dynamics import (
    DMD,
    Dynamics,
    EchoState,
    Equivariant,
    OperatorInference,
    PolynomialMap,
)
from romae.dynamics.recycled import horizons

Array = np.ndarray


def snapshots(case, values: Array, dt: float) -> xr.Dataset:
    """Fields (time, channel, *space) under the names and axes of ``case``."""
    space = {n: (n, a.values, a.attrs) for n, a in case.coords().items()}
    names = dict(zip(case.variables, np.moveaxis(values, 1, 0), strict=True))
    coords = {"time": dt * np.arange(len(values)), **space}
    return xr.Dataset({n: (("time", *space), v) for n, v in names.items()}, coords)


def trajectory(case, path: Path) -> Array:
    """Fields of one trajectory (time, channel, *space), from ``path`` or from the solver."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.concatenate(list(next(iter(case.trajectories())))))
    return np.load(path, mmap_mode="r")


def reducer(path: Path, k: int, train: xr.Dataset, valid: xr.Dataset):
    """A fitted PODAutoencoder with its defaults, from ``path`` or made."""
    if not path.exists():
        romae.PODAutoencoder(k).fit(train, valid).save(path)
    return romae.load(path)


def encode(found, case, values: Array, dt: float) -> Array:
    blocks = [values[i : i + 10_000] for i in range(0, len(values), 10_000)]
    return np.concatenate([found.encode(snapshots(case, b, dt)).values for b in blocks])


def labelled(z: Array, dt: float) -> xr.DataArray:
    return xr.DataArray(z, dims=("time", "latent"), coords={"time": dt * np.arange(len(z))})


def decode(found, z: Array) -> Array:
    """Fields (..., channel, *space) of latents (..., k)."""
    flat = z.reshape(-1, z.shape[-1])
    out = [
        np.stack(list(found.decode(labelled(flat[i : i + 10_000], 1.0)).data_vars.values()), axis=1)
        for i in range(0, len(flat), 10_000)
    ]
    fields = np.concatenate(out)
    return fields.reshape(*z.shape[:-1], *fields.shape[1:])


def rollout(model: Dynamics, history: Array, steps: int) -> tuple[Array, Array]:
    """Latents (B, steps, k), held inside the span, and how many steps were inside, (B,)."""
    with np.errstate(over="ignore", invalid="ignore"):
        zn = model._rollout(model.span.normalise(history), steps)
    held = model.span.hold(zn, model.span.normalise(history[:, -1]))
    return model.span.restore(held), model.span.left(zn)


# Kuramoto-Sivashinsky

KS = KuramotoSivashinsky(every=1, snapshots=280_000)  # dt 0.25; every tenth is case A
BEGIN = 200_000  # of the test part


def ks_data(folder: Path):
    u = trajectory(KS, folder / "ks-fine.npy")
    A = snapshots(KS, u[::10], 2.5)
    found = reducer(
        folder / "ks-8.rom", 8, A.isel(time=slice(18_000)), A.isel(time=slice(18_000, 20_000))
    )
    path = folder / "ks-8-latents.npy"
    if not path.exists():
        np.save(path, encode(found, KS, u, 0.25))
    return u, found, np.load(path).astype(np.float64)


def ks(folder: Path) -> None:
    u, found, z = ks_data(folder)
    print(
        "| model | dt | fit s | valid prediction time, mean (quartiles) | Lyapunov times | "
        "blow-ups in 100 | spectrum | (u_x, u_xx) |\n|---|---|---|---|---|---|---|---|"
    )
    runs: list[tuple[Callable[[], Dynamics], int]] = [
        (PolynomialMap, 1),
        (PolynomialMap, 2),
        (PolynomialMap, 4),
        (PolynomialMap, 10),
        (EchoState, 2),
        (EchoState, 4),
        (EchoState, 10),
        (lambda: OperatorInference("cubic"), 2),
        (lambda: DMD(4), 2),
    ]
    for make, every in runs:
        dt = 0.25 * every
        model = make().fit(labelled(z[: 20_000 * every : every], dt))
        v = ks_horizons(model, found, u, z, every)
        q = np.percentile(v, [25, 50, 75])
        line = f"| {type(model).__name__} | {dt:g} | {model.fit_seconds:.1f} | **{v.mean():.1f}** "
        line += f"({q[0]:.1f}, {q[1]:.1f}, {q[2]:.1f}) | {v.mean() * 0.043:.2f} | "
        print(
            line + "{} | {:.1%} | {:.1%} |".format(*ks_long(model, found, u, z, every)), flush=True
        )


def ks_horizons(model: Dynamics, found, u: Array, z: Array, every: int, starts: int = 200) -> Array:
    """Valid prediction times of decoded fields, in time units."""
    steps = round(250 / (0.25 * every))
    first = BEGIN + model.context * every
    at = np.linspace(first, len(u) - steps * every - 1, starts).round().astype(int)
    history = np.stack([z[n - (model.context - 1) * every : n + 1 : every] for n in at])
    fields = decode(found, rollout(model, history, steps)[0])[:, :, 0]
    truth = np.stack([u[n + every : n + steps * every + 1 : every, 0] for n in at])
    size = np.sqrt(np.mean(np.square(u[:BEGIN:10, 0])))
    return horizons(np.sqrt(np.mean((fields - truth) ** 2, axis=2)) / size) * 0.25 * every


def ks_long(model: Dynamics, found, u: Array, z: Array, every: int) -> tuple[int, float, float]:
    """Rollouts out of 100 that leave the span in 10 000 time units; errors of two statistics."""
    steps = round(10_000 / (0.25 * every))
    first = model.context * every
    at = np.linspace(BEGIN + first, len(z) - 1, 100).round().astype(int)
    kept, left = [], 0
    for n in at:
        history = z[n - (model.context - 1) * every : n + 1 : every][None]
        latents, inside = rollout(model, history, steps)
        left += int(inside[0] < steps)
        kept.append(latents[0, 400 :: max(1, 100 // every)])
    model_fields, data = decode(found, np.concatenate(kept))[:, 0], u[::10, 0]
    errors = []
    for statistic in (spectrum, gradients):
        a, b = statistic(model_fields), statistic(data)
        errors.append(float(np.linalg.norm(a - b) / np.linalg.norm(b)))
    return left, errors[0], errors[1]


def spectrum(u: Array) -> Array:
    return np.mean(np.abs(np.fft.rfft(u, axis=1)) ** 2, axis=0)


def gradients(u: Array) -> Array:
    """Joint density of (u_x, u_xx) on 40 x 40 cells."""
    q = 2j * np.pi / KS.length * np.arange(KS.points // 2 + 1)
    u_q = np.fft.rfft(u, axis=1)
    ux, uxx = (np.fft.irfft(q**n * u_q, KS.points, axis=1).ravel() for n in (1, 2))
    return np.histogram2d(ux, uxx, bins=40, range=[(-4, 4), (-5, 5)], density=True)[0]


# Kolmogorov

FLOW = Kolmogorov(reynolds=(30.0,), snapshots=34_000)  # dt 0.1
TRAIN, END = 14_000, 16_000


def kolmogorov(folder: Path) -> None:
    u = trajectory(FLOW, folder / "kolmogorov-30.npy")
    parts = [snapshots(FLOW, u[:TRAIN], 0.1), snapshots(FLOW, u[TRAIN:END], 0.1)]
    found = reducer(folder / "kolmogorov-30-18.rom", 18, *parts)
    z = encode(found, FLOW, u, 0.1).astype(np.float64)
    floor = decode(found, z[END::50]) - u[END::50]
    spread = np.var(u[:END:50], axis=0).mean()
    print(f"Variance of the fields {spread:.3f}; MSE of encoding alone {np.mean(floor**2):.2e}.\n")
    print("| model | dt | fit s | median MSE over 500 | quartiles | largest | left the span |")
    print("|---|---|---|---|---|---|---|")
    for make in (PolynomialMap, EchoState, lambda: OperatorInference("quadratic"), lambda: DMD(8)):
        every, steps = 5, 1000
        model = make().fit(labelled(z[:END:every], 0.1 * every))
        first = END + model.context * every
        at = np.linspace(first, len(u) - steps * every - 1, 50).round().astype(int)
        history = np.stack([z[n - (model.context - 1) * every : n + 1 : every] for n in at])
        latents, inside = rollout(model, history, steps)
        mse = []
        for n, path in zip(at, latents, strict=True):
            truth = u[n + every : n + steps * every + 1 : every]
            mse.append(float(np.mean((decode(found, path) - truth) ** 2)))
        low, middle, high = np.percentile(mse, [25, 50, 75])
        print(
            f"| {type(model).__name__} | {0.1 * every:g} | {model.fit_seconds:.1f} | "
            f"**{middle:.2e}** | {low:.2e}, {high:.2e} | {max(mse):.2e} | "
            f"{int(np.sum(inside < steps))} of 50 |",
            flush=True,
        )
        if make is PolynomialMap:
            cost = forecast_cost(model, found, z)
    print(f"\nForecast of 1000 steps with decoding against the solver: {cost}")


def forecast_cost(model: Dynamics, found, z: Array) -> str:
    """Seconds per time unit of solver and of forecast, medians of five in turn."""
    flow = Spectral(FLOW.points, 30.0, FLOW.dt, FLOW.wavenumber)
    w = FLOW.initial(flow)
    history = labelled(z[: 10 * 5 : 5], 0.5)
    solver, ours = [], []
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(200):
            w = flow.step(w)
        solver.append((time.perf_counter() - begin) / (200 * FLOW.dt))
        begin = time.perf_counter()
        found.decode(model.forecast(history, 1000))
        ours.append((time.perf_counter() - begin) / 500)
    a, b = statistics.median(solver), statistics.median(ours)
    return f"{a * 1e3:.2f} ms and {b * 1e3:.4f} ms per time unit, {a / b:.0f} times."


# Kolmogorov, chaotic

CHAOTIC = Kolmogorov(reynolds=(34.0,), snapshots=60_000)  # dt 0.1
LYAPUNOV = 14.7  # 1 / 0.068
SEEN, EVERY = 50_000, 2  # the dynamics see the first; steps of 0.2


def re34(folder: Path) -> None:
    u = trajectory(CHAOTIC, folder / "kolmogorov-34.npy")
    path = folder / "kolmogorov-34-aligned-94.rom"
    if not path.exists():
        train = snapshots(CHAOTIC, np.asarray(u[:48_000:20]), 2.0)
        romae.Aligned(romae.POD(94), axes="x").fit(train).save(path)
    found, dt = romae.load(path), 0.1 * EVERY
    z = encode(found, CHAOTIC, u[::EVERY], dt).astype(np.float64)
    seen = SEEN // EVERY
    D, floor = dissipation(u[::10]), dissipation(decode(found, z[seen::5]))
    print(f"Dissipation {D.mean():.4f} +- {D.std():.4f}; of the encoded, unseen {floor.mean():.4f}")
    print(
        "| modes | dynamics | fit s | valid prediction time, mean (quartiles) | Lyapunov times | "
        "left, of 10 | dissipation, mean | std | apart |\n|---|---|---|---|---|---|---|---|---|"
    )
    echo = {"radius": 0.4, "input_scale": 0.05, "leak": 1.0, "noise": 1e-3, "ridge": 1e-6}
    runs: list[tuple[int, Dynamics]] = [  # modes of the shape, the first of them
        (94, PolynomialMap(2, ridge=1e-6, noise=1e-3, scale="common", bounded=True)),
        (62, PolynomialMap(2, ridge=1e-6, noise=1e-3, scale="common", bounded=True)),
        (62, PolynomialMap(2, ridge=1e-6, noise=1e-3, scale="common")),
        (94, PolynomialMap(1, context=3, ridge=1e-9, noise=0.0)),
        (62, PolynomialMap(2, noise=0.0)),
        (94, EchoState(1500, **echo)),
    ]
    whole = z
    for modes, dynamics in runs:
        z = whole[:, : 2 + modes]
        model = Equivariant(dynamics, phases=1).fit(labelled(z[:seen], dt))
        v = re34_horizons(model, found, u, z) * dt
        q = np.percentile(v, [25, 50, 75])
        left, own = re34_long(model, found, z)
        apart = wasserstein_distance(own, D) / D.std()
        print(
            f"| {modes} | {dynamics!r} | {model.fit_seconds:.0f} | "
            f"**{v.mean():.1f}** ({q[0]:.1f}, {q[1]:.1f}, {q[2]:.1f}) | "
            f"{v.mean() / LYAPUNOV:.2f} | {left} | {own.mean() / D.mean() - 1:+.1%} | "
            f"{own.std() / D.std() - 1:+.1%} | {apart:.3f} |",
            flush=True,
        )


def re34_horizons(model: Dynamics, found, u: Array, z: Array) -> Array:
    """Valid prediction times of decoded fields from 60 unseen starts, in steps."""
    steps, c = round(100 / (0.1 * EVERY)), model.context
    at = np.linspace(SEEN // EVERY + c, len(z) - steps - 1, 60).round().astype(int)
    latents = rollout(model, np.stack([z[n - c + 1 : n + 1] for n in at]), steps)[0]
    size = np.sqrt(np.mean((u[:SEEN:50] - u[:SEEN:50].mean(axis=0)) ** 2))
    errors = []
    for n, path in zip(at, latents, strict=True):
        off = leading(found, path) - u[(n + 1) * EVERY : (n + steps + 1) * EVERY : EVERY]
        errors.append(np.sqrt(np.mean(off**2, axis=(1, 2, 3))) / size)
    return horizons(np.stack(errors))


def re34_long(model: Dynamics, found, z: Array) -> tuple[int, Array]:
    """Rollouts out of 10 that leave the span in 1000 time units; dissipation after the first 20."""
    steps, c = round(1000 / (0.1 * EVERY)), model.context
    at = np.linspace(SEEN // EVERY + c, len(z) - 1, 10).round().astype(int)
    latents, inside = rollout(model, np.stack([z[n - c + 1 : n + 1] for n in at]), steps)
    fields = [dissipation(leading(found, path[100::5])) for path in latents]
    return int(np.sum(inside < steps)), np.concatenate(fields)


def leading(found, z: Array) -> Array:
    """Fields of the leading latents alone: POD takes the others as zero."""
    return decode(found, np.pad(z, ((0, 0), (0, found.latent - z.shape[1]))))


def dissipation(fields: Array) -> Array:
    """< |grad u|^2 > / Re of fields (T, 2, y, x) on [0, 2 pi]^2."""
    out = []
    for i in range(0, len(fields), 1000):
        s = np.fft.rfft2(fields[i : i + 1000])
        n = s.shape[-2]
        k2 = np.fft.rfftfreq(n, 1 / n) ** 2 + np.fft.fftfreq(n, 1 / n)[:, None] ** 2
        twice = np.r_[1.0, np.full(s.shape[-1] - 2, 2.0), 1.0]  # Parseval of a half spectrum
        out.append(np.sum(k2 * twice * np.abs(s) ** 2, axis=(1, 2, 3)) / n**4 / 34)
    return np.concatenate(out)


# speed


def speed(folder: Path) -> None:
    """Training and rollout of the default echo state; loops in turn, medians of seven, one core."""
    z = ks_data(folder)[2]
    begin = time.process_time()
    model = EchoState().fit(labelled(z[:40_000:2], 0.5))
    busy = time.process_time() - begin  # of one core, which a busy machine does not stretch
    steps, history = 1000, model.span.normalise(z[BEGIN : BEGIN + 64 : 2])[None]
    sparse = csr_array(
        (model.W_data.ravel(), model.W_indices.ravel(), np.arange(model.units + 1) * 3)
    )
    loops = {
        "compiled": lambda: model._rollout(history, steps),
        "Python loop, dense W": lambda: naive(model, history[0], steps, sparse.toarray()),
        "Python loop, sparse W": lambda: naive(model, history[0], steps, sparse),
    }
    results, seconds = {}, {name: [] for name in loops}
    for _ in range(7):
        for name, loop in loops.items():
            begin = time.process_time()
            results[name] = loop()
            seconds[name].append(time.process_time() - begin)
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    gap = np.abs(results["compiled"][0, :40] - results["Python loop, dense W"][:40]).max()
    print(
        f"Training with the search, 20 000 steps of 8 latents: {model.fit_seconds:.1f} s, "
        f"{busy:.1f} s of one core\n"
    )
    print(f"Largest difference of the loops in 40 steps: {gap:.1e} standard deviations\n")
    print("| 1000 steps | ms | times the compiled |\n|---|---|---|")
    for name, value in middle.items():
        print(f"| {name} | {value * 1e3:.1f} | {value / middle['compiled']:.0f} |")


def naive(model: EchoState, history: Array, steps: int, W) -> Array:
    """The same model as one writes it down first."""
    k, leak = model.latent, model.chosen[2]
    r, z, out = np.zeros(model.units), history[0], []
    for t in range(len(history) - 1 + steps):
        z = history[t] if t < len(history) else out[-1]
        r = (1 - leak) * r + leak * np.tanh(np.append(z, 1) @ model.W_in + W @ r)
        phi = np.concatenate([r, z, [1]])
        phi[: model.units : 2] **= 2
        if t >= len(history) - 1:
            out.append(z[:k] + phi @ model.W_out)
    return np.array(out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["ks", "kolmogorov", "re34", "speed"])
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data")
    options = parser.parse_args()
    {"ks": ks, "kolmogorov": kolmogorov, "re34": re34, "speed": speed}[options.what](options.data)


if __name__ == "__main__":
    main()
