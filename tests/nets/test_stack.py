"""Networks on one vector of parameters: values and derivatives are those of the layers."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr
from torch import nn

from romae.nets import stack as module
from romae.nets.activations import Activation
from romae.nets.dense import MLP, stack_layers, unstack_layers

ACTS = list(Activation.__args__)
every = pytest.mark.parametrize("act", ACTS)


@pytest.fixture(params=["compiled", "library"])
def loops(request, monkeypatch):
    if request.param == "library":
        monkeypatch.setattr(module, "compiled_kernels", lambda: None)


def pair(act, hidden=(7, 5), inputs=4, outputs=3):
    torch.manual_seed(0)
    plain = MLP(inputs, outputs, hidden=hidden, act=act)
    for p in plain.parameters():
        nn.init.normal_(p, std=0.3)
    stacked = copy.deepcopy(plain)
    return plain, stacked, stack_layers(stacked)[0]


def gradients(net, leaves, x, g):
    return torch.autograd.grad(net(x), [x, *leaves], g)


@every
@pytest.mark.parametrize("hidden", [(), (6,), (7, 5), (9, 9, 9)])
def test_values_and_derivatives_are_those_of_the_layers(act, hidden, loops):
    plain, stacked, stack = pair(act, hidden)
    x, g = torch.randn(11, 4, requires_grad=True), torch.randn(11, 3)
    torch.testing.assert_close(stacked(x), plain(x), rtol=1e-5, atol=1e-6)
    dx, *expected = gradients(plain, plain.parameters(), x, g)
    mine, theta = gradients(stacked, [stack.theta], x, g)
    torch.testing.assert_close(mine, dx, rtol=1e-5, atol=1e-5)
    weights, biases = stack.parts(theta)
    found = [t for both in zip(weights, biases, strict=True) for t in both]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@every
def test_two_calls_in_one_objective_add_up(act):
    plain, stacked, stack = pair(act, outputs=4)
    x = torch.randn(6, 4)
    plain(plain(x)).square().sum().backward()
    stacked(stacked(x)).square().sum().backward()
    weights, biases = stack.parts(stack.theta.grad)
    found = [t for both in zip(weights, biases, strict=True) for t in both]
    torch.testing.assert_close(found, [p.grad for p in plain.parameters()], rtol=1e-4, atol=1e-4)


@every
def test_second_derivatives_too(act):
    plain, stacked, stack = pair(act)
    x = torch.randn(6, 4, requires_grad=True)

    def slope(net):
        (dx,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
        return dx.square().sum()

    slope(plain).backward()
    slope(stacked).backward()
    weights, biases = stack.parts(stack.theta.grad)
    found = [t for both in zip(weights, biases, strict=True) for t in both]
    torch.testing.assert_close(found, [p.grad for p in plain.parameters()], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mixed_precision_is_left_to_the_library(dtype):
    plain, stacked, stack = pair("gelu")
    x = torch.randn(6, 4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        assert stack.suits(x) == (dtype == torch.float32)
        torch.testing.assert_close(stacked(x), plain(x))
        stacked(x).float().sum().backward()
    assert stack.theta.grad is not None


def test_layers_and_vector_are_in_step_until_they_part():
    plain, stacked, stack = pair("gelu")
    with torch.no_grad():
        stack.theta.mul_(2)
    stacked.load_state_dict({k: v + 1 for k, v in stacked.state_dict().items()})
    expected = {k: 2 * v + 1 for k, v in plain.state_dict().items()}
    torch.testing.assert_close(dict(stacked.state_dict()), expected)
    unstack_layers(stacked)
    assert stacked.stack is None
    with torch.no_grad():
        stack.theta.zero_()
    torch.testing.assert_close(dict(stacked.state_dict()), expected)
    places = [p.untyped_storage().data_ptr() for p in stacked.parameters()]
    assert len(set(places)) == len(places)  # safetensors refuses what shares memory


def test_networks_of_which_a_part_is_fixed_stay_as_they_are():
    net = MLP(3, 2, hidden=(4,))
    net.layers[0].weight.requires_grad_(False)
    assert stack_layers(net) == []
    assert net.stack is None


@given(st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=70))
def test_the_compiled_gelu_is_exact_to_rounding(values):
    kernels = module.compiled_kernels()
    u = np.array(values, np.float32)[None]
    b, y, slope = np.full(u.shape[1], 0.25, np.float32), np.empty_like(u), np.empty_like(u)
    kernels.gelu(u, b, y, slope)
    x = (u + b).astype(float)
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(y, x * ndtr(x), rtol=3e-7, atol=5e-7 * np.abs(x).max() + 1e-12)
    np.testing.assert_allclose(slope, ndtr(x) + x * density, atol=5e-7)


def test_numbers_that_are_none_stay_none():
    kernels = module.compiled_kernels()
    u = np.array([[np.nan, np.inf, 1.0]], np.float32)
    y, slope = np.empty_like(u), np.empty_like(u)
    kernels.gelu(u, np.zeros(3, np.float32), y, slope)
    assert np.isnan(y[0, 0])
    assert y[0, 1] == np.inf
