"""Processes that write one archive, killed at random moments: ``python kills.py 200``.

``python kills.py 200 1 append`` kills those that append to one.

The parent imports and compiles everything once and forks a child for every attempt, so that kills
fall on the work and not on imports. After each kill nothing or the whole archive stands under its
name; after some kills a last attempt is left alone, and its bytes are those of an undisturbed run.
"""

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr

from romae.archive import compress
from romae.archive.chunk import encode_chunk
from romae.archive.spline import Spline
from romae.progress import silent

KILLS_PER_ARCHIVE = 4


def source() -> xr.Dataset:
    rng = np.random.default_rng(0)
    t, y, x = np.meshgrid(np.arange(64), np.arange(12), np.arange(16), indexing="ij")
    u = np.sin(0.2 * t - 0.4 * x) + 0.3 * np.cos(0.1 * t + y) + 1e-3 * rng.normal(size=x.shape)
    return xr.Dataset({"u": (("time", "y", "x"), u.astype("f4"))}, {"time": 0.5 * np.arange(64)})


def tree(path: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()
    }


def start(data: xr.Dataset, path: Path, append: bool = False) -> int:
    child = os.fork()
    if child:
        return child
    try:
        with silent():
            compress(data, path, rel=1e-3, model=None, chunk=4, append=append)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)
    os._exit(0)


def main(kills: int, seed: int = 0) -> dict[str, int]:
    data, rng = source(), random.Random(seed)
    x = data.u.values[:4, None]
    encode_chunk(x, [1e-3], [Spline()], [np.dtype("f4")])  # compiled before the fork
    done = {"kills": 0, "late": 0, "archives": 0, "wrong": 0, "errors": 0}
    with tempfile.TemporaryDirectory(prefix="romae-kills-") as folder:
        place = Path(folder)
        begun = time.perf_counter()
        os.waitpid(start(data, place / "whole.romae"), 0)
        takes, whole = time.perf_counter() - begun, tree(place / "whole.romae")
        while done["kills"] < kills:
            path = place / f"{done['archives']}.romae"
            for _ in range(KILLS_PER_ARCHIVE):
                child = start(data, path)
                time.sleep(rng.uniform(0, takes) if not path.exists() else 0)
                os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
                killed = os.WIFSIGNALED(status)
                done["kills" if killed else "late"] += 1
                if path.exists():
                    done["wrong"] += tree(path) != whole
                    break
            if not path.exists():
                _, status = os.waitpid(start(data, path), 0)
                done["errors"] += status != 0
                done["wrong"] += not path.exists() or tree(path) != whole
            done["wrong"] += Path(f"{path}.partial", "archive").exists()
            done["archives"] += 1
    return done


def main_append(kills: int, seed: int = 0) -> dict[str, int]:
    """An archive of half the data grows; ``away``: kills between the two renames."""
    data, rng = source(), random.Random(seed)
    encode_chunk(data.u.values[:4, None], [1e-3], [Spline()], [np.dtype("f4")])
    done = {"kills": 0, "late": 0, "archives": 0, "away": 0, "wrong": 0, "errors": 0}
    with tempfile.TemporaryDirectory(prefix="romae-kills-") as folder:
        first, whole = Path(folder, "first.romae"), Path(folder, "whole.romae")
        os.waitpid(start(data.isel(time=slice(30)), first), 0)
        shutil.copytree(first, whole)
        begun = time.perf_counter()
        os.waitpid(start(data, whole, True), 0)
        takes, old, new = time.perf_counter() - begun, tree(first), tree(whole)
        while done["kills"] < kills:
            path = Path(folder, f"{done['archives']}.romae")
            shutil.copytree(first, path)
            for _ in range(KILLS_PER_ARCHIVE):
                child = start(data, path, True)
                time.sleep(rng.uniform(0, takes))
                os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
                done["kills" if os.WIFSIGNALED(status) else "late"] += 1
                away = not path.exists()
                done["away"] += away
                done["wrong"] += tree(path) not in (({},) if away else (old, new))
            _, status = os.waitpid(start(data, path, True), 0)
            done["errors"] += status != 0
            done["wrong"] += tree(path) != new or Path(f"{path}.partial").exists()
            done["archives"] += 1
    return done


if __name__ == "__main__":
    numbers = map(int, sys.argv[1:3])
    run = main_append if sys.argv[3:] == ["append"] else main
    print(json.dumps(run(*numbers)))
