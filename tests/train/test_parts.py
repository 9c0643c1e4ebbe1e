"""Terms of the objective and corruptions: what they measure, refuse and hide."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import romae
from romae import parts
from romae.config import as_table, read_arguments
from romae.errors import DataError, OptionError
from romae.fields import Scaling, open_snapshots, survey
from romae.train.derivatives import Derivatives
from romae.train.objective import Frame, Step, Training


def vorticity(fields, derivative):
    """What a user would write."""
    return derivative(fields["v"], "x") - derivative(fields["u"], "y")


EXAMPLES = {
    "mse": parts.MSE(),
    "relative": parts.Relative(),
    "l1": parts.L1(),
    "bce": parts.BCE(fields=("c",)),
    "gradient": parts.Gradient(),
    "spectral": parts.Spectral(),
    "divergence": parts.Divergence(),
    "physics": parts.Physics(function=f"{__name__}:vorticity"),
    "adversarial": parts.Adversarial(),
}
HIDING = {
    "noise": parts.Noise(),
    "masking": parts.Masking(),
    "sensors": parts.SensorDropout(keep=0.3),
    "patches": parts.Patches(size=3),
}


@pytest.fixture(scope="module")
def flow():
    """A travelling flow without divergence and a volume fraction; x and y periodic, an island."""
    n, m, T = 12, 16, 24
    y, x = 2 * np.pi * np.arange(n) / n, 2 * np.pi * np.arange(m) / m
    t = 0.3 * np.arange(T)[:, None, None]
    Y, X = np.meshgrid(y, x, indexing="ij")
    psi = np.sin(X - t) * np.cos(2 * Y) + 0.3 * np.sin(2 * X + Y + t)

    def d(f, axis, c):
        return (np.roll(f, -1, axis) - np.roll(f, 1, axis)) / (2 * (c[1] - c[0]))

    data = {"u": d(psi, 1, y), "v": -d(psi, 2, x), "c": 0.5 + 0.45 * np.sin(X - t) * np.cos(Y)}
    periodic = {"periodic": 1}
    units = {"u": "m/s", "v": "m/s", "c": "1"}
    return xr.Dataset(
        {k: (("time", "y", "x"), v.astype("f4"), {"units": units[k]}) for k, v in data.items()},
        {"time": t[:, 0, 0], "y": ("y", y, periodic), "x": ("x", x, periodic)},
    )


class Fields(torch.nn.Module):
    """A coder whose working coordinates are the fields."""

    def show(self, w):
        return w

    def put(self, w, x):
        return x

    def white(self, w):
        return torch.randn_like(w)

    def distance(self, w, v):
        return ((w - v).square() * self.W).flatten(1).sum(1)


@pytest.fixture(scope="module")
def frame(flow):
    snapshots = open_snapshots(flow)
    found = survey(snapshots)
    scaling = Scaling.fit(found)
    coder = Fields()
    coder.W = torch.from_numpy(snapshots.layout.quadrature).float()
    x = torch.from_numpy(scaling.forward(flow_array(flow))).float()
    energy = float((x.square() * coder.W).flatten(1).sum(1).mean())
    return Frame(snapshots.layout, scaling, found, energy, 2, coder, torch.device("cpu")), x


def flow_array(flow):
    return np.stack([flow[n].values for n in flow.data_vars], 1)


def value(term, frame, x, y):
    measure = term.prepare(frame)
    return float(measure(Step(frame.coder, x, x, None, None, y, 1.0)))


def test_every_term_and_corruption_is_tried_here():
    penalties = {"contractive"}  # of latents: tests/reducers
    assert set(parts.Term.kinds()) - penalties <= set(EXAMPLES)
    assert set(parts.Corruption.kinds()) == {*HIDING, "shifts"}


@pytest.mark.parametrize(
    "part", [*EXAMPLES.values(), *HIDING.values(), parts.Shifts()], ids=lambda p: p.kind
)
def test_a_part_comes_back_from_its_table(part):
    def function(term: parts.Term | None = None, corruption: parts.Corruption | None = None):
        pass

    name = "term" if isinstance(part, parts.Term) else "corruption"
    assert read_arguments(function, {name: as_table(part)}, where="here") == {name: part}


@pytest.mark.parametrize("kind", sorted(set(EXAMPLES) - {"bce", "adversarial", "divergence"}))
def test_a_perfect_reconstruction_costs_nothing_and_a_worse_one_more(kind, frame):
    frame, x = frame
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    costs = [value(EXAMPLES[kind], frame, x, x + a * noise) for a in (0.0, 0.01, 0.1)]
    assert costs[0] == pytest.approx(0, abs=1e-9)
    assert costs[0] < costs[1] < costs[2]


@pytest.mark.parametrize("kind", ["mse", "gradient"])
def test_knowing_nothing_costs_one(kind, frame):
    frame, x = frame
    assert value(EXAMPLES[kind], frame, x, torch.zeros_like(x)) == pytest.approx(1, rel=1e-4)


def test_relative_counts_quiet_snapshots_as_much_as_loud_ones(frame):
    frame, x = frame
    quiet = x.clone()
    quiet[: len(x) // 2] *= 0.3  # their energy stays above the floor
    lost = value(parts.Relative(floor=1e-6), frame, quiet, 0.9 * quiet)
    assert lost == pytest.approx(0.01, rel=1e-3)


def test_bce_is_least_at_the_truth_and_has_a_slope_beyond_the_margin(frame):
    frame, x = frame
    term = EXAMPLES["bce"]
    at = value(term, frame, x, x)
    assert at < value(term, frame, x, 0.9 * x)
    far = (20 * x + 9).requires_grad_(True)
    measure = term.prepare(frame)
    measure(Step(frame.coder, x, x, None, None, far, 1.0)).backward()
    assert bool((far.grad[:, 2] != 0).all())
    assert bool((far.grad[:, :2] == 0).all())


def test_a_flow_without_divergence_costs_nothing_and_another_does(frame):
    frame, x = frame
    assert value(parts.Divergence(), frame, x, x) < 1e-9
    moved = x.clone()
    moved[:, 0] = x[:, 0].roll(3, -1)
    assert value(parts.Divergence(), frame, x, moved) > 1e-2


def test_physics_takes_a_function_and_keeps_its_name(flow, frame):
    frame, x = frame
    named = parts.Physics(function=vorticity)
    assert named.function == f"{vorticity.__module__}:vorticity"
    zero = dataclasses.replace(EXAMPLES["physics"], target="zero", scale=2.0)
    fields = {n: torch.from_numpy(flow[n].values.copy()) for n in ("u", "v")}
    w = vorticity(fields, Derivatives(frame.layout))
    assert value(zero, frame, x, x) == pytest.approx(float(w.square().mean()) / 4, rel=1e-4)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: parts.Physics(function=lambda f, d: f["u"]), "function is.*defined in a module"),
        (lambda: parts.Physics(function="vorticity"), "package"),
        (lambda: parts.Physics(function="a:b", target="none"), "unknown target"),
        (lambda: parts.Noise(std=0), r"std is 0.*0\.1"),
        (lambda: parts.Masking(share=1), "share is 1"),
        (lambda: parts.SensorDropout(keep=0), "keep is 0"),
        (lambda: parts.Patches(size=0), "size is 0"),
        (lambda: parts.Patches(share=2), "share is 2"),
    ],
)
def test_wrong_options_say_what_was_expected(make, says):
    with pytest.raises(OptionError, match=says):
        make()


@pytest.mark.parametrize(
    ("term", "error", "says"),
    [
        (parts.BCE(), DataError, r"bce: u reaches from .*\[0, 1\].*--set objective=mse"),
        (parts.BCE(fields=("q",)), OptionError, "unknown field 'q'"),
        (parts.Divergence(components={"u": "x", "w": "z"}), OptionError, "unknown 'w'"),
        (parts.Divergence(components={"u": "x"}), OptionError, "two velocities"),
        (parts.Physics(function="romae.none:such"), OptionError, "cannot import"),
    ],
)
def test_terms_refuse_before_the_training(term, error, says, flow):
    with pytest.raises(error, match=says):
        romae.PODAutoencoder(2, objective=term).fit(flow, device="cpu")


def test_the_spectral_term_needs_a_periodic_axis(flow):
    bounded = flow.copy()
    for axis in ("x", "y"):
        bounded[axis] = bounded[axis].copy()
        bounded[axis].attrs = {}
    with pytest.raises(OptionError, match="periodic='x'"):
        romae.PODAutoencoder(2, objective=parts.Spectral()).fit(bounded, device="cpu")


@given(st.integers(3, 30), st.integers(0, 5))
def test_the_derivative_of_a_line_is_its_slope_on_any_axis(n, seed):
    c = np.sort(np.random.default_rng(seed).random(n)) + 0.2 * np.arange(n)
    data = xr.DataArray(np.ones((3, n)), dims=("time", "x"), coords={"x": c}, name="u")
    d = Derivatives(open_snapshots(data).layout)
    slope = d(torch.from_numpy(3 * c - 1).float(), "x")
    assert slope.numpy() == pytest.approx(3, rel=1e-3)


def test_a_derivative_wraps_on_a_periodic_axis(flow):
    d = Derivatives(open_snapshots(flow).layout)
    x = torch.from_numpy(flow.x.values.copy())
    f = torch.sin(x).float().expand(12, 16)
    h = float(x[1] - x[0])
    assert d(f, "x").numpy() == pytest.approx((torch.cos(x) * np.sin(h) / h).expand(12, 16).numpy())
    with pytest.raises(OptionError, match="no axis 'z'"):
        d(f, "z")


@pytest.mark.parametrize(("kind", "share"), [("masking", 0.25), ("sensors", 0.7), ("patches", 0.5)])
def test_hidden_values_are_the_mean_and_as_many_as_asked(kind, share, frame):
    frame, x = frame[0], torch.ones(100, *frame[1].shape[1:])
    torch.manual_seed(0)
    seen = HIDING[kind].prepare(frame)(frame.coder, x)
    hidden = seen == 0
    assert float(hidden.float().mean()) == pytest.approx(share, abs=0.03)
    assert bool((seen == x)[~hidden].all())
    if kind != "masking":
        assert bool((hidden == hidden[:, :1]).all())  # all fields together
    again = HIDING[kind].prepare(frame)(frame.coder, x)
    assert not torch.equal(again, seen)


def test_shifts_move_each_snapshot_as_a_whole_along_the_periodic_axes(frame):
    frame, x = frame
    torch.manual_seed(0)
    moved = parts.Shifts().prepare(frame)(frame.coder, x)
    places = []
    for before, after in zip(x, moved, strict=True):
        found = [
            (i, j)
            for i, j in np.ndindex(*x.shape[2:])
            if torch.equal(before.roll((i, j), (1, 2)), after)
        ]
        assert len(found) == 1
        places += found
    assert len(set(places)) > len(x) / 2  # each by a number of its own, along both axes


def test_shifts_leave_nothing_to_learn_where_the_model_follows_them(frame):
    frame, x = frame

    class Perfect(Fields):
        """A coder that loses nothing."""

        squeeze = parts.Plain().module(1)

        def analyse(self, w):
            return w

        def rebuild(self, z, w):
            return z

    coder = Perfect()
    coder.W = frame.coder.W
    training = Training(coder, [parts.MSE()], parts.Shifts(), frame)
    assert float(training.train()(x, 0.5)) == 0  # the target moves with what is seen
    coder.rebuild = lambda z, w: x  # what stood there before is not asked for ...
    assert float(training(x, 0.5)) > 0.1
    assert float(training.eval()(x, 0.5)) == 0  # ... but when it is judged, nothing is moved


def test_shifts_need_a_periodic_axis_and_no_mask(flow):
    bounded, island = flow.copy(), flow.copy()
    for axis in ("x", "y"):
        bounded[axis] = bounded[axis].copy()
        bounded[axis].attrs = {}
    island["u"] = island.u.where((island.x > 1) | (island.y > 1))
    for data, says in ((bounded, "none of y, x is"), (island, "has a mask")):
        model = romae.PODAutoencoder(2, corruption=parts.Shifts())
        with pytest.raises(OptionError, match=says):
            model.fit(data, device="cpu")


def test_noise_has_the_size_asked_for_in_every_working_coordinate(flow):
    model = romae.PODAutoencoder(2, corruption=parts.Noise(std=0.2))
    model.train = romae.TrainConfig(steps=1)
    model.fit(flow, device="cpu")
    coder = model.module
    torch.manual_seed(0)
    noise = coder.show(coder.white(torch.zeros(4000, len(coder.basis.modes))))
    white = torch.randn(4000, *noise.shape[1:])
    along = coder.work(white) - coder.work(noise)  # the part of white noise that the modes hold
    assert float(along.std()) == pytest.approx(2**0.5 / float(coder.unit), rel=0.02)
