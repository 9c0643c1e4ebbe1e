"""Convolutional networks on grids of any size: shapes, symmetry, the start at zero."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from romae.errors import OptionError
from romae.nets.activations import Activation, activation
from romae.nets.axis import AxisConv, AxisConvTranspose
from romae.nets.conv import ConvDecoder, ConvEncoder, Residual
from romae.nets.dense import MLP
from romae.nets.grid import COARSEST, ConvSpec, Down, Grid, Up
from romae.nets.resize import interpolate

grids = st.integers(1, 3).flatmap(
    lambda d: st.tuples(
        st.lists(st.integers(1, (97, 23, 9)[d - 1]), min_size=d, max_size=d),
        st.lists(st.booleans(), min_size=d, max_size=d),
    )
)


@given(
    grid=grids,
    patch=st.sampled_from([None, 1, 2, 4]),
    levels=st.sampled_from([None, 0, 1, 2]),
    down=st.sampled_from(get_args(Down)),
    up=st.sampled_from(get_args(Up)),
    act=st.sampled_from(get_args(Activation)),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_every_grid_passes_down_and_up(grid, patch, levels, down, up, act):
    shape, periodic = tuple(grid[0]), tuple(grid[1])
    g = Grid(shape, periodic)
    plan = g.plan(patch, levels)
    spec = ConvSpec(g, tuple(plan), (3,) * len(plan), act=act, head=5, down=down, up=up)
    torch.manual_seed(0)
    x = torch.randn(2, 2, *shape)
    h = ConvEncoder(2, 4, spec)(x)
    assert torch.equal(h, torch.zeros(2, 4))
    assert torch.equal(ConvDecoder(4, 2, spec)(h), torch.zeros_like(x))


@given(grid=grids, patch=st.sampled_from([None, 1, 2, 3, 4, 8]), levels=st.integers(0, 4))
@settings(deadline=None)
def test_a_plan_keeps_cells_on_every_axis(grid, patch, levels):
    shape, periodic = grid
    plan = Grid(tuple(shape), tuple(periodic)).plan(patch, levels)
    assert len(plan) == 1 + levels
    for i, n in enumerate(shape):
        for factors in plan:
            n = -(-n // factors[i])
            assert factors[i] == 1 or n >= COARSEST
    if patch is not None:
        assert all(1 <= f <= patch for f in plan[0])
    assert all(f in (1, 2) for factors in plan[1:] for f in factors)


@given(grid=grids)
@settings(deadline=None)
def test_a_chosen_plan_leaves_a_small_grid_where_it_can(grid):
    plan = Grid(*map(tuple, grid)).plan(patch=None, levels=None)
    sizes = list(grid[0])
    for factors in plan:
        sizes = [-(-n // f) for n, f in zip(sizes, factors, strict=True)]
    assert math.prod(sizes) <= 64 or max(sizes) < 2 * COARSEST


def rolled(x: torch.Tensor, axis: int) -> torch.Tensor:
    return x.roll(2, dims=2 + axis)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_convolution_commutes_with_shifts_along_periodic_axes_only(d, kernel):
    torch.manual_seed(1)
    periodic = [True, False, True][:d]
    conv = AxisConv(2, 3, periodic=periodic, kernel=kernel).double()
    x = torch.randn(1, 2, *(7, 6, 5)[:d], dtype=torch.float64)
    for axis in range(d):
        same = torch.allclose(conv(rolled(x, axis)), rolled(conv(x), axis), atol=1e-12)
        assert same == (periodic[axis] or kernel == 1)


def test_a_strided_convolution_commutes_with_shifts_by_its_stride():
    torch.manual_seed(1)
    conv = AxisConv(1, 2, periodic=[True, True], kernel=3, stride=(2, 1)).double()
    x = torch.randn(1, 1, 8, 6, dtype=torch.float64)
    assert conv(x).shape == (1, 2, 4, 6)
    assert torch.allclose(conv(x.roll(2, 2)), conv(x).roll(1, 2), atol=1e-12)


@given(
    periodic=st.lists(st.booleans(), min_size=1, max_size=3),
    patch=st.sampled_from([1, 2, 3]),
    down=st.sampled_from(get_args(Down)),
    up=st.sampled_from(get_args(Up)),
    data=st.data(),
)
@settings(deadline=None, max_examples=40)
def test_a_shift_by_the_coarsening_commutes_along_periodic_axes(periodic, patch, down, up, data):
    d = len(periodic)
    plan = ((patch,) * d, tuple(data.draw(st.sampled_from([1, 2])) for _ in range(d)), (2,) * d)
    total = [math.prod(f) for f in zip(*plan, strict=True)]
    grid = Grid(tuple((5, 4, 3)[i] * f for i, f in enumerate(total)), tuple(periodic))
    torch.manual_seed(data.draw(st.integers(0, 9)))
    spec = ConvSpec(grid, plan, (3, 4, 3), act="tanh", head=4, down=down, up=up)
    encoder, decoder = ConvEncoder(1, 2, spec).double(), ConvDecoder(2, 1, spec).double()
    for parameter in [*encoder.parameters(), *decoder.parameters()]:
        torch.nn.init.normal_(parameter, std=0.2)  # the zero layers too
    x = torch.randn(1, 1, *grid.shape, dtype=torch.float64)
    coarse = encoder.features(x)
    fine = decoder.field(coarse)
    for axis in range(d):
        down_too = encoder.features(x.roll(total[axis], 2 + axis))
        assert torch.allclose(down_too, coarse.roll(1, 2 + axis)) == periodic[axis]
        up_too = decoder.field(coarse.roll(1, 2 + axis))
        assert torch.allclose(up_too, fine.roll(total[axis], 2 + axis)) == periodic[axis]


factors = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 5)), min_size=1, max_size=3)


@given(axes=factors)
@settings(deadline=None)
def test_transposed_convolution_reaches_every_cell_alike(axes):
    """Equal weights make a constant of a constant: no checkerboard."""
    space, steps = zip(*axes, strict=True)
    conv = AxisConvTranspose(1, 1, periodic=[False] * len(axes), factors=steps)
    torch.nn.init.ones_(conv.conv.weight)
    torch.nn.init.zeros_(conv.conv.bias)
    y = conv(torch.ones(1, 1, *space))
    assert y.shape[2:] == tuple(n * f for n, f in axes)
    assert y.unique().tolist() == [math.prod(2 if f > 1 else 3 for f in steps)]


@given(axes=factors, wrap=st.booleans())
@settings(deadline=None)
def test_interpolation_is_linear_between_centres(axes, wrap):
    space, steps = zip(*axes, strict=True)
    x = torch.randn(2, 1, *space, dtype=torch.float64)
    y = interpolate(x, steps, [wrap] * len(axes))
    for axis, (n, f) in enumerate(axes, start=2):  # one axis after the other, by its definition
        where = (torch.arange(n * f, dtype=torch.float64) + 0.5) / f - 0.5
        low = where.floor()
        share = (where - low).reshape(-1, *[1] * (x.ndim - axis - 1))
        index = [i.long() % n if wrap else i.long().clamp(0, n - 1) for i in (low, low + 1)]
        x = x.index_select(axis, index[0]) * (1 - share) + x.index_select(axis, index[1]) * share
    assert torch.allclose(y, x)


def test_sine_starts_with_a_spread_that_depth_does_not_change():
    torch.manual_seed(0)
    net = MLP(64, 1, hidden=(512,) * 6, act="sine")
    x, spreads = torch.randn(2000, 64), []
    for layer in net.layers[:-1]:
        x = layer(x).detach()
        spreads.append(float(x.std()))
    limit = 0.631  # sqrt(v / 2) where v = 1 - exp(-2 v), for inputs of variance v
    assert abs(spreads[-1] - limit) < 0.03
    assert all(0.3 < s < 0.75 for s in spreads[1::2])


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_convolution_takes_a_constant_to_a_constant(d):
    """No border effect, whatever the padding: zeros outside would show here."""
    conv = AxisConv(1, 1, periodic=[True, False, False][:d], kernel=5)
    y = conv(torch.full((1, 1, *(6, 7, 8)[:d]), 3.0)).detach()
    assert float((y - y.flatten()[0]).abs().max()) < 1e-5


def test_networks_start_at_zero_where_a_residual_wants_it():
    torch.manual_seed(0)
    grid = Grid((9, 7), (True, False))
    plan = tuple(grid.plan(None, None))
    spec = ConvSpec(grid, plan, (4,) * len(plan), head=6)
    assert torch.equal(ConvEncoder(2, 3, spec)(torch.randn(5, 2, 9, 7)), torch.zeros(5, 3))
    decoder = ConvDecoder(3, 2, spec)
    assert torch.equal(decoder(torch.randn(5, 3)), torch.zeros(5, 2, 9, 7))
    block = Residual(3, periodic=(True, False), kernel=3, act="gelu")
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(block(x), x)
    assert torch.equal(MLP(3, 2, zero_last=True)(torch.randn(4, 3)), torch.zeros(4, 2))
    assert MLP(3, 2)(torch.randn(4, 3)).abs().max() > 0


def test_what_starts_at_zero_still_learns():
    """Layers before a zero layer get their gradient an update later, but all get one."""
    grid = Grid((8,), (True,))
    decoder = ConvDecoder(2, 1, ConvSpec(grid, tuple(grid.plan(2, 1)), (4, 4), head=6))
    optimiser = torch.optim.SGD(decoder.parameters(), lr=0.1)
    z = torch.randn(3, 2)
    for _ in range(4):
        optimiser.zero_grad()
        (decoder(z) - 1).square().mean().backward()
        optimiser.step()
    assert all(p.grad.abs().max() > 0 for p in decoder.parameters())


def test_dense_widths():
    net = MLP(3, 2, hidden=(5, 7), act="tanh")
    shapes = [tuple(p.shape) for p in net.parameters() if p.ndim == 2]
    assert shapes == [(5, 3), (7, 5), (2, 7)]
    assert MLP(3, 2, hidden=())(torch.zeros(4, 3)).shape == (4, 2)


def test_unknown_activation_names_the_nearest():
    with pytest.raises(OptionError, match=r"unknown activation 'gleu'.*Did you mean 'gelu'"):
        activation("gleu")
