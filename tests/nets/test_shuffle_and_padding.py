"""Space to channels and back, and padding: exact rearrangements, as numpy and torch make them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.nets.padding import PadToMultiple, pad_axes
from romae.nets.shuffle import shuffle, unshuffle

MODES = {True: "wrap", False: "edge"}


def numbered(*shape: int) -> torch.Tensor:
    """A tensor whose entries are all different."""
    return torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(shape)


axes = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=3)


@given(axes=axes, batch=st.integers(1, 2), channels=st.integers(1, 3))
@settings(deadline=None)
def test_shuffle_and_unshuffle_are_inverse(axes, batch, channels):
    coarse, factors = zip(*axes, strict=True)
    fine = [n * f for n, f in axes]
    x = numbered(batch, channels, *fine)
    folded = unshuffle(x, factors)
    assert folded.shape == (batch, channels * int(np.prod(factors)), *coarse)
    assert torch.equal(shuffle(folded, factors), x)
    assert torch.equal(unshuffle(shuffle(folded, factors), factors), folded)


@given(axes=axes)
@settings(deadline=None)
def test_unshuffle_puts_the_cells_of_a_block_into_channels(axes):
    coarse, factors = zip(*axes, strict=True)
    x = numbered(1, 2, *(n * f for n, f in axes))
    folded = unshuffle(x, factors)
    cell = tuple(n - 1 for n in coarse)
    block = tuple(slice(c * f, (c + 1) * f) for c, f in zip(cell, factors, strict=True))
    assert torch.equal(folded[(0, slice(None), *cell)], x[(0, slice(None), *block)].flatten())


@pytest.mark.parametrize("factor", [2, 3])
def test_in_2d_they_are_those_of_torch(factor):
    x = numbered(2, 3 * factor**2, 5, 4)
    fine = torch.nn.functional.pixel_shuffle(x, factor)
    assert torch.equal(shuffle(x, (factor, factor)), fine)
    assert torch.equal(unshuffle(fine, (factor, factor)), x)


padded_axes = st.lists(
    st.tuples(st.integers(1, 5), st.integers(0, 7), st.integers(0, 7), st.booleans()),
    min_size=1,
    max_size=3,
)


@given(axes=padded_axes)
@settings(deadline=None)
def test_padding_is_that_of_numpy_axis_by_axis(axes):
    shape = [n for n, *_ in axes]
    x = numbered(2, 2, *shape)
    widths, periodic = [(a, b) for _, a, b, _ in axes], [p for *_, p in axes]
    expected = x.numpy()
    for i, (width, wrap) in enumerate(zip(widths, periodic, strict=True), start=2):
        amount = [(0, 0)] * x.ndim
        amount[i] = width
        expected = np.pad(expected, amount, mode=MODES[wrap])
    np.testing.assert_array_equal(pad_axes(x, widths, periodic).numpy(), expected)


@given(axes=padded_axes)
@settings(deadline=None)
def test_the_derivative_of_padding_is_its_transpose(axes):
    """<g, P x> = <P^T g, x> for the linear map P, and so again for the derivative itself."""
    widths, periodic = [(a, b) for _, a, b, _ in axes], [p for *_, p in axes]
    x = torch.randn(2, 3, *(n for n, *_ in axes), dtype=torch.float64, requires_grad=True)
    y = pad_axes(x, widths, periodic)
    np.testing.assert_array_equal(y.detach(), pad_axes(x.detach(), widths, periodic))
    g = torch.randn_like(y, requires_grad=True)
    (dx,) = torch.autograd.grad(y, x, g, create_graph=True)
    torch.testing.assert_close((dx * x).sum(), (g * y).sum())
    v = torch.randn_like(x)
    (twice,) = torch.autograd.grad(dx, g, v)
    torch.testing.assert_close(twice, pad_axes(v, widths, periodic))


def test_gradients_pass_through_wide_padding():
    x = torch.ones(1, 1, 3, requires_grad=True)
    pad_axes(x, [(4, 4)], [True]).sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [4.0, 3.0, 4.0]  # 11 values from 3 cells


@given(
    shape=st.lists(st.integers(1, 13), min_size=1, max_size=3),
    factor=st.integers(1, 8),
    wrap=st.booleans(),
)
@settings(deadline=None)
def test_extend_reaches_the_next_multiple_and_crop_undoes_it(shape, factor, wrap):
    d = len(shape)
    pad = PadToMultiple(shape, [factor] * d, [wrap] * d)
    x = numbered(1, 2, *shape)
    wide = pad.extend(x)
    assert wide.shape[2:] == pad.padded
    assert all(
        n <= m < n + factor and m % factor == 0 for n, m in zip(shape, pad.padded, strict=True)
    )
    assert torch.equal(pad.crop(wide), x)
