"""Bottlenecks: what they let through, what they charge for, and what they say about the latents."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from romae import parts
from romae.errors import OptionError
from romae.reducers import PODAutoencoder

EXAMPLES = {
    "plain": parts.Plain(),
    "saturated": parts.Saturated(),
    "sparse": parts.Sparse(),
    "variational": parts.Variational(),
    "quantised": parts.VectorQuantised(codes=8, group=2),
    "rank": parts.RankFinding(),
    "ordered": parts.Ordered(),
}
every = pytest.mark.parametrize("kind", EXAMPLES)
K = 4


def latents(rows=200, width=K, seed=0):
    """(rows, width), standard deviations 1, 1/2, 1/3, ..., uncorrelated as POD coordinates are."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.standard_normal((rows, width)) - 0.0)
    return torch.from_numpy((q * rows**0.5 / np.arange(1, width + 1)).astype("f4"))


def begun(kind, h=None):
    squeeze = EXAMPLES[kind].module(K)
    h = latents() if h is None else h
    wide = torch.nn.functional.pad(h, (0, squeeze.width - K))
    torch.manual_seed(0)
    squeeze.begin(wide)
    return squeeze, wide


def test_every_bottleneck_is_tested_here():
    family = parts.Bottleneck.kinds().items()
    assert {k for k, c in family if c.__module__.startswith("romae.")} == EXAMPLES.keys()


@every
def test_the_decoder_begins_with_pod_coordinates(kind):
    squeeze, wide = begun(kind)
    with torch.no_grad():
        out = squeeze.expand(squeeze.code(wide))
    rounded = {"quantised": 0.5, "saturated": 0.2}
    tolerance = rounded.get(kind, 1e-6)
    assert float((out - wide[:, :K]).square().mean().sqrt()) < tolerance


@every
def test_use_is_not_random_and_training_is_finite(kind):
    squeeze, wide = begun(kind)
    assert torch.equal(squeeze.code(wide), squeeze.code(wide))
    assert torch.allclose(squeeze.code(wide)[:7], squeeze.code(wide[:7]), atol=1e-6)
    wide.requires_grad_()
    for rows in (wide, wide[:1]):  # the last batch may hold one snapshot
        z, penalty = squeeze(rows, 0.5)
        assert z.shape == (len(rows), K)
        (z.square().sum() + penalty).backward()
        assert torch.isfinite(wide.grad).all()
        assert math.isfinite(float(torch.as_tensor(penalty).detach()))


@every
def test_validation_leaves_the_module_alone(kind):
    squeeze, wide = begun(kind)
    before = {k: v.clone() for k, v in squeeze.state_dict().items()}
    squeeze.eval()
    squeeze(wide, 1.0)
    assert all(torch.equal(v, before[k]) for k, v in squeeze.state_dict().items())


@every
def test_the_state_is_all_there_is(kind):
    squeeze, wide = begun(kind)
    squeeze.finish(wide)
    other = EXAMPLES[kind].module(K)
    other.load_state_dict(squeeze.state_dict())
    assert torch.equal(other.code(wide), squeeze.code(wide))
    z = squeeze.code(wide)
    assert torch.equal(other.expand(z), squeeze.expand(z))
    assert other.report() == squeeze.report()
    assert all(math.isfinite(v) for v in squeeze.report().values())


# -- variational ------------------------------------------------------------------------------


def test_the_penalty_is_the_divergence_from_the_prior():
    squeeze, wide = begun("variational")
    wide[:, K:] = torch.randn(len(wide), K, generator=torch.Generator().manual_seed(1))
    mu = squeeze.code(wide)
    sigma = (0.1**2 * wide[:, K:].exp()).sqrt()
    prior = torch.distributions.Normal(0.0, 1.0)
    nats = torch.distributions.kl_divergence(torch.distributions.Normal(mu, sigma), prior)
    expected = 1e-3 * float(nats.sum(1).mean())
    assert float(squeeze(wide, 1.0)[1]) == pytest.approx(expected, rel=1e-4)
    assert float(squeeze(wide, 0.1)[1]) == pytest.approx(expected / 2, rel=1e-4)
    assert float(squeeze(wide, 0.0)[1]) == 0.0


def test_latents_begin_with_the_variance_of_the_prior_and_little_noise():
    squeeze, wide = begun("variational")
    np.testing.assert_allclose(squeeze.code(wide).std(0, correction=0), 1, rtol=1e-5)
    noise = squeeze(wide, 0.0)[0] - squeeze.code(wide)
    assert float(noise.std()) == pytest.approx(0.1, rel=0.1)


