"""Parameters of cases and inputs over time: matched by name, normalised, flagged outside."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from romae.dynamics import Dynamics, Persistence
from romae.errors import DataError, OptionError


class Driven(Dynamics):
    """z_{t+1} = z_t + a mu + b u_t, least squares: exact where data are made so."""

    takes = frozenset({"params", "inputs"})
    fitted = ("weights",)

    def _fit(self, sequences, *, params=None, inputs=None):
        rows, steps = [], []
        for i, z in enumerate(sequences):
            known = [np.ones((len(z) - 1, 1))]
            if params is not None:
                known.append(np.repeat(params[i][None], len(z) - 1, axis=0))
            if inputs is not None:
                known.append(inputs[i][:-1])
            rows.append(np.concatenate(known, axis=1))
            steps.append(np.diff(z, axis=0))
        self.weights = np.linalg.lstsq(np.concatenate(rows), np.concatenate(steps), rcond=None)[0]

    def _rollout(self, history, steps, *, params=None, inputs=None):
        z, out = history[:, -1], []
        for n in range(steps):
            known = [np.ones((len(z), 1))]
            known += [] if params is None else [params]
            known += [] if inputs is None else [inputs[:, self.context - 1 + n]]
            z = z + np.concatenate(known, axis=1) @ self.weights
            out.append(z)
        return np.stack(out, axis=1)


DT = 0.5


def series(T, start=0):
    t = DT * (start + np.arange(T))
    return xr.DataArray(np.sin(t), dims="time", coords={"time": t}, name="wind")


def drift(T, speed, start=0, forced=True):
    u = series(T + start).values if forced else np.zeros(T + start)
    z = np.concatenate([[0.0], np.cumsum(0.01 * speed + 0.3 * u[:-1])])[start:]
    t = DT * (start + np.arange(T))
    return xr.DataArray(z[:, None], dims=("time", "latent"), coords={"time": t})


def test_inputs_act_on_the_step_that_follows_them():
    model = Driven().fit(drift(100, 1.0), inputs=series(100))
    truth = drift(140, 1.0)
    found = model.forecast(truth[:100], 40, inputs=series(140))
    np.testing.assert_allclose(found, truth[100:], atol=1e-9)


def test_inputs_that_end_too_early_say_when():
    model = Driven().fit(drift(100, 1.0), inputs=series(100))
    with pytest.raises(DataError, match=r"missing from 60\.0 to 69\.5 \(20 of 41 times\)"):
        model.forecast(drift(100, 1.0), 40, inputs=series(120))
    with pytest.raises(DataError, match="with the inputs wind and the forecast has none"):
        model.forecast(drift(100, 1.0), 4)
    with pytest.raises(DataError, match=r"unknown name 'sun'.*wind"):
        model.forecast(drift(100, 1.0), 4, inputs=series(140).rename("sun"))
    with pytest.raises(DataError, match="missing from"):
        Driven().fit(drift(100, 1.0), inputs=series(50))


def test_a_model_without_inputs_refuses_them():
    with pytest.raises(OptionError, match="Persistence takes no inputs"):
        Persistence().fit(drift(50, 1.0), inputs=series(50))
    with pytest.raises(OptionError, match="fitted without inputs"):
        Driven().fit(drift(50, 1.0)).forecast(drift(50, 1.0), 3, inputs=series(80))


def test_inputs_of_other_times_are_joined_by_straight_lines_never_beyond():
    t = np.arange(0, 80, 0.25)
    wind = xr.Dataset({"wind": ("time", np.sin(t))}, {"time": t})
    model = Driven().fit(drift(100, 1.0), inputs=wind)
    np.testing.assert_allclose(
        model.forecast(drift(100, 1.0), 30, inputs=wind), drift(130, 1.0)[100:], atol=1e-9
    )


@pytest.fixture
def cases():
    return xr.concat([drift(60, s, forced=False) for s in (1.0, 2.0, 4.0)], "case")


def test_parameters_come_by_name_table_array_or_coordinate(cases):
    speeds = [1.0, 2.0, 4.0]
    table = pd.DataFrame({"speed": speeds, "Pr": [0.7] * 3, "label": list("abc")})
    named = Driven().fit(cases, params=table[["speed", "label"]])
    labelled = Driven().fit(cases.assign_coords(speed=("case", speeds)))
    plain = Driven().fit(cases, params=np.array(speeds)[:, None])
    truth = drift(80, 3.0, forced=False)
    for found in (
        named.forecast(truth[:60], 20, params={"speed": 3.0}),
        labelled.forecast(truth[:60].assign_coords(speed=3.0), 20),
        plain.forecast(truth[:60], 20, params=[[3.0]]),
        Driven()
        .fit(cases, params=table)
        .forecast(truth[:60], 20, params={"speed": 3.0, "Pr": 0.7}),
    ):
        np.testing.assert_allclose(found, truth[60:], atol=1e-6)
    both = named.forecast(cases, 5, params={"speed": speeds})
    np.testing.assert_allclose(both[1], named.forecast(cases[1], 5, params={"speed": 2.0}))


def test_parameters_that_are_missing_unknown_or_too_few(cases):
    model = Driven().fit(cases, params={"speed": [1.0, 2.0, 4.0]})
    with pytest.raises(DataError, match=r"fitted with speed and the forecast has none"):
        model.forecast(cases[0], 3)
    with pytest.raises(DataError, match=r"unknown name 'sped'.*Did you mean 'speed'"):
        model.forecast(cases[0], 3, params={"sped": 1.0})
    with pytest.raises(DataError, match="2 rows for 3 cases"):
        Driven().fit(cases, params=np.ones((2, 1)))
    with pytest.raises(
        DataError, match=r"'speed' has the shape \(2,\) for 3 cases. Expected one v"
    ):
        model.forecast(cases, 3, params={"speed": [1.0, 2.0]})
    with pytest.raises(DataError, match="'speed' is not finite"):
        model.forecast(cases[0], 3, params={"speed": np.nan})


def test_beyond_the_range_of_training_is_allowed_and_flagged(cases):
    model = Driven().fit(cases, params={"speed": [1.0, 2.0, 4.0]})
    truth = drift(70, 5.0, forced=False)
    with pytest.warns(UserWarning, match=r"speed = 5 \(trained on 1 to 4\)"):
        found = model.forecast(truth[:60], 10, params={"speed": 5.0})
    assert found.attrs["outside_training_range"] == "speed = 5 (trained on 1 to 4)"
    np.testing.assert_allclose(found, truth[60:], atol=1e-6)


def test_what_is_known_is_saved(cases, tmp_path):
    from romae.bundle import read_bundle

    model = Driven().fit(cases, params={"speed": [1.0, 2.0, 4.0]})
    model.save(tmp_path / "m")
    opened = Driven.from_bundle(read_bundle(tmp_path / "m"))
    one = model.forecast(cases[0], 9, params={"speed": 1.5})
    xr.testing.assert_identical(opened.forecast(cases[0], 9, params={"speed": 1.5}), one)


def test_members_share_what_is_known(cases):
    model = Driven().fit(cases, params={"speed": [1.0, 2.0, 4.0]})
    found = model.forecast(cases, 4, params={"speed": [1.0, 2.0, 4.0]}, ensemble=3)
    assert found.sizes == {"member": 3, "case": 3, "time": 4, "latent": 1}
    again = model.forecast(found, 2, params={"speed": [1.0, 2.0, 4.0]})
    assert again.sizes == {"member": 3, "case": 3, "time": 2, "latent": 1}
    drawn = np.diff(again, axis=2)[..., 0, 0]
    np.testing.assert_allclose(drawn, np.tile([0.01, 0.02, 0.04], (3, 1)), atol=1e-9)
