"""The stated horizon: of decoded fields where there are some, else of latents; inputs by case."""

import numpy as np
import pytest
import xarray as xr

import romae.horizon as module
from romae import DMD, POD, OperatorInference, ReducedModel, open_snapshots
from romae.dynamics import Persistence
from romae.errors import DataError
from romae.horizon import Fields
from romae.metrics import FluctuationSums, energy, nrmse, unit_groups
from romae.reducers import ConditionalAutoencoder


def waves(T=120, start=0, small=0.0):
    """Two travelling waves (four modes), the second ``small`` of the first."""
    t, x = 0.1 * (start + np.arange(T)), 2 * np.pi * np.arange(24) / 24
    u = np.cos(x - t[:, None]) + small * np.cos(3 * x - 2.3 * t[:, None])
    coords = {"time": ("time", t, {"units": "s"}), "x": ("x", x, {"periodic": 1})}
    return xr.Dataset({"u": (("time", "x"), u)}, coords)


def test_what_the_reducer_cannot_hold_is_lost_before_the_first_step():
    """A forecast that is exact in the latents, of a POD that leaves out a third of the energy."""
    train, valid = waves(200, small=0.7), waves(120, start=200, small=0.7)
    known = ReducedModel(POD(4), DMD()).fit(train, valid).horizon
    assert known.of == "fields"
    assert known.median == known.in_latents == known.longest
    blind = ReducedModel(POD(2), DMD()).fit(train, valid).horizon
    assert blind.in_latents == blind.longest
    assert blind.median == pytest.approx(0.1)  # the first lead
    assert "NRMSE 0.4 of the fields" in str(blind)


@pytest.mark.parametrize("leads", [2, 5, 16])
def test_however_few_leads_are_decoded_first_the_first_bad_one_is_found(monkeypatch, leads):
    monkeypatch.setattr(module, "LEADS", leads)
    rom = ReducedModel(POD(4), Persistence()).fit(waves(200, small=0.3))
    valid = open_snapshots(waves(60, start=300, small=0.3))
    fields = Fields.of(rom.reducer, valid)
    z = rom.encode(valid).values
    # errors that grow with the lead
    places = [(0, s) for s in (2, 9, 20)]
    rolled = np.stack([z[s : s + 30] + 0.15 * np.arange(1, 31)[:, None] for _, s in places])
    found = fields.late(places, rolled)
    whole = FluctuationSums(valid.layout.quadrature, np.asarray(rom.reducer.scaling.mean))
    for _, s in places:
        at = np.unique(np.linspace(0, 29, leads).round().astype(int))
        for n in at:
            whole.add(valid.read(s + n, s + n + 1).astype(float))
    groups = unit_groups([f.units for f in valid.layout.fields])
    for row, (_, s), own in zip(found, places, rolled, strict=True):
        labelled = rom.encode(valid)[s : s + 30].copy(data=own.astype("float32"))
        off = rom.decode(labelled).u.values - valid.read(s, s + 30)[:, 0]
        exact = nrmse(energy(off[:, None], whole.weights), whole.energy, groups)[:, -1]
        assert (exact > 0.4).any()
        assert (row > 0.4).argmax() == (exact > 0.4).argmax()


def test_resampled_times_and_decoders_of_the_case_are_measured_in_the_latents():
    uneven = waves(200).isel(time=np.delete(np.arange(200), [30, 31, 90]))
    later = waves(80, start=200).isel(time=np.delete(np.arange(80), [40]))
    rom = ReducedModel(POD(2), DMD()).fit(uneven, later, resample="0.1 s")
    assert rom.horizon.of == "latents"
    assert "of the latents" in str(rom.horizon)
    assert Fields.of(object.__new__(ConditionalAutoencoder), open_snapshots(waves())) is None


def forced(force, T=90, rate=0.9):
    """One mode that is driven."""
    z = np.zeros(T)
    for n in range(T - 1):
        z[n + 1] = rate * z[n] + force[n]
    x = np.linspace(0, 1, 16)
    u = z[:, None] * np.sin(3 * x)
    time = ("time", 0.1 * np.arange(T), {"units": "s"})
    return xr.Dataset({"u": (("time", "x"), u)}, {"time": time, "x": x})


def test_each_case_is_measured_with_its_own_inputs():
    rng = np.random.default_rng(0)
    force = rng.normal(size=(4, 90))
    data = xr.concat([forced(f) for f in force], "case")
    series = xr.Dataset({"f": (("case", "time"), force)}, {"time": data.time})
    train, valid = data.isel(case=slice(0, 2)), data.isel(case=slice(2, 4))
    rom = ReducedModel(POD(1), OperatorInference("linear"))
    rom.fit(train, inputs=series.isel(case=slice(0, 2)))
    right = rom.measure(valid, inputs=series.isel(case=slice(2, 4)))
    assert right.median == right.longest
    wrong = rom.measure(valid, inputs=series.isel(case=[3, 2]))
    assert wrong.median < 0.5 * right.median


def test_inputs_go_with_the_pieces_of_resampled_cases():
    n = np.arange(240)
    force = np.sin(0.13 * n) + np.cos(0.05 * n)
    data = forced(force, 240).isel(time=np.delete(n, [20, 47, *range(100, 110), 171]))
    series = xr.Dataset({"f": ("time", force)}, {"time": ("time", 0.1 * n)})
    rom = ReducedModel(POD(1), OperatorInference("linear"))
    rom.fit(data, inputs=series, resample="median")
    assert rom.dynamics.dt.size == pytest.approx(0.1)
    whole = forced(force, 240)
    found = rom.forecast(whole.isel(time=slice(0, 150)), 40, inputs=series)
    truth = whole.u[150:190]
    assert float(np.sqrt(((found.u - truth) ** 2).mean() / truth.var())) < 0.1


def test_validation_data_that_are_too_short_are_told(capsys):
    train, short = waves(50), waves(4, start=50)
    rom = ReducedModel(POD(2), DMD(4)).fit(train, validation=short)
    assert rom.horizon is None
    told = "no horizon: the validation data have 4 snapshots at most. Expected more than 4"
    assert told in capsys.readouterr().err


def test_one_snapshot_is_not_called_uneven():
    pod = POD(2).fit(waves(40))
    with pytest.raises(DataError, match=r"has 1 snapshot\. Expected a history"):
        ReducedModel(pod, "auto").fit(waves(4, start=40))
