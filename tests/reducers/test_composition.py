"""Every part in every network: trains, is saved, and comes back bit for bit."""

import json
import subprocess
import sys

import numpy as np
import pytest

import romae
from romae import parts
from romae.errors import OptionError
from romae.reducers import ConvAutoencoder, PODAutoencoder, TrainConfig

SHORT = TrainConfig(steps=6, lr=1e-3)
NETWORKS = {
    "pod": lambda **k: PODAutoencoder(2, hidden=(8,), train=SHORT, **k),
    "conv": lambda **k: ConvAutoencoder(2, widths=(4, 6), head=8, train=SHORT, **k),
}


def rate(fields, derivative):
    """A functional for the physics term."""
    return fields["u"] * derivative(fields["u"], "x")


PARTS = {
    **{
        f"objective-{term.kind}": {"objective": (parts.MSE(), term)}
        for term in (
            parts.Relative(weight=0.5),
            parts.L1(),
            parts.Gradient(),
            parts.Spectral(weight=0.01),
            parts.Physics(function=f"{__name__}:rate"),
            parts.Adversarial(),
        )
    },
    "objective-alone": {"objective": parts.L1()},
    **{
        f"corruption-{c.kind}": {"corruption": c}
        for c in (parts.Noise(), parts.Masking(), parts.SensorDropout(), parts.Patches(size=3))
    },
    "saturated": {"bottleneck": parts.Saturated()},
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_composed_autoencoder_comes_back_bit_for_bit(network, part, flows, tmp_path):
    flow = flows["line"]()
    model = NETWORKS[network](**PARTS[part]).fit(flow, device="cpu")
    assert all(np.isfinite(r["train"]) for r in model.history)
    opened = romae.load(model.save(tmp_path / "m.rom"))
    assert repr(opened) == repr(model)
    assert opened.encode(flow).identical(model.encode(flow))
    assert model.module.state_dict().keys() == model._build().state_dict().keys()  # no critic


def test_fractions_train_on_cross_entropy(flows):
    flow = flows["line"]()
    flow["u"] = (flow.u - flow.u.min()) / (flow.u.max() - flow.u.min())
    model = NETWORKS["conv"](objective=parts.BCE()).fit(flow, device="cpu")
    assert model.history[-1]["validation"] < np.log(2)


def test_masked_points_stay_out_of_every_objective(flows):
    flow = flows["plane"]()
    objective = (parts.MSE(), parts.Gradient(weight=0.1), parts.L1(weight=0.1))
    model = NETWORKS["conv"](objective=objective, corruption=parts.Noise()).fit(flow, device="cpu")
    hole = model.reconstruct(flow).u.isel(lev=slice(3, 5), x=slice(4, 6))
    assert bool(hole.isnull().all())


def test_a_part_is_named_on_the_command_line():
    from romae.kinds import make_reducer

    options = {"bottleneck": "saturated", "objective": ["mse", {"kind": "gradient", "weight": 0.1}]}
    model = make_reducer("conv", 3, options | {"corruption": {"kind": "noise", "std": 0.3}})
    assert model.bottleneck == parts.Saturated()
    assert model.objective == (parts.MSE(), parts.Gradient(weight=0.1))
    assert model.corruption == parts.Noise(std=0.3)


FRESH = """
import json, sys
import romae
from romae.nets.bottlenecks import Bottleneck
from romae.train.objective import Corruption, Term
opened = romae.load(sys.argv[1])
families = {f.__name__: sorted(f.kinds()) for f in (Bottleneck, Corruption, Term)}
print(json.dumps([repr(opened), families]))
"""


@pytest.mark.slow
def test_every_kind_is_known_to_a_process_that_names_no_part(flows, tmp_path):
    """As on the command line, and where a saved model is opened by its path."""
    model = NETWORKS["pod"](objective=(parts.MSE(), parts.Gradient())).fit(flows["line"]())
    saved = model.save(tmp_path / "m.rom")
    done = subprocess.run([sys.executable, "-c", FRESH, saved], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told, families = json.loads(done.stdout)
    assert told == repr(model)
    for family in (parts.Bottleneck, parts.Corruption, parts.Term):
        members = {getattr(parts, name) for name in parts.__all__}
        own = {c.kind for c in members if issubclass(c, family) and c.kind}
        assert own <= set(families[family.__name__])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"objective": ["mse", {"kind": "l1", "wieght": 1}]},
            r"\[1\] \(l1\): unknown key 'wieght'",
        ),
        ({"objective": "gradeint"}, "unknown kind 'gradeint'.*Did you mean 'gradient'"),
        ({"objective": {"kind": "bce", "fields": "u"}}, r"\(bce\).fields: expected a list"),
        ({"corruption": "nois"}, "unknown kind 'nois'.*Did you mean 'noise'"),
        ({"corruption": {"kind": "noise", "sdt": 1}}, r"\(noise\): unknown key 'sdt'.*std"),
        ({"bottleneck": 3}, "expected one of plain, saturated"),
    ],
)
def test_a_part_that_is_none_says_which_there_are(options, says):
    from romae.kinds import make_reducer

    with pytest.raises(OptionError, match=says):
        make_reducer("conv", 3, options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"objective": ()}, r"objective is.*MSE"),
        ({"objective": "mse"}, r"objective is.*MSE"),
        ({"corruption": parts.MSE()}, r"corruption is a MSE.*Noise"),
        ({"bottleneck": None}, r"bottleneck is a NoneType.*Plain"),
    ],
)
def test_a_part_of_another_family_is_refused(options, says):
    with pytest.raises(OptionError, match=says):
        PODAutoencoder(2, **options)