def test_latents_are_drawn_from_the_prior():
    squeeze, _ = begun("variational")
    z = squeeze.draw(20_000, torch.Generator().manual_seed(3))
    assert z.shape == (20_000, K)
    np.testing.assert_allclose(z.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(z.std(0), 1, atol=0.05)
    assert EXAMPLES["plain"].module(K).draw(3) is None


def test_latents_out_of_use_are_counted():
    squeeze, wide = begun("variational")
    wide[:, 2] = 0
    squeeze.finish(wide)
    assert squeeze.report() == {"active": 3.0}


# -- sparse -----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [None, 0.05])
@given(scale=st.floats(1e-2, 1e2))
def test_the_scale_of_the_latents_does_not_matter(target, scale):
    squeeze = parts.Sparse(target=target).module(K)
    h = latents()
    assert float(squeeze(h * scale, 0.0)[1]) == pytest.approx(float(squeeze(h, 0.0)[1]), rel=1e-3)


def test_l1_by_hand():
    squeeze = parts.Sparse(weight=2.0).module(K)
    assert float(squeeze(torch.ones(8, K), 0.0)[1]) == pytest.approx(2.0)
    assert float(squeeze(torch.eye(K), 0.0)[1]) == pytest.approx(2.0 / K**0.5)


def test_kl_by_hand():
    """+-1: a = 1/2; one row in five at work, of size 1: a = 0.2 * 1 / (1 + 0.2)."""
    h = torch.zeros(10, 1)
    h[:2] = 1.0
    a, t = 0.2 / 1.2, 0.05
    divergence = t * math.log(t / a) + (1 - t) * math.log((1 - t) / (1 - a))
    squeeze = parts.Sparse(target=t, weight=3.0).module(1)
    assert float(squeeze(h, 0.0)[1]) == pytest.approx(3 * divergence, rel=1e-5)
    assert float(parts.Sparse(target=a).module(1)(h, 0.0)[1]) == pytest.approx(0, abs=1e-7)


def test_rest_is_counted():
    squeeze, _ = begun("sparse")
    squeeze.finish(torch.eye(K))
    assert squeeze.report() == {"idle": pytest.approx(1 - 1 / K)}


# -- rank -------------------------------------------------------------------------------------


def test_the_rank_of_what_comes_in_is_found():
    squeeze, _ = begun("rank")
    mix = torch.linalg.qr(torch.randn(K, K, generator=torch.Generator().manual_seed(2)))[0]
    h = (latents() * torch.tensor([1.0, 1.0, 1e-4, 0.0])) @ mix + 3.0
    squeeze.finish(h)
    assert squeeze.report() == {"rank": 2.0}
    z = squeeze.code(h).detach()
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(0, correction=0), squeeze.deviations, atol=1e-5)
    covariance = z.T @ z / len(z)
    np.testing.assert_allclose(covariance, torch.diag(squeeze.deviations**2), atol=1e-5)
    assert (squeeze.deviations.diff() <= 0).all()
    np.testing.assert_allclose(squeeze.expand(z).detach(), h, atol=1e-5)
    z[:, 2:] = 0  # what truncation does
    assert float((squeeze.expand(z) - h).abs().max()) < 1e-3


def test_the_least_penalty_is_a_norm_that_counts_directions():
    """For a product diag(sigma) shared evenly by the layers: decay L sum sigma^(2/L)."""
    squeeze = parts.RankFinding(layers=3, decay=0.1).module(2)
    sigma = torch.tensor([0.5, 0.01])
    with torch.no_grad():
        for W in squeeze.layers:
            W.copy_(torch.diag(sigma ** (1 / 3)))
    expected = 0.1 * 3 * float((sigma ** (2 / 3)).sum())
    assert float(squeeze(latents(width=2), 0.0)[1].detach()) == pytest.approx(expected, rel=1e-5)


# -- ordered ----------------------------------------------------------------------------------


def test_the_first_latents_are_kept_and_sizes_are_spread_evenly():
    squeeze, _ = begun("ordered")
    kept = squeeze(torch.ones(4 * K, K), 0.0)[0].sum(1).long().tolist()
    z = squeeze(torch.ones(4 * K, K), 0.0)[0]
    assert (z.diff(dim=1) <= 0).all()
    assert sorted(kept) == sorted([1, 2, 3, 4] * 4)


def test_a_rate_favours_the_small_sizes():
    squeeze = parts.Ordered(rate=0.5).module(3)
    kept = squeeze(torch.ones(7000, 3), 0.0)[0].sum(1)
    shares = [float((kept == j).float().mean()) for j in (1, 2, 3)]
    np.testing.assert_allclose(shares, [4 / 7, 2 / 7, 1 / 7], atol=0.001)


# -- vector-quantised -------------------------------------------------------------------------


