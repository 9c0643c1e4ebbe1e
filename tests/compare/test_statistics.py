"""Statistics of long runs: known exponents, known distances, known spectra."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.compare import compare_ensembles, compare_statistics
from romae.compare.statistics import (
    lyapunov_from_data,
    lyapunov_of_map,
    space_spectrum,
    spectrum,
    total_variation,
    wasserstein,
    wasserstein_of_histograms,
)
from romae.dynamics import DMD, Climatology
from romae.errors import DataError
from romae.fields import open_snapshots
from romae.model import ReducedModel
from romae.reducers import POD
from romae.report.figures import long_run


def logistic(history, steps):
    z, out = history[:, -1], []
    for _ in range(steps):
        z = 4 * z * (1 - z)
        out.append(z)
    return np.stack(out, axis=1)


def henon(history, steps):
    x, y = history[:, -1].T
    out = []
    for _ in range(steps):
        x, y = 1 - 1.4 * x * x + y, 0.3 * x
        out.append(np.stack([x, y], axis=-1))
    return np.stack(out, axis=1)


def lorenz(history, steps, dt=0.02):
    def f(s):
        x, y, z = np.moveaxis(s, -1, 0)
        return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], axis=-1)

    s, out = history[:, -1], []
    for _ in range(steps):
        a = f(s)
        b = f(s + dt / 2 * a)
        c = f(s + dt / 2 * b)
        s = s + dt / 6 * (a + 2 * b + 2 * c + f(s + dt * c))
        out.append(s)
    return np.stack(out, axis=1)


def turning(rate):
    """A rotation by 0.1 a step whose radius changes at ``rate`` per unit of time, dt = 0.1."""

    def roll(history, steps):
        z = history[:, -1, 0] + 1j * history[:, -1, 1]
        out = z[:, None] * np.exp((1j + rate) * 0.1 * np.arange(1, steps + 1))
        return np.stack([out.real, out.imag], axis=-1)

    return roll


RNG = np.random.default_rng(0)
CIRCLE = np.stack([np.cos(np.arange(20.0)), np.sin(np.arange(20.0))], axis=-1)[:, None]


@pytest.mark.parametrize(
    ("roll", "start", "dt", "steps", "known"),
    [
        (logistic, RNG.uniform(0.1, 0.9, (60, 1, 1)), 1.0, 60, np.log(2)),
        (henon, henon(RNG.uniform(-0.1, 0.1, (60, 1, 2)), 100)[:, -1:], 1.0, 80, 0.419),
        (lorenz, lorenz(RNG.standard_normal((60, 1, 3)), 1000)[:, -1:], 0.02, 1500, 0.906),
    ],
    ids=["logistic", "henon", "lorenz"],
)
def test_exponent_of_known_maps(roll, start, dt, steps, known):
    assert lyapunov_of_map(roll, start, dt, steps=steps) == pytest.approx(known, rel=0.12)
    series = roll(start[:1], 5000)[0]
    assert lyapunov_from_data(series, dt) == pytest.approx(known, rel=0.15)


def test_exponent_of_a_cycle_is_zero_and_of_a_fixed_point_its_rate():
    assert lyapunov_of_map(turning(0.0), CIRCLE, 0.1) == pytest.approx(0, abs=1e-3)
    assert lyapunov_of_map(turning(-0.2), CIRCLE, 0.1, steps=300) == pytest.approx(-0.2, rel=0.02)
    t = 0.1 * np.arange(3000)
    assert abs(lyapunov_from_data(np.stack([np.cos(t), np.sin(t)], axis=1), 0.1)) < 1e-3


def test_exponent_scales_with_time():
    start = RNG.uniform(0.1, 0.9, (40, 1, 1))
    one, ten = (lyapunov_of_map(logistic, start, dt, steps=60) for dt in (1.0, 10.0))
    assert one == pytest.approx(10 * ten)


def test_too_few_states_have_no_exponent():
    with pytest.raises(DataError, match="too few for a Lyapunov exponent"):
        lyapunov_from_data(RNG.standard_normal((20, 2)), 1.0, exclude=10)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.floats(-10, 10), min_size=2, max_size=30),
    st.lists(st.floats(-10, 10), min_size=2, max_size=30),
    st.floats(-5, 5),
)
def test_wasserstein_is_a_metric_that_measures_shifts(a, b, shift):
    x, y = np.array(a), np.array(b)
    assert wasserstein(x, x + shift) == pytest.approx(abs(shift), abs=1e-9)
    assert wasserstein(x, y) == pytest.approx(wasserstein(y, x), abs=1e-9)
    assert wasserstein(x + 3, y + 3) == pytest.approx(wasserstein(x, y), abs=1e-9)
    assert wasserstein(np.repeat(x, 3), y) == pytest.approx(wasserstein(x, y), abs=1e-9)
    assert wasserstein(x, y) >= abs(x.mean() - y.mean()) - 1e-9


def test_wasserstein_of_histograms_is_that_of_the_samples():
    x, y = RNG.standard_normal(4000), 0.5 + 1.3 * RNG.standard_normal(4000)
    edges = np.linspace(-8, 8, 801)
    p, q = np.histogram(x, edges)[0], np.histogram(y, edges)[0]
    assert wasserstein_of_histograms(p, q, 0.02) == pytest.approx(wasserstein(x, y), abs=0.02)
    assert wasserstein(x, np.full(3, np.nan)) == np.inf


def test_total_variation_of_the_same_and_of_strangers():
    p = np.array([[1.0, 2], [0, 1]])
    assert total_variation(p, 5 * p) == pytest.approx(0)
    assert total_variation(p, np.array([[0.0, 0], [1, 0]])) == 1


def test_spectrum_keeps_the_variance_and_finds_the_frequency():
    x = RNG.standard_normal((20_000, 2))
    f, power = spectrum(x, 0.1)
    np.testing.assert_allclose(power[1:].sum(0) * f[1], x.var(0), rtol=0.05)
    t = 0.1 * np.arange(4096)
    f, power = spectrum(np.sin(2 * np.pi * 1.25 * t)[:, None], 0.1, segment=512)
    assert f[power[:, 0].argmax()] == pytest.approx(1.25, abs=f[1])


def test_space_spectrum_of_a_wave():
    x = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    k, power = space_spectrum(2 + np.cos(3 * x)[None], 1, x[1], periodic=True)
    assert k[power[1:].argmax() + 1] == pytest.approx(3)
    assert power[0] == pytest.approx(4)
    assert power[1:].sum() == pytest.approx(0.5)  # Parseval: the mean square of a cosine


@pytest.fixture(scope="module")
def statistics(make_flow):
    flow = open_snapshots(make_flow(260))
    train, test = flow.isel(time=slice(0, 100)), flow.isel(time=slice(100, 260))
    pod = POD(4).fit(train, device="cpu")
    models = {
        "dmd": ReducedModel(pod, DMD()).fit(train),
        "mean": ReducedModel(pod, Climatology()).fit(train),
    }
    return compare_statistics(models, test, steps=300, train=train)


def test_exact_dynamics_keep_the_statistics(statistics):
    good, poor = statistics.sel(model="dmd"), statistics.sel(model="mean")
    for name in ("wasserstein", "time_spectrum_distance", "space_spectrum_x_distance"):
        assert float(good[name].max()) < 0.1, name
        assert float(poor[name].min()) > 3 * float(good[name].max()), name
    assert float(good["functional_mean"].sel(functional="energy")) == pytest.approx(1, abs=0.1)
    assert float(poor["functional_mean"].sel(functional="energy")) < 0.01
    assert float(good["joint_distance"]) < float(poor["joint_distance"])
    assert float(good["stable"]) == 1
    assert float(good["lyapunov"]) == pytest.approx(0, abs=0.02)


def test_first_row_is_the_data_and_its_distances_their_halves(statistics):
    assert statistics["model"].values[0] == "test data"
    first = statistics.isel(model=0)
    assert 0 < float(first["joint_distance"]) < 0.5
    assert float(first["functional_mean"].sel(functional="energy")) == pytest.approx(1)
    np.testing.assert_allclose(
        (first["pdf"] * (first["value"].diff("bin").mean("bin"))).sum("bin"), 1, rtol=1e-6
    )


def test_functionals_of_ones_own_and_no_joint(make_flow):
    flow = open_snapshots(make_flow(80))
    train, test = flow.isel(time=slice(0, 50)), flow.isel(time=slice(50, 80))
    model = ReducedModel(POD(4), DMD()).fit(train, device="cpu")
    found = compare_statistics(
        model, test, steps=40, functionals={"first": lambda x: x[:, 0, 0, 0]}, joint="skip",
        lyapunov="skip",
    )  # fmt: skip
    assert found["functional"].values.tolist() == ["first"]
    truth = xr.DataArray(test.read(0, 30)[:, 0, 0, 0]).mean()
    assert float(found["functional_mean"][0, 0]) == pytest.approx(float(truth), rel=1e-6)
    assert "joint_distance" not in found
    assert found["lyapunov"].isnull().all()


def test_figure(statistics):
    figure = long_run(statistics, field="v")
    figure.draw_without_rendering()
    titles = [ax.get_title() for ax in figure.axes]
    assert "power over frequency" in titles


def test_uneven_test_times_are_put_on_the_step_that_is_said(make_flow):
    flow = make_flow(200)
    model = ReducedModel(POD(4), DMD()).fit(flow.isel(time=slice(0, 100)), device="cpu")
    late = flow.isel(time=slice(100, 200))
    gone = [7, 8, 31, 60, 61]
    uneven = late.isel(time=[i for i in range(100) if i not in gone])
    with pytest.raises(DataError, match=r"not evenly spaced.*resample="):
        compare_statistics(model, uneven, steps=50)
    options = {"steps": 120, "lyapunov": "skip", "train": flow.isel(time=slice(0, 100))}
    one = compare_statistics(model, uneven, resample=0.1, **options)
    other = compare_statistics(model, uneven, resample="median", **options)
    xr.testing.assert_equal(one, other)  # "median" is the step of the model
    whole = compare_statistics(model, late, **options)
    assert int(one.attrs["test_snapshots"]) == 100
    # interpolated where snapshots are missing, the same elsewhere
    np.testing.assert_allclose(one["functional_mean"], whole["functional_mean"], rtol=0.05)


def test_ensembles_on_uneven_test_times(make_flow):
    flow = make_flow(160)
    model = ReducedModel(POD(4), DMD()).fit(flow.isel(time=slice(0, 100)), device="cpu")
    uneven = flow.isel(time=[i for i in range(100, 160) if i not in (120, 121)])
    with pytest.raises(DataError, match=r"not evenly spaced.*resample="):
        compare_ensembles(model, uneven, 5, 4, members=4)
    found = compare_ensembles(model, uneven, 5, 4, members=4, resample="median")
    np.testing.assert_allclose(found["lead_time"], 0.1 * np.arange(1, 6))
    whole = compare_ensembles(model, flow.isel(time=slice(100, 160)), 5, 4, members=4)
    assert found.sizes == whole.sizes
    np.testing.assert_allclose(found["skill"], whole["skill"], rtol=0.5)
