"""A training killed by the system goes on to the same bits; another one does not go on at all."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from romae.errors import TrainingError
from romae.reducers import ConvAutoencoder, PODAutoencoder, TrainConfig

LENGTH = "batch=4, steps=17, checkpoint_seconds=0"
MAKERS = {
    "pod-ae": f"PODAutoencoder(2, hidden=(8,), train=TrainConfig({LENGTH}))",
    "conv": "ConvAutoencoder(2, widths=(4, 6), head=8, "
    f"train=TrainConfig({LENGTH}, average=0.9, optimiser='muon'))",
    "streamed": f"ConvAutoencoder(2, widths=(4,), head=8, train=TrainConfig({LENGTH}))",
}
FIT = """
import functools, os, signal, sys
import xarray as xr
import romae.reducers.autoencoder as autoencoder
from romae.progress import silent
from romae.reducers import ConvAutoencoder, PODAutoencoder, TrainConfig
from romae.train import checkpoint

data, folder, kill_at, output, feed = sys.argv[1:]
if feed == "streamed":
    autoencoder.make_feed = functools.partial(autoencoder.make_feed, resident_bytes=0)
write = checkpoint.write

def write_then_die(folder, state, *rest):
    if state.step == int(kill_at) + 1:  # after the checkpoint of kill_at and one more update
        os.kill(os.getpid(), signal.SIGKILL)
    write(folder, state, *rest)
    print(state.step)

checkpoint.write = write_then_die
with silent():
    reducer = {make}
    reducer.fit(xr.open_dataset(data), checkpoint=folder)
reducer.save(output, overwrite=True)
"""


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", MAKERS)
def test_killed_and_gone_on_in_another_process(kind, flows, tmp_path):
    """Killed in the middle of an epoch, in a training whose last epoch is cut short."""
    data = tmp_path / "data.nc"
    flows["plane"]().to_netcdf(data)
    script = textwrap.dedent(FIT).replace("{make}", MAKERS[kind])

    def fit(folder, kill_at, to):
        return subprocess.run(
            [sys.executable, "-c", script, data, tmp_path / folder, str(kill_at), to, kind],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    whole = fit("never", 1000, tmp_path / "whole.rom")
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.split() == [*map(str, range(1, 18)), "17"]
    curve = records(tmp_path / "never")
    updates = curve[0]["step"]
    assert [r["step"] for r in curve] == [*range(updates, 17, updates), 17]
    killed = fit("cut", updates + 1, tmp_path / "cut.rom")
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "cut.rom").exists()
    names = sorted(p.name for p in (tmp_path / "cut").iterdir())
    assert names == ["metrics.jsonl", "training.safetensors"]
    resumed = fit("cut", 1000, tmp_path / "cut.rom")
    assert resumed.returncode == 0, resumed.stderr
    # It went on after the checkpoint, and did not begin again.
    assert resumed.stdout.split() == [*map(str, range(updates + 2, 18)), "17"]
    arrays = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("whole.rom", "cut.rom")]
    assert arrays[0] == arrays[1]
    again = records(tmp_path / "cut")
    assert [{**r, "seconds": 0} for r in again] == [{**r, "seconds": 0} for r in curve]


LAYER = """
import os, signal, sys
import xarray as xr
from romae.progress import silent
from romae.reducers import StackedAutoencoder, TrainConfig
from romae.train import checkpoint

data, folder, die_in, output = sys.argv[1:]
write = checkpoint.write

def write_then_die(folder, state, *rest):
    if folder.name == die_in and state.step == 2:  # after the checkpoint of 1 and one more update
        os.kill(os.getpid(), signal.SIGKILL)
    write(folder, state, *rest)
    print(folder.name, state.step)

checkpoint.write = write_then_die
with silent():
    config = TrainConfig(batch=4, steps=17, checkpoint_seconds=0, average=0.5)
    reducer = StackedAutoencoder(2, hidden=(12, 6), train=config)
    reducer.fit(xr.open_dataset(data), checkpoint=folder)
