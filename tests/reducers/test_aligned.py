"""Where a state is does not matter to what it is: the laws of a reducer behind an alignment."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st

import romae
from romae import Aligned, open_snapshots
from romae.errors import DataError, OptionError, RomaeError
from romae.fields import survey
from romae.reducers import (
    POD,
    VQVAE,
    ConditionalAutoencoder,
    ConvAutoencoder,
    PODAutoencoder,
    QuadraticManifold,
    SequenceAutoencoder,
    TrainConfig,
)
from romae.reducers.aligned_view import aligned_view
from romae.reducers.phases import Phases, _objective, angles, choose_weights, moved
from romae.testing import check_reducer

SHORT = TrainConfig(steps=4, lr=1e-3)
INSIDE = {
    "pod": lambda: POD(2),
    "quadratic": lambda: QuadraticManifold(2),
    "pod-ae": lambda: PODAutoencoder(2, hidden=(8,), train=SHORT),
    "conv": lambda: ConvAutoencoder(2, widths=(4, 6), head=8, train=SHORT),
    "sequence": lambda: SequenceAutoencoder(2, window=3, width=8, train=SHORT),
    "vqvae": lambda: VQVAE(2, codes=8, hidden=(8,), train=SHORT),
    "aligned": lambda: Aligned(POD(2), axes="y"),
}


def wandering(shape: tuple[int, int], times: int = 30, cases: int = 1) -> xr.Dataset:
    """Standing waves in height and momentum, out of step, at a place that wanders over y and x."""
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(*[2 * np.pi * np.arange(n) / n for n in shape], indexing="ij")
    t = 0.2 * np.arange(times).reshape(-1, 1, 1)
    h, q = [], []
    for case in range(cases):
        start = 3 * case + rng.standard_normal(2)
        Y, X = y - start[0] - 3 * np.cos(0.4 * t), x - start[1] - 1.7 * t
        h.append(np.cos(t) * (np.cos(X) + 0.6 * np.cos(Y)) + 0.3 * np.sin(2 * t) * np.cos(X + Y))
        q.append(np.sin(t) * (np.sin(X) + np.sin(Y)) + 0.1 * np.cos(X - Y))
    dims = ("case", "t", "lev", "x")
    data = {
        "h": (dims, np.array(h, "f4"), {"units": "m"}),
        "q": (dims, 1e4 + 5 * np.array(q), {"units": "m2 s-1"}),
    }
    periodic = {"periodic": 1}
    coords = {
        "t": 0.2 * np.arange(times),
        "lev": ("lev", np.arange(shape[0]) * 1.0, periodic),
        "x": ("x", np.arange(shape[1]) * 0.5, periodic),
        "Re": ("case", 10.0 * np.arange(cases)),
    }
    whole = xr.Dataset(data, coords)
    return whole if cases > 1 else whole.isel(case=0, drop=True)


@pytest.fixture(scope="module")
def wave():
    return wandering((9, 12))


@pytest.mark.parametrize(
    "kind",
    [
        "pod",
        *(pytest.param(k, marks=pytest.mark.slow) for k in INSIDE if k not in ("pod", "aligned")),
    ],
)
def test_the_laws(kind, wave):
    check_reducer(Aligned(INSIDE[kind]()), wave)


def test_an_alignment_inside_another(wave):
    check_reducer(Aligned(Aligned(POD(2), axes="lev"), axes="x"), wave)


@pytest.mark.slow
def test_the_laws_with_parameters():
    flow = wandering((6, 7), cases=3)
    inner = ConditionalAutoencoder(2, hidden=(8,), train=SHORT)
    check_reducer(Aligned(inner, axes=["x"]), flow)
    check_reducer(Aligned(POD(2)), flow)


@pytest.fixture(scope="module", params=[(9, 12), (8, 7)], ids=str)
def fitted(request):
    flow = wandering(request.param)
    return flow, Aligned(POD(3)).fit(flow)


@given(steps=st.tuples(st.integers(-12, 12), st.integers(-12, 12)))
@settings(max_examples=8, deadline=None)
def test_a_shift_of_the_domain_turns_the_phases_and_nothing_else(fitted, steps):
    flow, model = fitted
    there = flow.roll(dict(zip(("lev", "x"), steps, strict=True)))
    z, z_there = model.encode(flow), model.encode(there)
    turn = np.array(
        [2 * np.pi * s / flow.sizes[d] for s, d in zip(steps, ("lev", "x"), strict=True)]
    )
    phasors = z.values[:, 0:4:2] + 1j * z.values[:, 1:4:2]
    phasors_there = z_there.values[:, 0:4:2] + 1j * z_there.values[:, 1:4:2]
    np.testing.assert_allclose(phasors_there, phasors * np.exp(-1j * turn), atol=3e-5)
    np.testing.assert_allclose(z_there[:, 4:], z[:, 4:], atol=1e-4)
    back = model.decode(z).roll(dict(zip(("lev", "x"), steps, strict=True)))
    xr.testing.assert_allclose(model.decode(z_there), back, atol=1e-4, rtol=1e-6)


@given(n=st.integers(3, 17), m=st.integers(3, 10), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_alignment_is_orthogonal_and_has_an_inverse_for_any_field(n, m, seed):
    x = torch.randn(4, 2, m, n, generator=torch.Generator().manual_seed(seed))
    phases = Phases((0, 1), (2, m, n))
    phases.weights0[:, 0], phases.weights1[0, 1] = 0.3, 1.0
    phasors = phases(x)
    y = phases.align(x, phasors)
    torch.testing.assert_close(y.square().sum(), x.square().sum(), rtol=1e-5, atol=0)
    torch.testing.assert_close(phases.restore(y, phasors), x, rtol=0, atol=1e-5)
    if n % 2 and m % 2:  # else the Nyquist wave may have the other sign
        torch.testing.assert_close(angles(phases(y)), torch.zeros(4, 2).double(), rtol=0, atol=1e-3)


@given(n=st.integers(5, 16), by=st.floats(-20, 20), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_fields_between_the_points_are_those_of_the_series(n, by, seed):
    rng = np.random.default_rng(seed)
    c, s = rng.standard_normal((2, (n - 1) // 2))
    k, r = np.arange(1, len(c) + 1), 2 * np.pi * np.arange(n) / n

    def series(at):
        return np.cos(np.outer(at, k)) @ c + np.sin(np.outer(at, k)) @ s + 2.0

    x = torch.from_numpy(series(r))[None]
    found = moved(x, torch.tensor([by], dtype=torch.float64), 1)
    np.testing.assert_allclose(found[0], series(r + by), atol=1e-10)


@given(n=st.integers(1, 16), steps=st.integers(-20, 20), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
@example(n=6, steps=1, seed=0)  # the Nyquist wave changes its sign
def test_a_move_by_whole_points_is_a_roll_of_any_field(n, steps, seed):
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((2, n, 3)))
    phi = torch.tensor([2 * np.pi * steps / n, 0.0], dtype=torch.float64)
    found = moved(x, phi, 1)
    expected = torch.stack([x[0].roll(-steps, 0), x[1]])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_the_amplitude_of_the_phases_does_not_matter(fitted):
    flow, model = fitted
    z = model.encode(flow)
    longer = z.copy()
    longer[:, :2] *= 3.7
    longer[:, 2:4] *= 0.02
    xr.testing.assert_allclose(model.decode(longer), model.decode(z), atol=1e-5)


def test_weights_stay_clear_of_the_zeros_of_a_standing_wave():
    t, s = np.linspace(0, 30, 500), np.random.default_rng(0).uniform(0, 6, 500)
    m = np.stack([np.cos(t), 0.5j * np.sin(t), 0.01 * np.cos(9 * t)], 1) * np.exp(1j * s)[:, None]
    alone = np.abs(m[:, 0])
    chosen = np.abs(m @ choose_weights(m).conj())
    assert alone.min() < 0.01 * alone.max()
    assert chosen.min() > 0.4 * chosen.max()
    there = m * np.exp(-2j * s)[:, None]
    np.testing.assert_allclose(choose_weights(m), choose_weights(there), atol=1e-4)


@given(T=st.integers(2, 9), F=st.integers(10, 14), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_weights_do_not_depend_on_how_often_the_data_are_seen(T, F, seed):
    """Singular vectors of few snapshots of many numbers are those of many snapshots."""
    rng = np.random.default_rng(seed)
    m = rng.standard_normal((2, T, F)) @ np.diag(2.0 ** -np.arange(F))
    m = m[0] + 1j * m[1]
    few, many = choose_weights(m), choose_weights(np.tile(m, (F, 1)))
    np.testing.assert_allclose(np.abs(m @ few.conj()), np.abs(m @ many.conj()), rtol=1e-3)


@given(r=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_gradient_of_the_objective_is_its_slope(r, seed):
    rng = np.random.default_rng(seed)
    b, h = rng.standard_normal((7, r)) + 1j * rng.standard_normal((7, r)), 1e-6
    c = rng.standard_normal(2 * r)
    ends = [[_objective(c + s * h * e, b)[0] for s in (1, -1)] for e in np.eye(2 * r)]
    slope = -np.diff(ends, axis=1)[:, 0] / (2 * h)
    value, found = _objective(c, b)
    np.testing.assert_allclose(found, slope, rtol=1e-3, atol=1e-4 * value)


def test_a_row_of_next_to_no_area_decides_nothing():
    """The noise on it is the largest wave of all, in a millionth of the domain."""
    x, t = 2 * np.pi * np.arange(10) / 10, 0.3 * np.arange(40)
    u = np.repeat(np.cos(x - t[:, None])[:, None], 5, axis=1)
    u[:, 4] = 30 * np.cos(x - np.random.default_rng(0).uniform(0, 6, (40, 1)))
    coords = {"t": t, "y": [0.0, 1, 2, 3, 3 + 1e-5], "x": ("x", x, {"periodic": 1})}
    flow = xr.Dataset({"u": (("t", "y", "x"), u)}, coords)
    z = Aligned(POD(1), "x").fit(flow).encode(flow)
    turned = np.unwrap(np.arctan2(z[:, 1], z[:, 0]))
    np.testing.assert_allclose(np.diff(turned), -0.3, atol=0.01)


def test_a_profile_is_found_where_the_mean_over_the_other_axis_is_zero():
    y, x, t = np.linspace(0, 1, 8), 2 * np.pi * np.arange(10) / 10, 0.3 * np.arange(20)
    u = np.cos(x - t[:, None])[:, None] * np.sin(2 * np.pi * np.arange(8) / 8)[:, None]
    coords = {"t": t, "y": y, "x": ("x", x, {"periodic": 1})}
    flow = xr.Dataset({"u": (("t", "y", "x"), u + 0.01 * np.sin(2 * x) * y[:, None])}, coords)
    z = Aligned(POD(1)).fit(flow).encode(flow)
    turned = np.unwrap(np.arctan2(z[:, 1], z[:, 0]))
    np.testing.assert_allclose(np.diff(turned), -0.3, atol=1e-4)


def test_waves_of_one_shape_are_their_phase(flows):
    flow = flows["line"]()
    model = Aligned(PODAutoencoder(3, train=SHORT))
    check_reducer(model, flow)
    assert (model.latent, model.fitted, model.latent_bytes) == (2, None, 8)
    assert float(abs(model.reconstruct(flow).u - flow.u).max()) < 2e-5
    high = flow + 300
    model.fit(high)
    assert model.fitted is None
    assert float(abs(model.reconstruct(high).u - high.u).max()) < 1e-3


def test_sizes_and_axes_that_cannot_be_are_found_before_the_fit(wave):
    snapshots = open_snapshots(wave)
    with pytest.raises(OptionError, match="determine at most 29"):
        Aligned(POD(40)).check_size(snapshots)
    with pytest.raises(DataError, match="it is not periodic"):
        Aligned(POD(2), "x").check_size(open_snapshots(wave.assign_coords(x=wave.x.values)))


def test_it_needs_fewer_numbers_than_pod(wave):
    train, test = wave.isel(t=slice(0, 24)), wave.isel(t=slice(24, 30))
    found = romae.compare([POD(8).fit(train), Aligned(POD(4)).fit(train)], test, rates="skip")
    error = found.error.sel(field="all")
    assert found.latent[-1] == 8
    assert error[-1] < 0.2 * error[-2]


def test_snapshots_without_the_wave_have_the_phase_zero(wave):
    model = Aligned(POD(2)).fit(wave)
    still = wave.isel(t=[0, 1, 2]).copy(deep=True)
    still["h"][0], still["q"][0] = 0.0, 1e4
    still["h"][1], still["q"][1] = 3.0, 2e4
    z = model.encode(still)
    np.testing.assert_array_equal(z[:2, :4], [[1, 0, 1, 0]] * 2)
    assert bool(np.isfinite(model.decode(z).to_array()).all())
    assert bool(np.isfinite(model.decode(0 * z).to_array()).all())


def test_a_constant_field_stays_as_it_is(wave):
    flow = wave.assign(s=xr.full_like(wave.h, 7.25), p=xr.zeros_like(wave.h) + wave.x)
    flow.s.attrs["units"], flow.p.attrs["units"] = "K", "Pa"
    for scale in ("units", "field"):
        back = Aligned(POD(3, scale=scale), axes="lev").fit(flow).reconstruct(flow)
        np.testing.assert_allclose(back.s, 7.25, rtol=1e-6)
        np.testing.assert_allclose(back.p, flow.p, rtol=1e-5, atol=1e-5)


def test_a_wall_that_is_the_same_all_along_may_be_masked(wave):
    flow = wave.copy(deep=True)
    flow["h"][:, :2] = flow["q"][:, :2] = np.nan
    model = Aligned(POD(6), axes="x")
    check_reducer(model, flow)
    back = model.reconstruct(flow)
    assert bool((np.isnan(back.h) == np.isnan(flow.h)).all())


WRONG = {
    "unknown": (lambda f: (f, ["z"]), OptionError, r"unknown axis 'z'.*lev, x"),
    "bounded": (
        lambda f: (f.assign_coords(x=f.x.values), ["x"]),
        DataError,
        r"along 'x': it is not periodic.*periodic=\['x'\].*the reducer without Aligned",
    ),
    "none": (
        lambda f: (f.assign_coords(x=f.x.values, lev=f.lev.values), None),
        DataError,
        "needs a periodic axis, and none of lev, x is",
    ),
    "uneven": (
        lambda f: (f.assign_coords(x=("x", f.x.values**1.1, f.x.attrs)), None),
        DataError,
        r"along 'x': its spacing.*axes=\['lev'\]",
    ),
    "repeated": (
        lambda f: (open_snapshots(f, periodic={"x": 5.5}), ["x"]),
        DataError,
        "not repeated at the end",
    ),
    "body": (
        lambda f: (f.where((f.lev > 1) | (f.x > 1)), ["x"]),
        DataError,
        "along 'x': the mask varies along it",
    ),
    "thin": (lambda f: (f.isel(lev=[0, 1]), ["lev"]), DataError, "it has 2 points"),
}


@pytest.mark.parametrize("case", WRONG)
def test_axes_without_the_symmetry_are_refused(case, wave):
    make, error, says = WRONG[case]
    flow, axes = make(wave)
    with pytest.raises(error, match=says) as raised:
        Aligned(POD(2), axes).fit(flow)
    assert isinstance(raised.value, RomaeError)


@pytest.mark.parametrize("axes", [[], ["x", "x"]])
def test_names_of_axes_are_different_ones(axes):
    with pytest.raises(OptionError, match="Expected different names"):
        Aligned(2, axes)


def test_the_reducer_given_is_left_alone(wave):
    inner = POD(2)
    model = Aligned(inner).fit(wave)
    assert not hasattr(inner, "module")
    assert model.fitted.latent == 2
    assert model.latent == 6


@pytest.mark.parametrize("storage", ["memory", "file", "chunks"])
def test_the_view_reads_what_the_coder_aligns(storage, tmp_path, monkeypatch):
    monkeypatch.setattr("romae.reducers.aligned_view.PIECE_BYTES", 3 * 8 * 9 * 8)  # of a snapshot
    flow = wandering((8, 9), times=20, cases=2)
    if storage != "memory":
        coded = {n: {"chunksizes": (1, 6, 8, 9), "zlib": True} for n in ("h", "q")}
        flow.to_netcdf(tmp_path / "a.nc", encoding=coded if storage == "chunks" else {})
        flow = tmp_path / "a.nc"
    snapshots = open_snapshots(flow)
    model = Aligned(POD(3)).fit(snapshots)
    data, phi = model.module, [[] for _ in range(2)]
    expected = []
    for case, x in model.batches(snapshots):
        phasors, y = data.split(x)
        phi[case].append(angles(phasors).numpy())
        expected.append((y - data.bias) / data.gain)
    view = aligned_view(snapshots, [np.concatenate(p) for p in phi], (0, 1), rounding=np.zeros(2))
    level = (model._level() / model.scaling.columns)[None]
    want = torch.cat(expected).numpy() + level
    whole = np.concatenate([b.values for b in view.blocks(3 * 8 * 9 * 2 * 8)])
    np.testing.assert_allclose(whole / model.scaling.columns, want, atol=2e-5)
    some = view.isel(time=slice(1, None, 3), case=[1])
    np.testing.assert_allclose(some.read(0, 7), whole[20:][1::3], rtol=1e-9, atol=1e-9)
    found = survey(some)
    np.testing.assert_allclose(found.mean, whole[20:][1::3].mean(0), rtol=1e-6, atol=1e-6)


def test_the_view_keeps_the_digits_of_a_field_far_from_zero():
    flow = wandering((8, 9))
    flow["h"] = (1e5 + 40 * flow.h.astype("f8")).astype("f4")
    phi = np.random.default_rng(0).uniform(-3, 3, (30, 1))
    views = [
        aligned_view(open_snapshots(f[["h"]]), [phi], (1,), rounding=np.zeros(1)).read(0, 30)
        for f in (flow, flow.astype("f8"))
    ]
    assert np.abs(views[0] - views[1]).max() < 0.6 * np.spacing(np.float32(1e5))


def test_snapshots_held_out_are_aligned_too(wave):
    """Errors of validation are the same wherever its snapshots are."""
    errors = []
    for held_out in (wave, wave.roll(x=5, lev=2)):
        inner = PODAutoencoder(2, hidden=(8,), train=SHORT)
        errors.append([h["validation"] for h in Aligned(inner).fit(wave, held_out).history])
    np.testing.assert_allclose(errors[0], errors[1], rtol=1e-3)


def test_a_second_fit_forgets_the_first(wave, flows):
    model = Aligned(POD(2), "x").fit(wave)
    assert (model.latent, model.latent_bytes, model.phases) == (4, 16, 1)
    model.fit(flows["line"]())
    assert (model.latent, model.latent_bytes, model.fitted) == (2, 8, None)


@pytest.mark.parametrize("rows", [7, 1])  # of a batch; of 1, most have no part in it
def test_weights_come_from_a_part_of_long_data(rows, wave, monkeypatch):
    whole = Aligned(POD(3)).fit(wave)
    monkeypatch.setattr("romae.reducers.aligned_fit.COEFFICIENT_BYTES", 300)
    monkeypatch.setattr("romae.reducers.data.BATCH_BYTES", rows * 9 * 12 * 2 * 4)
    part = Aligned(POD(3)).fit(wave)
    m = whole.module.phases.weights0
    assert not torch.equal(m, part.module.phases.weights0)
    errors = [float(((f.reconstruct(wave) - wave).h ** 2).mean()) for f in (whole, part)]
    assert errors[1] < 2 * errors[0] + 1e-6


def test_a_study_names_it():
    from romae.config import read_dataclass
    from romae.study.config import Study
    from romae.study.plan import Plan

    table = {
        "data": {"case": "kolmogorov", "size": "tiny"},
        "reducers": [
            {"kind": "aligned", "latent": [4, 6], "options": {"axes": ["x"], "inner": "pod"}}
        ],
    }
    study = read_dataclass(Study, {"name": "s", **table}, where="study")
    made = Plan(study, None).new_reducers()
    assert [(r.axes, r.latent) for r in made.values()] == [(("x",), 4), (("x",), 6)]


@pytest.mark.parametrize("make", [POD, PODAutoencoder, lambda k=2: Aligned(POD(k), "lev")])
def test_a_size_of_the_whole_counts_the_phases(make, wave):
    given = make() if make is not PODAutoencoder else PODAutoencoder(hidden=(8,), train=SHORT)
    model = Aligned(given, "x", latent=7).fit(wave)
    assert (model.latent, model.encode(wave).sizes["latent"]) == (7, 7)
    assert model.fitted.latent == 5
    assert Aligned(given, latent=7).latent == 7
    with pytest.raises(OptionError, match=r"latent=4, and 4 of them.*type latent=6"):
        Aligned(POD(2), latent=4).fit(wave)
    with pytest.raises(OptionError, match=r"latent=2, and 2 of them.*type latent=4"):
        Aligned(POD(2), "x", latent=2)


def test_what_cannot_use_it_says_so(wave, tmp_path):
    model = Aligned(POD(2)).fit(wave)
    with pytest.raises(OptionError, match=r"Aligned holds a reducer of its own.*model='auto'"):
        romae.compress(wave, tmp_path / "a.romae", model=model, rel=1e-2)
    inner = PODAutoencoder(2, hidden=(8,), train=SHORT)
    whole = romae.ReducedModel(Aligned(inner), romae.GRU(4, updates=2))
    with pytest.raises(OptionError, match="finetune: Aligned is no autoencoder of single"):
        whole.fit(wave, finetune=3)
