"""The runs of a sweep, one per (kind, latent size, seed), as steps of a study.

    fit/<label>     models/<label>.rom    as in a study, training resumes after a kill
    score/<label>   scores/<label>.nc     error energies of every held-out snapshot

A reducer that is nested (POD) is fitted once, at the largest size, and scored at all; one that is
not trained has one seed. Steps are finished one by one, each with a key of its inputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

import romae
from romae.errors import OptionError, check_whole, nearest
from romae.fields import Snapshots
from romae.files import atomic_file
from romae.kinds import REDUCERS, class_name, trained
from romae.study.config import Data, ReducerSpec, Run, Study
from romae.study.ledger import Ledger, Step, key_of
from romae.study.plan import Plan


class SweepPlan(Plan):
    """The runs over ``snapshots`` in ``folder``; :attr:`runs` are their labels, in order."""

    def __init__(self, study: Study, folder: Path, snapshots: Snapshots, sizes: tuple[int, ...]):
        super().__init__(study, folder)
        self.sizes = sizes
        self.snapshots = snapshots  # instead of opening what the study names

    @property
    def runs(self) -> list[str]:
        """Labels of all runs."""
        return [label for spec in self.study.reducers for label in spec.labels()]

    @cached_property
    def data_key(self) -> str:
        layout = self.snapshots.layout
        weights = key_of(layout.quadrature.astype(np.float32).tobytes().hex())
        return key_of(super().data_key, layout.periodic, weights)

    def _seeded_reducer(self, spec: ReducerSpec) -> dict[str, Any]:
        return spec.options  # each run has its own seed already

    def spec_of(self, label: str) -> ReducerSpec:
        """The reducers among which the run ``label`` is."""
        return next(s for s in self.study.reducers if label in s.labels())

    def score_step(self, label: str) -> Step:
        """Scoring of the fitted reducer ``label`` on the held-out snapshots."""
        key = key_of(self.fit_steps[label].key, "score", self.sizes)
        output = self.folder / "scores" / f"{label}.nc"
        return Step(f"score/{label}", key, output, partial(self._score, label, output))

    def finished(self, label: str) -> bool:
        """Whether the run is done, with these settings and these data."""
        ledger = Ledger(self.folder)
        return ledger.finished(self.fit_steps[label]) and ledger.finished(self.score_step(label))

    def perform(self, label: str) -> None:
        """Fit and score one run, unless that is done."""
        ledger = Ledger(self.folder)
        ledger.perform(self.fit_steps[label])
        ledger.perform(self.score_step(label))

    def check(self) -> None:
        """What would fail in a run fails here, before the first."""
        from romae.feed import pick_device

        pick_device(self.study.run.device)
        for reducer in self.new_reducers().values():
            reducer.check_size(self.parts[0])

    def _score(self, label: str, output: Path) -> None:
        reducer = self._load(self.fit_steps[label].output)
        spec = self.spec_of(label)
        found = score(reducer, self.parts[2], self.sizes if _nested(spec) else None)
        found.attrs["kind"] = spec.kind
        with atomic_file(output, overwrite=True) as temporary:
            found.to_netcdf(temporary, engine="netcdf4")


def score(reducer: Any, test: Snapshots, sizes: Sequence[int] | None) -> xr.Dataset:
    """Energies of errors (latent, time, field) and of the truth's fluctuation (time, field).

    ``sizes``: latent sizes of a nested reducer, the whole reducer otherwise.
    """
    from romae.compare.coding import BLOCK_BYTES, finite_blocks, reconstruct
    from romae.compare.ladders import Ladder, Rung
    from romae.metrics import constant_fields, energy

    mean, weights = np.asarray(reducer.scaling.mean, float), test.layout.quadrature
    ranks = [reducer.latent] if sizes is None else sizes
    rungs = tuple(
        Rung(str(k), k, reducer if k == reducer.latent else reducer.truncate(k)) for k in ranks
    )
    errors: list[list[np.ndarray]] = [[] for _ in rungs]
    fluctuation, magnitude = [], []
    for _, values in finite_blocks(test, BLOCK_BYTES):
        fluctuation.append(energy(values - mean, weights))
        magnitude.append(energy(values, weights))
        for part, (_, guess) in zip(
            errors, reconstruct(Ladder(reducer, reducer.name, rungs), values), strict=True
        ):
            part.append(energy(guess - values, weights))
    truth = np.concatenate(fluctuation)
    truth[:, constant_fields(truth.sum(0), np.concatenate(magnitude).sum(0))] = 0.0
    return xr.Dataset(
        {
            "error": (("latent", "time", "field"), np.stack([np.concatenate(e) for e in errors])),
            "fluctuation": (("time", "field"), truth),
            "nbytes": ("latent", [int(rung.reducer.nbytes) for rung in rungs], {"units": "byte"}),
            "fit_seconds": ((), float(reducer.fit_seconds), {"units": "s"}),
        },
        coords={"latent": list(ranks), "field": list(test.layout.names)},
        attrs={"family": reducer.name},
    )


def plan_sweep(
    snapshots: Snapshots,
    folder: Path,
    *,
    kinds: Sequence[str],
    latent: Sequence[int],
    seeds: int,
    options: Mapping[str, Mapping[str, Any]],
    split: tuple[float, float, float],
    split_by: Literal["time", "case"],
    device: str,
) -> SweepPlan:
    """The plan of these kinds at these sizes; ``options`` are arguments by kind."""
    sizes = tuple(sorted({check_whole("latent", k) for k in latent}))
    check_whole("seeds", seeds)
    if not sizes or not kinds:
        raise OptionError(
            f"no {'kind' if sizes else 'latent size'} to sweep. Expected one or more."
        )
    for kind in options:
        if kind not in kinds:
            raise OptionError(f"options for {kind!r}, which is not swept. {nearest(kind, kinds)}")
    specs = []
    for kind in dict.fromkeys(kinds):
        mine = dict(options.get(kind, {}))
        if not trained(kind, mine):
            spec = ReducerSpec(kind=kind, latent=list(sizes), options=mine)
            specs.append(replace(spec, latent=max(sizes)) if _nested(spec) else spec)
            continue
        for seed in range(seeds):
            train = {**mine.get("train", {}), "seed": seed}
            specs.append(
                ReducerSpec(
                    kind=kind,
                    latent=list(sizes),
                    options={**mine, "train": train},
                    name=f"{kind}-s{seed}",
                )
            )
    data = Data(files=snapshots.source, split=split, split_by=split_by)
    study = Study(data=data, reducers=specs, name="sweep", run=Run(device=device))
    return SweepPlan(study, folder, snapshots, sizes)


def _nested(spec: ReducerSpec) -> bool:
    """Whether one fit is as good as a fit of its own at every smaller size, as POD's is."""
    made = getattr(romae, class_name(spec.kind, REDUCERS, "reducer"))
    return hasattr(made, "truncate") and not trained(spec.kind, spec.options)
