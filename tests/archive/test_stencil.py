"""Closed loops: learned equations and learned stencils."""

import numpy as np
import pytest

from romae.archive import equation as equation_module
from romae.archive import equation_grid, fourier, pseudospectral, stencil_loop
from romae.archive import stencil as stencil_module
from romae.archive.entropy import encode_integers
from romae.archive.equation import Equation
from romae.archive.equation_fit import fit_equation
from romae.archive.equation_grid import LINE, VELOCITY, VORTICITY
from romae.archive.method import UnsuitableError
from romae.archive.pseudospectral import etd_tables
from romae.archive.stencil import Stencil
from romae.archive.stencil_fit import fit_stencil
from romae.cases.etdrk4 import ETDRK4
from romae.errors import ArchiveError

from .flows import bounds, drop, flame, velocity, vorticity, worst

FLOWS = {"flame": flame, "vorticity": vorticity, "velocity": velocity, "drop": drop}
FITS = {
    "equation": (fit_equation, ("flame", "vorticity", "velocity")),
    "stencil": (fit_stencil, ("flame", "vorticity", "drop")),
}
PAIRS = [(kind, flow) for kind, (_, flows) in FITS.items() for flow in flows]


def fitted(kind, x, eps, periodic=True):
    return FITS[kind][0]([x], eps, (periodic,) * (x.ndim - 2))


def straight_line(x, eps):
    """Bytes of a closed loop that predicts a straight line in time."""
    two_eps = 2 * eps.reshape(-1, *(1,) * (x.ndim - 2))
    q, d = np.zeros(x.shape, np.int64), np.zeros(x.shape)
    for t in range(len(x)):
        p = 2 * d[t - 1] - d[t - 2] if t > 1 else d[t - 1] * t
        q[t] = np.rint((x[t] - p) / two_eps)
        d[t] = p + two_eps * q[t]
    return len(encode_integers(q))


@pytest.mark.parametrize(("kind", "flow"), PAIRS)
def test_decodes_to_what_was_encoded_within_the_bound(kind, flow):
    x = FLOWS[flow]()
    eps = bounds(x, 1e-3)
    method = fitted(kind, x, eps)
    payload, decoded = method.encode(x, eps)
    again = type(method).from_bytes(method.to_bytes()).decode(payload, x.shape, eps)
    assert np.array_equal(again, decoded)
    assert worst(decoded, x, eps) < 1 + 1e-9


