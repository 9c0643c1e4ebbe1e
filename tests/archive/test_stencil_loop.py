"""What a stencil predicts is the polynomial that its module writes down."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.archive.stencil import Polynomial, Stencil
from romae.archive.stencil_fit import fit_stencil, rounded
from romae.archive.stencil_loop import Sizes

from .flows import bounds, flame, worst

RADII = st.integers(-1, 2)


def neighbour(z, shift, periodic):
    """z (C, *space) at the points moved by ``shift``; edges wrap around or repeat their value."""
    for axis, (s, wraps) in enumerate(zip(shift, periodic, strict=True), start=1):
        n = z.shape[axis]
        at = np.arange(n) + s
        z = z.take(at % n if wraps else np.clip(at, 0, n - 1), axis)
    return z


def reference(polynomial, z, old, periodic):
    """Scaled changes (C, *space) of scaled frames at t - 1 and t - 2."""
    W, terms = polynomial.weights, polynomial.terms
    both = np.concatenate([z, old])
    total = np.broadcast_to(W[:, :1], (len(z), z[0].size)).copy()
    for f in range(len(terms.plane)):
        factors = [i for i in terms.products[terms.plane[f]] if i >= 0]
        feature = np.prod([both[i] for i in factors], axis=0)[None]
        shift = (terms.dy[f], terms.dx[f])[-len(periodic) :]
        feature = neighbour(feature, shift, periodic)[0]
        if terms.gate[f] >= 0:
            feature = feature * z[terms.gate[f]]
        total += W[:, f + 1, None] * feature.reshape(1, -1)
    return total.reshape(z.shape)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_frames_are_predicted_by_the_polynomial_on_their_own_edges(data):
    axes, fields = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3))
    periodic = tuple(data.draw(st.booleans()) for _ in range(axes))
    main = Sizes(data.draw(st.integers(0, 2)), *(data.draw(RADII) for _ in range(4)))
    with_start = data.draw(st.booleans())
    first = Sizes(1, -1, data.draw(RADII), data.draw(RADII), -1)
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    space = (6, 7)[-axes:]

    def polynomial(sizes):
        shape = Polynomial.shape(fields, axes, sizes)
        return Polynomial(fields, axes, sizes, 0.1 * rng.normal(size=shape))

    mean, scale = rng.normal(size=fields), rng.uniform(0.5, 2, fields)
    method = Stencil(
        space, periodic, mean, scale, polynomial(main), polynomial(first) if with_start else None
    )
    x, eps = rng.normal(size=(5, fields, *space)), rng.uniform(1e-3, 1e-2, fields)
    q, decoded = np.zeros(x.shape, np.int64), np.empty(x.shape)
    method._first(x, q, decoded, eps)
    method._loop(x, q, decoded, eps, True)
    tall = (-1, *(1,) * axes)
    z = (decoded - mean.reshape(tall)) / scale.reshape(tall)
    for t in range(method.first, 5):
        used = method.start if t == 1 else method.main
        change = reference(used, z[t - 1], z[max(t - 2, 0)], periodic)
        p = decoded[t - 1] + scale.reshape(tall) * change
        steps = 2 * eps.reshape(tall)
        np.testing.assert_allclose(decoded[t] - steps * q[t], p, atol=1e-9)
        assert np.abs((x[t] - p) / steps - q[t]).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(("share", "kept"), [(1e-9, False), (1e9, True)])
def test_a_polynomial_of_the_second_frame_stays_where_it_saves_more_than_it_weighs(share, kept):
    runs = [flame()[i : i + 20] for i in range(0, 200, 20)]
    method = fit_stencil(runs, bounds(flame(), 1e-3), (True,), share=share)
    assert (method.start is not None) == kept


@pytest.mark.parametrize("at", [0, 1, 5])
@pytest.mark.parametrize("value", [1e30, -1e18, 1e300])
def test_a_value_beyond_all_bounds_spoils_none_before_and_decodes_alike(at, value):
    x = flame()[:9].copy()
    eps = bounds(x, 1e-3)
    method = fit_stencil([flame()], eps, (True,))
    clean = method.encode(x[:at], eps)[1] if at else x[:0]
    x[at, 0, 40] = value
    with np.errstate(all="ignore"):
        payload, decoded = method.encode(x, eps)
        again = method.decode(payload, x.shape, eps)
    assert again.tobytes() == decoded.tobytes()
    if at:
        np.testing.assert_array_equal(decoded[:at], clean)
        assert worst(decoded[:at], x[:at], eps) < 1 + 1e-9


def test_rounding_one_weight_is_made_up_for_by_the_others():
    """Of features that are nearly the same, in the error of what is predicted."""
    errors = np.zeros(2)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        f = rng.normal(size=(1, 200)) + 0.3 * rng.normal(size=(12, 200))
        W, step = rng.normal(size=(2, 12)), np.array([0.05, 0.2])
        found = rounded(W, f @ f.T, step)
        np.testing.assert_allclose(found / step[:, None], np.rint(found / step[:, None]), atol=1e-9)
        plain = np.rint(W / step[:, None]) * step[:, None]
        errors += [np.square((w - W) @ f).sum() for w in (found, plain)]
    assert errors[0] < 0.3 * errors[1]
