"""A Dataset of an archive, handed to other processes, reads there what it reads here."""

import multiprocessing

import numpy as np
import pytest
import xarray as xr

import romae


def values_of(part: xr.DataArray) -> np.ndarray:
    return part.values


@pytest.mark.slow
def test_a_spawned_process_reads_the_lazy_dataset_it_was_given(tmp_path, make_waves):
    romae.compress(make_waves(), tmp_path / "a.romae", rel=1e-3, chunk=8, model=None)
    lazy = xr.open_dataset(tmp_path / "a.romae")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(values_of, (lazy.u.isel(time=slice(5, 20)),))
    assert np.array_equal(found, lazy.u.values[5:20])


@pytest.mark.slow
def test_workers_of_a_dask_cluster_read_the_chunks(tmp_path, make_waves):
    distributed = pytest.importorskip("distributed")
    romae.compress(make_waves(), tmp_path / "a.romae", rel=1e-3, chunk=8, model=None)
    want = xr.open_dataset(tmp_path / "a.romae").u.values
    options = {"processes": True, "n_workers": 2, "threads_per_worker": 1}
    with distributed.Client(**options, dashboard_address=None):
        lazy = xr.open_dataset(tmp_path / "a.romae", chunks={})
        assert np.array_equal(lazy.u.data.compute(), want)
