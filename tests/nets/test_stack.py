"""Networks on one vector of parameters: values and derivatives are those of the layers."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr
from torch import nn
from torch.autograd import forward_ad

from romae.nets import curves as module
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


def test_any_shape_and_layout_of_inputs():
    plain, stacked, _ = pair("gelu")
    wide = torch.randn(4, 9)
    cases = {
        "turned": wide.T,
        "every second": wide.T[::2],
        "repeated": torch.ones(1, 4).expand(5, 4),
        "one": torch.randn(1, 4),
        "none": torch.empty(0, 4),
        "a vector": torch.randn(4),
        "three axes": torch.randn(2, 3, 4),
    }
    for name, x in cases.items():
        x = x.detach().requires_grad_()
        found, expected = stacked(x), plain(x)
        torch.testing.assert_close(found, expected, msg=name)
        slopes = [torch.autograd.grad(y.sum(), x)[0] for y in (found, expected)]
        torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-6, msg=name)


def test_other_precisions_are_left_to_the_library():
    plain = MLP(4, 3, hidden=(5,)).double()
    stacked = copy.deepcopy(plain)
    stack_layers(stacked)
    x = torch.randn(6, 4).double()
    torch.testing.assert_close(stacked(x), plain(x), rtol=0, atol=0)


@every
def test_nothing_given_out_is_written_again(act, loops):
    """Values and derivatives that somebody keeps are as they were after further calls."""
    _, stacked, stack = pair(act, outputs=4)
    x = torch.randn(6, 4, requires_grad=True)
    before = x.detach().clone()
    y = stacked(x)
    kept = [y, *torch.autograd.grad(y.sum(), [x, stack.theta], retain_graph=True)]
    copies = [t.detach().clone() for t in kept]
    for _ in range(2):
        torch.autograd.grad(stacked(stacked(torch.randn(6, 4))).sum(), stack.theta)
    torch.testing.assert_close(kept, copies, rtol=0, atol=0)
    torch.testing.assert_close(x.detach(), before, rtol=0, atol=0)
    again = torch.autograd.grad(y.sum(), [x, stack.theta])  # from what the call had left behind
    torch.testing.assert_close(list(again), copies[1:], rtol=0, atol=0)


def test_networks_in_two_threads_do_not_meet():
    nets = [pair("gelu", hidden=(64, 64))[1:] for _ in range(2)]
    x = [torch.randn(200, 4), torch.randn(200, 4)]

    def work(i):
        net, stack = nets[i]
        found = [torch.autograd.grad(net(x[i]).square().sum(), stack.theta)[0] for _ in range(30)]
        return torch.stack(found)

    alone = [work(i) for i in range(2)]
    with ThreadPoolExecutor(2) as pool:
        torch.testing.assert_close(list(pool.map(work, range(2))), alone, rtol=0, atol=0)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_have_layers_of_their_own(way):
    plain, stacked, stack = pair("gelu")
    twin = way(stacked)
    assert twin.stack is None
    assert stacked.stack is stack
    with torch.no_grad():
        stack.theta.zero_()
    torch.testing.assert_close(twin(torch.ones(2, 4)), plain(torch.ones(2, 4)))
    with torch.no_grad():
        twin.layers[0].weight.fill_(1)
    assert not stack.theta.any()


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own
@pytest.mark.parametrize("way", ["jvp", "jacfwd", "vmap", "forward"])
def test_transformations_see_the_layers(way):
    plain, stacked, _ = pair("gelu")
    x, v = torch.randn(5, 4), torch.randn(5, 4)

    def apply(net):
        if way == "jvp":
            return torch.func.jvp(net, (x,), (v,))
        if way == "jacfwd":
            return torch.func.jacfwd(net)(x)
        if way == "vmap":
            return torch.func.vmap(net)(torch.stack([x, v]))
        with forward_ad.dual_level():
            return forward_ad.unpack_dual(net(forward_ad.make_dual(x, v))).tangent

    torch.testing.assert_close(apply(stacked), apply(plain), rtol=1e-5, atol=1e-6)


def test_a_compiler_sees_the_layers(monkeypatch):
    _, _, stack = pair("gelu")
    assert stack.suits(torch.ones(2, 4))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not stack.suits(torch.ones(2, 4))


def test_networks_that_are_more_than_their_layers_stay_as_they_are():
    hooked, parametrised, first, second = (MLP(3, 3, hidden=(4,)) for _ in range(4))
    hooked.layers[0].register_forward_hook(lambda *_: None)
    nn.utils.parametrizations.orthogonal(parametrised.layers[0])
    second.layers[0].weight = first.layers[0].weight
    net = nn.ModuleList([hooked, parametrised, first, second])
    assert stack_layers(net) == []
    assert len(stack_layers(nn.ModuleList([MLP(3, 3)] * 2))) == 1  # one network used twice


def test_derivatives_by_the_layers_themselves_count_too():
    plain, stacked, stack = pair("gelu")
    x = torch.randn(6, 4)

    def loss(net):
        return net(x).square().sum() + net.layers[2].weight.square().sum() + net.layers(x).sum()

    loss(plain).backward()
    loss(stacked).backward()
    stack.collect()
    weights, biases = stack.parts(stack.theta.grad)
    found = [t for both in zip(weights, biases, strict=True) for t in both]
    torch.testing.assert_close(found, [p.grad for p in plain.parameters()], rtol=1e-4, atol=1e-5)
    assert all(p.grad is None for p in stacked.parameters())
