"""Convolutional networks on grids of any size: shapes, symmetry, the start at zero."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from romae.errors import OptionError
from romae.nets.activations import activation
from romae.nets.conv import AxisConv, ConvDecoder, ConvEncoder, Residual
from romae.nets.dense import MLP
from romae.nets.grid import COARSEST, ConvSpec, Grid

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
    down=st.sampled_from(["strided", "unshuffle"]),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_every_grid_passes_down_and_up(grid, patch, levels, down):
    shape, periodic = tuple(grid[0]), tuple(grid[1])
    g = Grid(shape, periodic)
    plan = g.plan(patch, levels)
    spec = ConvSpec(g, tuple(plan), (3,) * len(plan), head=5, down=down)
    torch.manual_seed(0)
    x = torch.randn(2, 2, *shape)
    h = ConvEncoder(2, 4, spec)(x)
    assert h.shape == (2, 4)
    assert ConvDecoder(4, 2, spec)(h).shape == x.shape


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
