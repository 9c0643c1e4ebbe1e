"""Cylinder wake against conservation laws, exact operators and the literature."""

import numpy as np
import pytest

from romae.cases import get_case
from romae.cases.cylinder import Cylinder, Flow
from romae.errors import OptionError


@pytest.fixture(scope="module")
def shedding():
    """(case, flow on the limit cycle, u and v of the next snapshots, drag) on the tiny grid."""
    return develop(get_case("cylinder", "tiny"))


def develop(case: Cylinder):
    flow = Flow(case)
    for _ in range(round(case.transient / case.dt)):
        flow.step()
    fields, drag = [], []
    for _ in range(case.snapshots):
        fields.append(case._store(flow))
        drag.append(momentum_loss(flow))
        for _ in range(case.save_every):
            flow.step()
    return case, flow, np.array(fields), np.array(drag)


def momentum_loss(flow: Flow) -> float:
    """Momentum and pressure that enter minus those that leave, as a drag coefficient.

    Friction on inlet and outlet is negligible; free-slip sides let no momentum through. In the
    mean over whole periods this is the drag, whatever the solver does at the cylinder.
    """
    enter, leave = (flow.u[1:-1, i] ** 2 + flow.p[:, j] for i, j in ((0, 0), (-1, -1)))
    return 2.0 * flow.h * float(np.sum(enter - leave))


def period(case: Cylinder, fields: np.ndarray) -> tuple[float, int]:
    """Mean time between upward zero crossings of v, 3 D behind the cylinder, and their number."""
    (y, x), t = (a.values for a in case.coords().values()), case.times().values
    v = fields[:, 1, np.argmin(abs(y)), np.argmin(abs(x - 3.0))]
    i = np.flatnonzero((v[:-1] < 0) & (v[1:] >= 0))
    crossings = t[i] - v[i] * (t[1] - t[0]) / (v[i + 1] - v[i])
    return float(np.diff(crossings).mean()), len(crossings) - 1


def test_no_divergence_and_the_same_flux_through_every_section(shedding):
    _, flow, _, _ = shedding
    assert np.abs(flow.divergence()).max() < 1e-12
    np.testing.assert_allclose(flow.u[1:-1].mean(axis=0), 1.0, atol=1e-12)


def test_strouhal_number(shedding):
    """Williamson 1989 measured 0.164 in open flow; a blockage of 1/8 raises it by a tenth."""
    case, _, fields, _ = shedding
    T, periods = period(case, fields)
    assert periods >= 4
    assert 0.16 < 1.0 / T < 0.20


def test_drag_coefficient(shedding):
    """Open flow: 1.32 to 1.38 (Posdziech & Grundmann 2007); a blockage of 1/8 raises it."""
    case, _, fields, drag = shedding
    T, _ = period(case, fields)
    n = round(4 * T / (case.dt * case.save_every))
    assert 1.32 < drag[:n].mean() < 1.50


def test_half_a_period_later_the_wake_is_its_mirror_image(shedding):
    """u(x, y, t + T/2) = u(x, -y, t), v(x, y, t + T/2) = -v(x, -y, t): the wake's symmetry."""
    case, _, fields, _ = shedding
    half = 0.5 * period(case, fields)[0] / (case.dt * case.save_every)
    n, weight = int(half), half - int(half)
    later = (1 - weight) * fields[n : n + 100] + weight * fields[n + 1 : n + 101]
    mirrored = fields[:100, :, ::-1] * np.array([1.0, -1.0])[:, None, None]
    fluctuation = np.linalg.norm(mirrored - fields.mean(axis=0))
    # Linear interpolation in time alone costs (2 pi / 41)^2 / 8 = 0.003, more for the harmonics.
    assert np.linalg.norm(later - mirrored) < 0.01 * fluctuation
    assert np.linalg.norm(fields[:100] - mirrored) > fluctuation


def test_shedding_has_settled(shedding):
    """One period later nothing but the phase has moved, over the whole record."""
    fields = shedding[2]
    flat = fields.reshape(len(fields), -1)
    basis = np.linalg.svd(flat[:120] - flat[:120].mean(axis=0), full_matrices=False)[2][:20]
    rest = flat[120:] - flat[:120].mean(axis=0)
    left = rest - rest @ basis.T @ basis
    assert np.linalg.norm(left) < 2e-4 * np.linalg.norm(rest)


def test_fluid_rests_in_the_cylinder(shedding):
    case, _, fields, _ = shedding
    y, x = (a.values for a in case.coords().values())
    core = np.hypot(x, y[:, None]) < 0.3
    assert core.any()
    assert np.abs(fields[:, :, core]).max() < 1e-3


def test_momentum_operator_converges_at_second_order():
    """Against N = -div(u u) + lap u / Re of a smooth solenoidal field, worked out by hand."""

    def error(cells: int) -> float:
        case = Cylinder(
            reynolds=5.0, cells=cells, dt=1e-4, upstream=4.0, downstream=14.0, height=8.0
        )
        flow = Flow(case)
        h = flow.h
        x = h * np.arange(flow.u.shape[1]) - 4.0
        y = h * (np.arange(flow.u.shape[0]) - 0.5) - 4.0  # with the ghost rows
        # psi = sin a sin b, u = d psi / dy, v = -d psi / dx, a = x / 2, b = y
        flow.u[:] = np.sin(x / 2) * np.cos(y)[:, None]
        xv, yv = h * (np.arange(flow.v.shape[1]) - 0.5) - 4.0, h * np.arange(flow.v.shape[0]) - 4.0
        flow.v[:] = -0.5 * np.cos(xv / 2) * np.sin(yv)[:, None]
        nu_, nv_ = flow.tendencies()
        # u . grad u = sin a cos a / 2 and u . grad v = sin b cos b / 4; lap = -(1/4 + 1)
        exact_u = -0.25 * np.sin(x[1:-1]) - 1.25 / 5.0 * flow.u[1:-1, 1:-1]
        exact_v = -0.125 * np.sin(2 * yv[1:-1, None]) - 1.25 / 5.0 * flow.v[1:-1, 1:-1]
        return max(np.abs(nu_ - exact_u).max(), np.abs(nv_ - exact_v).max())

    coarse, fine = error(8), error(16)
    assert fine < 2e-3
    assert coarse / fine == pytest.approx(4.0, rel=0.05)


def test_same_bits_twice_and_the_mask_is_the_cylinder():
    case = get_case("cylinder", "tiny", transient=1.0, snapshots=3)
    first, second = (np.concatenate(list(next(case.trajectories()))) for _ in range(2))
    assert first.dtype == np.float32
    assert first.shape == case.shape == (3, 2, 24, 64)
    np.testing.assert_array_equal(first, second)
    area = (~case.mask()).sum() * 0.25**2
    assert area == pytest.approx(np.pi / 4, abs=0.05)


@pytest.mark.parametrize(
    ("change", "word"),
    [({"dt": 0.1}, "dt"), ({"window": (9.0, 14.0, 6.0)}, "window"), ({"coarsen": 7}, "coarsen")],
)
def test_impossible_arguments(change, word):
    with pytest.raises(OptionError, match=word):
        Cylinder(**change)


@pytest.mark.slow
def test_demo_grid_comes_closer_to_open_flow():
    """Blockage 1/16 instead of 1/8, twice the resolution: between open flow and the tiny size."""
    case, _, fields, drag = develop(get_case("cylinder", "demo", transient=70.0, snapshots=170))
    T, _ = period(case, fields)
    assert 0.164 < 1.0 / T < 0.176
    assert 1.32 < drag[: round(4 * T / (case.dt * case.save_every))].mean() < 1.48
