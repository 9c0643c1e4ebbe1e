"""Short names and options make the same objects as the classes do."""

import pytest

import romae
from romae.errors import OptionError
from romae.kinds import DYNAMICS, REDUCERS, make_dynamics, make_reducer, seeded

# Functions that compose a network class.
SHORT = {k for k, name in REDUCERS.items() if not isinstance(getattr(romae, name), type)}
PRESETS = SHORT | {REDUCERS[k] for k in SHORT}


def network(made):
    """What is trained: the reducer itself, or the one inside."""
    return getattr(made, "inner", made)


def test_every_public_model_has_a_short_name():
    from romae import dynamics, reducers

    named = {*REDUCERS.values(), *DYNAMICS.values()}
    models = {*reducers.__all__, *dynamics.__all__} - {"TrainConfig"}
    offered = {name for name in models if name in romae.__all__}
    assert named == offered


@pytest.mark.parametrize("kind", [*REDUCERS, *REDUCERS.values()])
def test_reducers(kind):
    made = make_reducer(kind, 3)
    assert made.latent == 3
    if kind not in PRESETS:
        assert type(made).__name__ in (kind, REDUCERS.get(kind))


@pytest.mark.parametrize("kind", sorted(SHORT))
def test_presets_are_the_functions(kind):
    assert repr(make_reducer(kind, 3)) == repr(getattr(romae, REDUCERS[kind])(3))
    assert repr(make_reducer(REDUCERS[kind], 3)) == repr(make_reducer(kind, 3))


def test_a_preset_takes_its_options_and_those_of_its_network():
    made = make_reducer("vae", 3, {"beta": 0.1, "network": "conv", "widths": [8, 9]})
    assert type(made) is romae.ConvAutoencoder
    assert (made.bottleneck.beta, made.widths) == (0.1, (8, 9))
    assert type(make_reducer("vae", 3)) is romae.PODAutoencoder


@pytest.mark.parametrize("kind", [*DYNAMICS, *DYNAMICS.values()])
def test_dynamics(kind):
    assert make_dynamics(kind).name in (kind, DYNAMICS.get(kind))


@pytest.mark.parametrize("kind", [k for k in REDUCERS if k not in ("pod", "quadratic")])
def test_one_setting_of_a_training_leaves_the_others(kind):
    whole, changed = (
        network(make_reducer(kind)).train,
        network(make_reducer(kind, options={"train": {"seed": 9}})).train,
    )
    assert {**vars(whole), "seed": 9} == vars(changed)


def test_aligned_takes_the_options_of_the_reducer_inside():
    made = make_reducer("aligned", 3, {"axes": "x", "inner": "vae", "hidden": [9]})
    assert type(made.inner) is romae.PODAutoencoder
    assert (made.latent, made.inner.hidden, made.axes) == (3, (9,), ("x",))
    assert repr(make_reducer("aligned", 3)) == repr(romae.Aligned(romae.PODAutoencoder(), latent=3))
    assert make_reducer("aligned", 0.9, {"inner": "pod"}).inner.rank == 0.9
    with pytest.raises(
        OptionError, match=r"latent=4, and 4 of them are cos and sin.*type latent=6"
    ):
        make_reducer("aligned", 4, {"axes": ["y", "x"]})


def test_pod_takes_an_energy_fraction():
    assert make_reducer("pod", 0.99).rank == 0.99


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: make_reducer("pood"), "Did you mean 'pod'?"),
        (lambda: make_reducer("pod", options={"scales": "field"}), "'scale'?"),
        (lambda: make_reducer("pod", options={"scale": "fields"}), "'field'?"),
        (lambda: make_reducer("conv", options={"train": {"stesp": 3}}), "'steps'?"),
        (lambda: make_reducer("conv", 2.5), "integer"),
        (lambda: make_reducer("vae", options={"network": "con"}), "'conv'?"),
        (lambda: make_reducer("vae", options={"bet": 1.0}), "'beta'?"),
        (lambda: make_reducer("vae", options={"hiden": [8]}), "'hidden'?"),
        (lambda: make_reducer("vae", options={"widths": [8]}), "unknown option 'widths'"),
        (
            lambda: make_reducer("vae", options={"bottleneck": "plain"}),
            "VAE sets bottleneck itself",
        ),
        (lambda: make_reducer("aligned", options={"hiden": [8]}), "'hidden'?"),
        (lambda: make_reducer("aligned", options={"inner": "conf"}), "'conv'?"),
        (lambda: make_reducer("aligned", options={"inner": {"kind": "pod"}}), "Expected a kind"),
        (lambda: make_dynamics("gruu"), "'gru'?"),
        (lambda: make_dynamics("dmd", {"delay": 3}), "'delays'?"),
        (lambda: make_dynamics("echo", {"readout": "linearr"}), "'linear'?"),
    ],
)
def test_wrong_names_suggest_the_nearest(make, words):
    with pytest.raises(OptionError, match=words.replace("?", r"\?")):
        make()


@pytest.mark.parametrize("kind", REDUCERS)
def test_a_seed_goes_to_what_is_trained_and_to_nothing_else(kind):
    options = seeded(kind, {}, 7)
    made = network(make_reducer(kind, 2, options))
    assert options.get("train", {}).get("seed", 7) == 7
    assert getattr(getattr(made, "train", None), "seed", 7) == 7
    assert ("train" in options) == hasattr(made, "default_train")
    assert "train" not in options or seeded(kind, {"train": {"seed": 1}}, 7)["train"]["seed"] == 1
