"""A training killed by the system goes on to the same bits; another one does not go on at all."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from romae.errors import TrainingError
from romae.reducers import ConvAutoencoder, PODAutoencoder, TrainConfig

MAKERS = {
    "pod-ae": "PODAutoencoder(2, hidden=(8,), train=TrainConfig(epochs=6, checkpoint_seconds=0))",
    "conv": "ConvAutoencoder(2, widths=(4, 6), head=8, "
    "train=TrainConfig(epochs=6, average=0.9, checkpoint_seconds=0))",
}
FIT = """
import os, signal, sys
import xarray as xr
import romae.train.loop as loop
from romae.progress import silent
from romae.reducers import ConvAutoencoder, PODAutoencoder, TrainConfig
from romae.train import checkpoint

folder, kill_at = sys.argv[2], int(sys.argv[3])
write = checkpoint.write

def write_then_die(folder, state, *rest):
    if state.epoch == kill_at + 1:  # in mid-epoch, after the checkpoint of kill_at
        os.kill(os.getpid(), signal.SIGKILL)
    write(folder, state, *rest)
    print(state.epoch)

checkpoint.write = write_then_die
with silent():
    reducer = {make}
    reducer.fit(xr.open_dataset(sys.argv[1]), checkpoint=folder)
reducer.save(sys.argv[4], overwrite=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", MAKERS)
def test_killed_and_gone_on_in_another_process(kind, flows, tmp_path):
    data = tmp_path / "data.nc"
    flows["plane"]().to_netcdf(data)
    script = textwrap.dedent(FIT).replace("{make}", MAKERS[kind])

    def fit(folder, kill_at, to):
        return subprocess.run(
            [sys.executable, "-c", script, str(data), str(tmp_path / folder), str(kill_at), to],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    whole = fit("never", 1000, str(tmp_path / "whole.rom"))
    assert whole.returncode == 0, whole.stderr
    killed = fit("cut", 3, str(tmp_path / "cut.rom"))
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "cut.rom").exists()
    assert [p.name for p in (tmp_path / "cut").iterdir()] == ["training.safetensors"]
    resumed = fit("cut", 1000, str(tmp_path / "cut.rom"))
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.split() == ["4", "5", "6", "6"]  # it went on, and did not begin again
    arrays = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("whole.rom", "cut.rom")]
    assert arrays[0] == arrays[1]


SHORT = TrainConfig(epochs=2, checkpoint_seconds=0)


def quick(latent=2, **options):
    return PODAutoencoder(latent, **{"hidden": (8,), "train": SHORT, **options})


@pytest.mark.parametrize(
    "other",
    [
        lambda: quick(3),
        lambda: quick(hidden=(9,)),
        lambda: quick(act="relu"),
        lambda: quick(scale="field"),
        lambda: quick(modes=5),
        lambda: quick(train=TrainConfig(epochs=3)),
        lambda: quick(train=TrainConfig(epochs=2, seed=1)),
        lambda: ConvAutoencoder(2, widths=(4, 4), train=SHORT),
    ],
)
def test_another_reducer_does_not_go_on(other, flows, tmp_path):
    quick().fit(flows["plane"](), checkpoint=tmp_path)
    with pytest.raises(TrainingError, match=r"checkpoint of another run.*Remove the folder"):
        other().fit(flows["plane"](), checkpoint=tmp_path)


def test_other_data_do_not_go_on(flows, tmp_path):
    data = flows["plane"]()
    quick().fit(data, checkpoint=tmp_path)
    other = data.copy(deep=True)
    other.u[0, 0, 0] += 0.01
    even = data.assign_coords(lev=("lev", np.linspace(0, 1, 9), data.lev.attrs))
    for changed in (other, data.isel(t=slice(1, None)), even):
        with pytest.raises(TrainingError, match="checkpoint of another run"):
            quick().fit(changed, checkpoint=tmp_path)
    with pytest.raises(TrainingError, match="checkpoint of another run"):
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
