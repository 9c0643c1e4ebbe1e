"""The steps that work in latents: dynamics fitted or chosen, and their forecasts compared.

dynamics/<label>.rom    one per reducer and dynamics, reduced models
dynamics/<label>.choice the ranking by which "auto" chose: dynamics.csv, .json, .nc
forecast/               forecasts.csv, .json, .nc; statistics.nc, calibration.nc
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import romae
from romae.files import atomic_directory
from romae.kinds import make_dynamics
from romae.study.beyond import beyond_errors
from romae.study.config import AUTO, DynamicsSpec

if TYPE_CHECKING:
    import xarray as xr

    from romae.study.plan import Plan


def seeded_dynamics(spec: DynamicsSpec, seed: int) -> dict[str, Any]:
    """Its options, with the study's ``seed`` for what draws random numbers."""
    drawn = make_dynamics(spec.kind, spec.options, where="[[dynamics]]").draws
    return {"seed": seed, **spec.options} if drawn else spec.options


def fit_dynamics(plan: "Plan", spec: DynamicsSpec, label: str, output: Path) -> None:
    """The reduced model of one pair, fitted, with its horizon, in ``output``."""
    device = plan.study.run.device
    reducer = plan.reducer(label)
    if spec.kind == AUTO:
        _choose(plan, spec, reducer, output)
        return
    dynamics = make_dynamics(spec.kind, seeded_dynamics(spec, plan.study.run.seed), device=device)
    model, resample = romae.ReducedModel(reducer, dynamics), plan.study.data.resample
    known = plan.inputs if "inputs" in dynamics.takes else [None, None]
    train, validation, _ = plan.parts
    model.fit(train, inputs=known[0], resample=resample, device=device)
    model.measure(validation, inputs=known[1], resample=resample)
    model.save(output, overwrite=True)


def _choose(plan: "Plan", spec: DynamicsSpec, reducer: Any, output: Path) -> None:
    """Fit the kinds, keep the best, and its ranking beside it."""
    from romae.compare import write_comparison
    from romae.compare.dynamics import choose
    from romae.compare.forcing import uses_inputs

    wanted, (train, validation, _) = spec.choice(), plan.parts
    model = romae.ReducedModel(reducer, AUTO)
    model.dynamics, model.choice, ranking = choose(
        reducer, train, validation, wanted.models, steps=wanted.steps, starts=wanted.starts,
        budget=wanted.budget, threshold=plan.study.forecast.threshold,
        seed=plan.study.run.seed, device=plan.study.run.device, inputs=plan.inputs[0],
        validation_inputs=plan.inputs[1], resample=plan.study.data.resample,
    )  # fmt: skip
    name = output.stem
    ranking.attrs["name"] = name
    told = plan.inputs[1] if uses_inputs(model.dynamics) else None
    model.measure(validation, inputs=told, resample=plan.study.data.resample)
    with atomic_directory(
        plan.folder / "dynamics" / f"{name}.choice", overwrite=True, marker="dynamics.nc"
    ) as folder:
        write_comparison(ranking, folder, name="dynamics")
    model.save(output, overwrite=True)


def choices(plan: "Plan") -> "dict[str, xr.Dataset]":
    """Rankings by which dynamics were chosen, by the label of the pair."""
    import xarray as xr

    paths = {
        name: plan.folder / "dynamics" / f"{name}.choice" / "dynamics.nc"
        for name, spec, _ in plan.pairs()
        if spec.kind == AUTO
    }
    return {name: xr.load_dataset(path, engine="netcdf4") for name, path in paths.items()}


def make_forecasts(plan: "Plan") -> None:
    """Errors of all pairs on the test data, and what was asked for beyond them."""
    from romae.compare import write_comparison

    wanted, (train, _, test) = plan.study.forecast, plan.parts
    models = plan.reduced_models()
    found = romae.compare_forecasts(
        models,
        test,
        wanted.steps,
        wanted.starts,
        train=train,
        threshold=wanted.threshold,
        inputs=plan.inputs[2],
        resample=plan.study.data.resample,
    )
    beyond = beyond_errors(models, test, found, wanted, plan.study.data.resample, plan.inputs[2])
    told = [f"{name} {m.horizon}" for name, m in models.items() if m.horizon is not None]
    found.attrs["horizons"] = "\n".join(told)
    with atomic_directory(
        plan.folder / "forecast", overwrite=True, marker="forecasts.nc"
    ) as folder:
        write_comparison(found, folder, name="forecasts")
        for name, dataset in beyond.items():
            dataset.to_netcdf(folder / f"{name}.nc", engine="netcdf4")