@pytest.mark.parametrize(("kind", "flow"), PAIRS)
def test_is_shorter_than_a_straight_line_in_time(kind, flow):
    x = FLOWS[flow]()
    eps = bounds(x, 1e-3)
    method = fitted(kind, x[: len(x) // 2], eps)  # the second half is unseen
    size = len(method.encode(x[len(x) // 2 :], eps)[0])
    factor = 2.5 if kind == "equation" else 1.1
    assert factor * size < straight_line(x[len(x) // 2 :], eps)


def test_finds_the_coefficients_of_kuramoto_sivashinsky():
    x = flame()
    found = fit_equation([x], bounds(x, 1e-4), (True,))
    k = 2 * np.pi / 40.0 * 31  # the largest wave number kept, per unit length
    dt = 0.25
    assert found.c[1] == pytest.approx(dt * k**2, rel=0.01)
    assert found.c[2] == pytest.approx(-dt * k**4, rel=0.01)
    assert found.theta[2] == pytest.approx(-dt / 2 * k, rel=0.01)  # u u_x


def test_finds_viscosity_and_forcing_of_kolmogorov_flow():
    w = vorticity()
    found = fit_equation([w], bounds(w, 1e-4), (True, True))
    assert found.theta[0] == pytest.approx(0.1, rel=0.01)  # advection over an interval of 0.1
    k2 = 2.0 * 10**2  # the largest squared wave number kept
    assert found.c[1] == pytest.approx(-0.1 * k2 / 34.0, rel=0.05)
    strongest = max(found.forcing, key=lambda wave: abs(found.forcing[wave]))
    assert strongest in {(0, 4), (0, 17)}  # -4 cos(4 y)
    assert found.forcing[strongest] == pytest.approx(-0.1 * 4 / 2, rel=0.02)


def test_integrates_like_the_solver():
    """One interval with the true coefficients: velocities and vorticity agree with romae.cases."""
    u, w = velocity(), vorticity()
    c = np.array([0.0, -0.1 * 200 / 34.0, 0, 0])
    forcing = {(0, 4): -0.2 + 0j, (0, 17): -0.2 + 0j}
    for kind, x in ((VORTICITY, w), (VELOCITY, u)):
        scale = 1.0 if kind == VORTICITY else 0.1  # w is measured in waves of 1/10
        parts = {place: scale * value for place, value in forcing.items()}
        theta = np.array([0.1 if kind == VORTICITY else 1.0, 0, 0])
        method = Equation(kind, (32, 32), c, theta, parts, substeps=8)
        ahead = method.step(x[5].reshape(len(x[5]), -1))
        np.testing.assert_allclose(ahead, x[6].reshape(ahead.shape), atol=2e-4)


def test_tables_agree_with_contour_integrals():
    c = np.array([0.0, -1e-12, -0.3, 2.0, -60.0])
    reference = ETDRK4(c, 0.25, np.zeros_like)
    for ours, theirs in zip(etd_tables(c, 0.25), ("e", "e2", "q", "f1", "f2", "f3"), strict=True):
        np.testing.assert_allclose(ours, getattr(reference, theirs), rtol=1e-12, atol=1e-13)


@pytest.mark.slow
def test_plain_python_decodes_the_same_bits(monkeypatch):
    """What numba compiles, Python gives bit for bit: other machines decode the same values."""
    x = flame()[:4]
    eps = bounds(x, 1e-3)
    equation = fit_equation([flame()], eps, (True,))
    stencil = fit_stencil([drop()], bounds(drop(), 1e-2), (True, True))
    y, wide = drop()[:3], bounds(drop(), 1e-2)
    expected = equation.encode(x, eps), stencil.encode(y, wide)
    modules = (fourier, pseudospectral, equation_grid, equation_module)
    for module in (*modules, stencil_module, stencil_loop):
        for name, function in list(vars(module).items()):
            if hasattr(function, "py_func"):
                monkeypatch.setattr(module, name, function.py_func)
    found = (
        equation.decode(expected[0][0], x.shape, eps),
        stencil.decode(expected[1][0], y.shape, wide),
    )
    assert np.array_equal(found[0], expected[0][1])
    assert np.array_equal(found[1], expected[1][1])


@pytest.mark.parametrize("periodic", [True, False])
def test_edges(periodic):
    """A wall is no reason to fail: edge values are repeated."""
    x = np.ascontiguousarray(drop()[:, :, :24])
    eps = bounds(x, 1e-3)
    method = fitted("stencil", x, eps, periodic)
    payload, decoded = method.encode(x, eps)
    assert worst(decoded, x, eps) < 1 + 1e-9
    assert np.array_equal(method.decode(payload, x.shape, eps), decoded)


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("kind", ["equation", "stencil"])
def test_short_chunks(kind, length):
    x = flame()
    eps = bounds(x, 1e-3)
    method = fitted(kind, x, eps)
    payload, decoded = method.encode(x[:length], eps)
    assert worst(decoded, x[:length], eps) < 1 + 1e-9
    assert np.array_equal(method.decode(payload, (length, *x.shape[1:]), eps), decoded)


@pytest.mark.parametrize("kind", ["equation", "stencil"])
def test_surprises_cost_bytes_and_no_accuracy(kind):
    """Data from elsewhere: noise, a jump, a constant."""
    x = flame()
    eps = bounds(x, 1e-3)
    method = fitted(kind, x, eps)
    for y in (
        np.random.default_rng(0).uniform(-3, 3, (20, 1, 96)),
        np.concatenate([x[:5], x[100:105] + 1.0]),
        np.full((9, 1, 96), 2.5),
    ):
        payload, decoded = method.encode(y, eps)
        assert np.array_equal(method.decode(payload, y.shape, eps), decoded)
        inside = np.abs(decoded - y) <= eps[0] * (1 + 1e-9)
        assert inside.mean() > 0.999


def test_says_no_where_no_equation_fits():
    noise = np.random.default_rng(0).standard_normal((30, 1, 64))
    eps = bounds(noise, 1e-3)
    assert fit_equation([noise], eps, (True,)) is None
    assert fit_equation([flame()], eps, (False,)) is None  # not periodic
    assert fit_equation([flame()[:, :, :95]], eps, (True,)) is None  # 95 = 5 x 19
    assert fit_equation([drop()], bounds(drop(), 1e-3), (True, True)) is None  # three fields


@pytest.mark.parametrize("kind", ["equation", "stencil"])
def test_refuses_other_grids_and_cut_payloads(kind):
    x = flame()
    eps = bounds(x, 1e-3)
    method = fitted(kind, x, eps)
    with pytest.raises(UnsuitableError, match="was learned on"):
        method.encode(x[:, :, :64], eps)
    payload, _ = method.encode(x, eps)
    with pytest.raises(ArchiveError, match="cut off"):
        method.decode(payload[:20], x.shape, eps)


def test_weights_are_the_side_information():
    method = fit_stencil([drop()], bounds(drop(), 1e-3), (True, True))
    assert isinstance(method, Stencil)
    assert len(method.to_bytes()) < 2.5 * method.main.weights.size + 300
    assert len(fit_equation([flame()], bounds(flame(), 1e-3), (True,)).to_bytes()) < 1500
    assert LINE == 0