reducer.save(output, overwrite=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("layer", [1, 3])
def test_killed_while_a_layer_is_pretrained(layer, flows, tmp_path):
    """Layers that are done are not trained again, the one it was in goes on, the rest follow."""
    data = tmp_path / "data.nc"
    flows["plane"]().to_netcdf(data)

    def fit(folder, die_in, to):
        return subprocess.run(
            [sys.executable, "-c", LAYER, data, tmp_path / folder / "all", die_in, tmp_path / to],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    whole = fit("never", "", "whole.rom")
    assert whole.returncode == 0, whole.stderr
    steps = [tuple(line.split()) for line in whole.stdout.splitlines()]
    layers = [f"layer-{i}" for i in (1, 2, 3)]  # 17 // 5 updates each, and a last checkpoint
    assert steps[:12] == [(name, n) for name in layers for n in "1233"]
    killed = fit("cut", f"layer-{layer}", "cut.rom")
    assert killed.returncode == -signal.SIGKILL
    assert sorted(p.name for p in (tmp_path / "cut/all").iterdir()) == layers[:layer]
    resumed = fit("cut", "", "cut.rom")
    assert resumed.returncode == 0, resumed.stderr
    gone_on = [tuple(line.split()) for line in resumed.stdout.splitlines()]
    done = [(name, "3") for name in layers[: layer - 1]]
    rest = [(layers[layer - 1], n) for n in "233"]
    assert gone_on == done + rest + steps[4 * layer :]
    arrays = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("whole.rom", "cut.rom")]
    assert arrays[0] == arrays[1]


SHORT = TrainConfig(epochs=2, checkpoint_seconds=0)


def quick(latent=2, **options):
    return PODAutoencoder(latent, **{"hidden": (8,), "train": SHORT, **options})


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (lambda: quick(3), r"architecture \(latent was 2 and is 3"),
        (lambda: quick(hidden=(9,)), r"architecture \(hidden was \(8,\) and is \(9,\)"),
        (lambda: quick(act="relu"), r"architecture \(act was gelu and is relu"),
        (lambda: quick(scale="field"), r"settings \(scale was units and is field"),
        (lambda: quick(modes=5), r"architecture \(modes was None and is 5"),
        (lambda: quick(train=TrainConfig(epochs=3)), r"settings \(train.epochs was 2 and is 3\)"),
        (
            lambda: quick(train=TrainConfig(epochs=2, seed=1)),
            r"settings \(train.seed was 0 and is 1",
        ),
        (
            lambda: ConvAutoencoder(2, widths=(4, 4), train=SHORT),
            r"architecture \(reducer was PODAutoencoder and is ConvAutoencoder",
        ),
    ],
)
def test_another_reducer_does_not_go_on(other, told, flows, tmp_path):
    quick().fit(flows["plane"](), checkpoint=tmp_path)
    with pytest.raises(TrainingError, match=rf"of another run, .*{told}.*remove the folder"):
        other().fit(flows["plane"](), checkpoint=tmp_path)


def test_other_data_do_not_go_on(flows, tmp_path):
    data = flows["plane"]()
    quick().fit(data, checkpoint=tmp_path)
    other = data.copy(deep=True)
    other.u[0, 0, 0] += 0.01
    even = data.assign_coords(lev=("lev", np.linspace(0, 1, 9), data.lev.attrs))
    for changed in (other, data.isel(t=slice(1, None)), even):
        with pytest.raises(TrainingError, match=r"another run, with other data \(training snap"):
            quick().fit(changed, checkpoint=tmp_path)
    with pytest.raises(TrainingError, match=r"validation snapshots was .* and is "):
        quick().fit(data, data, checkpoint=tmp_path)


def test_the_same_goes_on(flows, tmp_path):
    first = quick().fit(flows["plane"](), checkpoint=tmp_path)
    again = quick(train=TrainConfig(epochs=2, checkpoint_seconds=9)).fit(
        flows["plane"](), checkpoint=tmp_path
    )
    assert again.history == first.history  # seconds too: it was not trained again


def test_a_damaged_checkpoint_is_named(flows, tmp_path):
    quick().fit(flows["line"](), checkpoint=tmp_path)
    path = tmp_path / "training.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(TrainingError, match=r"training\.safetensors is damaged"):
        quick().fit(flows["line"](), checkpoint=tmp_path)
