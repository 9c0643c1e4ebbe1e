"""Several processes train as one: started by torchrun, and what they are told by it."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from romae import load, open_snapshots
from romae.cases import make_case
from romae.errors import OptionError
from romae.feed import ResidentFeed
from romae.share import share_path
from romae.train import TrainConfig, train
from romae.train.ranks import Ranks, here

# 41 points in batches of 7 and 6: the parts of two ranks differ in size.
SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from torch import nn
from romae.feed import ResidentFeed
from romae.train import TrainConfig, train
from romae.train.ranks import here

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 3))
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, x):
        if self.training:
            self.seen = 0.9 * self.seen + 0.1 * x.detach().mean(0)
        return super().forward(x)

torch.manual_seed(here().rank)  # each starts elsewhere: the first one counts
ranks, folder, fails = here(), Path(sys.argv[1]), sys.argv[2] == "fails"
data = torch.randn(41, 3, generator=torch.Generator().manual_seed(0))
module = Net()
config = TrainConfig(steps=40, batch=7, lr=0.02, average=0.5, checkpoint_seconds=0)
feed = ResidentFeed(data, batch=7, rank=ranks.rank, world=ranks.world)

def misfit(net, x, progress):
    if fails and ranks.rank == 1 and progress > 0.5:
        raise RuntimeError("rank 1 gives up")
    return (net(x) - x).square().mean()

history = train(module, misfit, feed, None, config, folder=folder / "state")
if not fails:
    weights = {k: v.tolist() for k, v in module.state_dict().items()}
    record = json.dumps([weights, [[h["step"], h["train"], h["validation"]] for h in history]])
    (folder / f"{ranks.world}-{ranks.rank}.json").write_text(record)
"""


def launch(processes, *arguments):
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    return subprocess.run(
        [*(run if processes > 1 else [sys.executable]), *([str(processes)] * (processes > 1))]
        + [str(a) for a in arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    found = {}
    for processes in (1, 2):
        done = launch(processes, script, tmp_path, "works")
        assert done.returncode == 0, done.stderr
        for rank in range(processes):
            name = f"{processes}-{rank}"
            found[name] = json.loads((tmp_path / f"{name}.json").read_text())
        for file in (tmp_path / "state").iterdir():
            file.unlink()
    one, two = found["1-0"], found["2-0"]
    assert two == found["2-1"]  # all ranks end with the same bits
    assert two[0].pop("seen") != one[0].pop("seen")  # means of means of unequal parts
    for name, value in one[0].items():
        torch.testing.assert_close(torch.tensor(two[0][name]), torch.tensor(value))
    torch.testing.assert_close(torch.tensor(two[1]), torch.tensor(one[1]))
    failed = launch(2, script, tmp_path, "fails")
    assert failed.returncode != 0
    assert "rank 1 gives up" in failed.stderr


@pytest.mark.slow
def test_the_batch_script_fits_as_the_command_line_does(tmp_path):
    """`workflows/slurm/torchrun.sbatch` on one node, with stand-ins for the queue."""
    data = make_case("cylinder", "tiny", tmp_path / "wake.nc")
    small = ["--set", "widths=4,6", "--set", "head=8", "--set", "train.steps=30"]
    for name, body in {"srun": 'exec "$@"', "scontrol": "echo localhost"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        script = (share_path("workflows") / "slurm" / "torchrun.sbatch").read_text()
        (tmp_path / "job").write_text(script.replace("29500", str(free.getsockname()[1])))
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    queue = {"PATH": path, "SLURM_NNODES": "1", "SLURM_JOB_ID": "1", "SLURM_JOB_NODELIST": "here"}
    starts = {1: [sys.executable, "-m", "romae", "fit"], 2: ["bash", tmp_path / "job"]}
    for processes, start in starts.items():
        done = subprocess.run(
            [*start, "conv", data, "-o", tmp_path / f"{processes}.rom", "--latent", "2", *small],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, **queue, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("wrote") == 1
    one, two = (load(tmp_path / f"{n}.rom") for n in (1, 2))
    codes = [m.encode(open_snapshots(data)).values for m in (one, two)]
    torch.testing.assert_close(*map(torch.from_numpy, codes), rtol=1e-3, atol=1e-3)
    assert one.history[-1]["validation"] == pytest.approx(two.history[-1]["validation"], rel=1e-3)


@pytest.mark.parametrize(("rank", "world"), [("2", "2"), ("-1", "2"), ("one", "2"), ("0", "")])
def test_an_environment_that_cannot_be_is_refused(rank, world, monkeypatch):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(OptionError, match=r"RANK=.*torchrun.*unset RANK WORLD_SIZE"):
        here()


def test_without_an_environment_there_is_one(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert here() == Ranks(0, 1)
    assert here().first
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert not here().first


def test_a_feed_that_is_shared_otherwise_is_refused():
    feed = ResidentFeed(torch.zeros(8, 2), batch=4, rank=1, world=2)
    with pytest.raises(OptionError, match=r"1 processes.*among 2.*rank=0, world=1"):
        train(nn.Linear(2, 2), lambda m, x, p: m(x).sum(), feed, None, TrainConfig(steps=2))