def test_the_nearest_code_is_taken():
    squeeze, wide = begun("quantised")
    n = squeeze.indices(wide)
    cut = wide.reshape(-1, 2, 2)
    for g in range(2):
        far = torch.cdist(cut[:, g], squeeze.codes[g])
        chosen = far.gather(1, n[:, g : g + 1])[:, 0]
        np.testing.assert_allclose(chosen, far.min(1).values, rtol=1e-4, atol=1e-6)
    z = squeeze.code(wide)
    assert torch.equal(squeeze.look_up(n), z)
    assert torch.equal(squeeze.indices(z), n)


def test_as_many_codes_as_points_lose_nothing():
    points = torch.tensor([[0.0], [1.0], [5.0], [5.1]])
    squeeze = parts.VectorQuantised(codes=6).module(1)
    h = points.repeat(9, 1)
    torch.manual_seed(0)
    squeeze.begin(h)
    np.testing.assert_allclose(squeeze.code(h), h, atol=1e-6)


def test_gradients_pass_straight_through():
    squeeze, wide = begun("quantised")
    wide.requires_grad_()
    z, _ = squeeze.eval()(wide, 0.0)
    np.testing.assert_allclose(z.detach(), squeeze.code(wide).detach(), atol=1e-6)
    z.sum().backward()
    assert torch.equal(wide.grad, torch.ones_like(wide))


def test_codes_follow_the_running_mean_of_what_chose_them():
    squeeze = parts.VectorQuantised(codes=2, keep=0.75).module(1)
    squeeze.codes.copy_(torch.tensor([[[0.0], [10.0]]]))
    squeeze.counts.copy_(torch.tensor([[4.0, 4.0]]))
    squeeze.train()(torch.tensor([[1.0], [3.0], [9.0]]), 0.0)
    # N: 3 + 2/4 and 3 + 1/4; e: (3 * 0 + 4/4) / 3.5 and (3 * 10 + 9/4) / 3.25
    np.testing.assert_allclose(squeeze.counts, [[3.5, 3.25]])
    np.testing.assert_allclose(squeeze.codes[0, :, 0], [1 / 3.5, 32.25 / 3.25], rtol=1e-6)


def test_a_code_that_nothing_chooses_comes_back():
    squeeze = parts.VectorQuantised(codes=3, keep=0.5).module(1)
    squeeze.codes.copy_(torch.tensor([[[0.0], [1.0], [1e6]]]))
    h = torch.tensor([[0.0], [1.0]]).repeat(8, 1)
    torch.manual_seed(0)
    for _ in range(8):
        squeeze.train()(h, 0.0)
    assert float(squeeze.codes.max()) <= 1.0
    np.testing.assert_allclose(squeeze.code(h), h, atol=1e-4)


def test_the_use_of_codes_is_reported():
    squeeze = parts.VectorQuantised(codes=4).module(1)
    squeeze.codes.copy_(torch.arange(4.0).reshape(1, 4, 1))
    squeeze.finish(torch.tensor([[0.0], [0.1], [1.0], [1.1]]))
    assert squeeze.report() == {"codes": 2.0, "perplexity": pytest.approx(2.0)}
    assert squeeze.bits == 2


# -- wrong use --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: parts.Saturated(bound=0.0), "bound of the bottleneck 'saturated' is 0.0"),
        (lambda: parts.Variational(beta=-1.0), "beta .* is -1.0. Expected a number of 0 or more"),
        (lambda: parts.Variational(beta=math.inf), "beta .* is inf"),
        (lambda: parts.Variational(warmup=2.0), "warmup .* is 2.0. Expected a share"),
        (lambda: parts.Variational(start=0.0), "start .* is 0.0"),
        (lambda: parts.Sparse(target=0.7), "target .* is 0.7. Expected None .* such as 0.05"),
        (lambda: parts.Sparse(weight=-1.0), "weight .* is -1.0"),
        (lambda: parts.RankFinding(layers=0), "layers .* is 0"),
        (lambda: parts.RankFinding(decay=-1e-5), "decay .* is -1e-05"),
        (lambda: parts.RankFinding(threshold=1.0), "threshold .* is 1.0"),
        (lambda: parts.Ordered(rate=1.0), "rate .* is 1.0"),
        (lambda: parts.VectorQuantised(codes=1), "codes .* is 1. Expected a whole number, 2"),
        (lambda: parts.VectorQuantised(group=0), "group .* is 0"),
        (lambda: parts.VectorQuantised(commitment=-1.0), "commitment .* is -1.0"),
        (lambda: parts.VectorQuantised(keep=1.0), "keep .* is 1.0"),
        (lambda: PODAutoencoder(4, bottleneck=parts.VectorQuantised(group=3)), "group of 1, 2, 4"),
        (lambda: parts.Contractive(weight=-1.0), "weight of .?contractive.? is -1.0"),
        (lambda: parts.Contractive(exact=-1), "exact .* is -1"),
    ],
)
def test_options_out_of_range_say_what_to_type(make, words):
    with pytest.raises(OptionError, match=words):
        make()
