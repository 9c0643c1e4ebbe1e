"""POD.update: what one fit to everything finds, without the old snapshots."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import romae
from romae.errors import GridMismatchError

LOW = 7  # rank of the flow about its mean


def flow(T=90, seed=0):
    """Rank ``LOW``, drifting mean, two fields of other units, a mask and a stretched grid."""
    rng = np.random.default_rng(seed)
    a = np.cumsum(rng.standard_normal((T, LOW)), axis=0) / np.arange(1, LOW + 1)
    fields = np.einsum("tr,rcyx->tcyx", a, rng.standard_normal((LOW, 2, 6, 9)))
    fields += np.array([4.0, 9.0]).reshape(2, 1, 1)
    fields[:, :, 2, 3:5] = np.nan
    data = {"u": (("time", "y", "x"), fields[:, 0], {"units": "m/s"})}
    data["p"] = (("time", "y", "x"), fields[:, 1], {"units": "Pa"})
    return xr.Dataset(data, {"time": 0.5 * np.arange(T), "x": np.linspace(0, 1, 9) ** 2})


def scaled_alike(reducer, data):
    """Singular values and projector of ``data`` in the scale of ``reducer``, by svd."""
    layout, scaling = reducer.layout, reducer.scaling
    x = np.stack([data[n].values for n in ("u", "p")], axis=1)
    y = np.where(layout.valid, (x - np.where(layout.valid, x.mean(0), 0)) / scaling.columns, 0)
    y = (y * np.sqrt(layout.quadrature)).reshape(len(x), -1)
    return y, np.linalg.svd(y, full_matrices=False)


@pytest.mark.parametrize("cuts", [(50,), (30, 31, 60), (10, 85)])
def test_everything_of_low_rank_is_found_again(cuts):
    data = flow()
    parts = [data.isel(time=slice(a, b)) for a, b in zip((0, *cuts), (*cuts, None), strict=True)]
    pod = romae.POD(LOW).fit(parts[0], device="cpu")
    for part in parts[1:]:
        assert pod.update(part) is pod
    _, (_, s, _) = scaled_alike(pod, data)
    np.testing.assert_allclose(pod.singular_values, s[:LOW], rtol=1e-4)
    np.testing.assert_allclose(pod.energy[-1], 1, atol=1e-6)
    mean = np.stack([data[n].mean("time").values for n in ("u", "p")])
    np.testing.assert_allclose(pod.scaling.mean, np.nan_to_num(mean), atol=1e-6)
    back = pod.reconstruct(data)
    for name in ("u", "p"):
        np.testing.assert_allclose(back[name], data[name], atol=1e-3)
    assert pod.training["snapshots"] == len(data.time)
    modes = np.stack([pod.modes[n].fillna(0).values for n in ("u", "p")], axis=1)
    gram = np.einsum("icyx,jcyx,cyx->ij", modes, modes, pod.layout.quadrature)
    np.testing.assert_allclose(gram, np.eye(LOW), atol=1e-5)


def test_fewer_modes_lose_little_and_say_how_much():
    data = flow()
    pod = romae.POD(3).fit(data.isel(time=slice(0, 60)), device="cpu")
    pod.update(data.isel(time=slice(60, None)))
    y, (_, s, _) = scaled_alike(pod, data)
    modes = np.stack([pod.modes[n].fillna(0).values for n in ("u", "p")], axis=1)
    U = (modes * np.sqrt(pod.layout.quadrature)).reshape(3, -1)
    lost = np.sum((y - (y @ U.T) @ U) ** 2)
    assert lost <= 1.05 * np.sum(s[3:] ** 2)
    assert pod.total == pytest.approx(np.sum(s**2), rel=1e-6)
    # the singular values never promise more than the modes hold
    assert np.sum(pod.singular_values**2) <= np.sum(y**2) - lost + 1e-6 * np.sum(y**2)


def test_rank_by_energy_grows_when_new_structures_come():
    quiet, both = flow(), flow(seed=1)
    pod = romae.POD(0.99).fit(quiet, device="cpu")
    before = pod.latent
    pod.update(both)
    assert pod.latent > before
    assert pod.energy[-1] >= 0.985


def test_saved_after_an_update(tmp_path):
    data = flow()
    pod = romae.POD(4).fit(data.isel(time=slice(0, 50)), device="cpu")
    pod.update(data.isel(time=slice(50, None)))
    pod.save(tmp_path / "pod.rom")
    opened = romae.load(tmp_path / "pod.rom")
    xr.testing.assert_identical(opened.encode(data), pod.encode(data))
    opened.update(data)  # and goes on


def test_another_grid_is_refused():
    pod = romae.POD(2).fit(flow(), device="cpu")
    with pytest.raises(GridMismatchError):
        pod.update(flow().isel(x=slice(0, 8)))


KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
import romae, romae.linalg.rows as rows, romae.reducers.pod_data as pod
from test_pod_update import flow

rows.CHECKPOINT_SECONDS, pod.BLOCK_BYTES = 0, 8_000
write, count = rows.Checkpoint.write, 0

def counted(self, state, arrays):
    global count
    write(self, state, arrays)
    count += 1
    if count == 3:
        os.kill(os.getpid(), signal.SIGKILL)

rows.Checkpoint.write = counted
model = romae.POD(4).fit(flow(), device="cpu")
model.update(flow(seed=1), checkpoint={folder!r})
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_update_goes_on(tmp_path, monkeypatch):
    text = KILLED.format(here=os.path.dirname(__file__), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", text], check=False)
    assert done.returncode == -signal.SIGKILL
    monkeypatch.setattr("romae.reducers.pod_data.BLOCK_BYTES", 8_000)
    started = []
    from romae.reducers import pod_update as module

    rows = module.rows
    monkeypatch.setattr(module, "rows", lambda s, first=0: started.append(first) or rows(s, first))
    pod, whole = (romae.POD(4).fit(flow(), device="cpu") for _ in range(2))
    started.clear()
    pod.update(flow(seed=1), checkpoint=tmp_path)
    assert started[0] > 0
    whole.update(flow(seed=1))
    np.testing.assert_array_equal(pod.singular_values, whole.singular_values)
    xr.testing.assert_equal(pod.modes, whole.modes)
    assert not list(tmp_path.glob("*.safetensors"))
