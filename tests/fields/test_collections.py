"""The HDF5 layouts of The Well and of PDEBench, written as their own generators write them."""

import pickle

import h5py
import numpy as np
import pytest

from romae.errors import DataError
from romae.fields import open_snapshots

RNG = np.random.default_rng(0)
N, T, NX, NY = 3, 7, 6, 5


def put(group, name, data, **flags):
    made = group.create_dataset(name, data=data)
    made.attrs.update({"sample_varying": True, "time_varying": True, **flags})


def write_well(path, seed=0, radius=(0.3, 0.4, 0.5), viscosity=1e-3):
    rng = np.random.default_rng(seed)
    fields = {
        "tracer": rng.normal(size=(N, T, NX, NY)).astype("f4"),
        "velocity": rng.normal(size=(N, T, NX, NY, 2)).astype("f4"),
        "D": rng.normal(size=(N, T, NX, NY, 2, 2)).astype("f4"),
    }
    with h5py.File(path, "w") as file:
        file.attrs.update(
            dataset_name="toy", grid_type="cartesian", n_spatial_dims=2, n_trajectories=N
        )
        file.attrs["simulation_parameters"] = ["viscosity"]
        file.attrs["viscosity"] = viscosity
        dims = file.create_group("dimensions")
        dims.attrs["spatial_dims"] = ["x", "y"]
        for name, n in (("time", T), ("x", NX), ("y", NY)):
            put(dims, name, (np.arange(n) * 0.1).astype("f4"), sample_varying=False)
        for name, kind in (("x", "PERIODIC"), ("y", "WALL")):
            edge = file.create_group(f"boundary_conditions/{name}_{kind.lower()}")
            edge.attrs.update(bc_type=kind, associated_dims=[name], associated_fields=[])
        t0, t1, t2 = (file.create_group(f"t{i}_fields") for i in range(3))
        for group, names in ((t0, ["tracer", "wall"]), (t1, ["velocity"]), (t2, ["D"])):
            group.attrs["field_names"] = names
        whole = {"dim_varying": [True, True]}
        put(t0, "tracer", fields["tracer"], **whole)
        put(
            t0,
            "wall",
            np.zeros(NX, "f4"),
            sample_varying=False,
            time_varying=False,
            dim_varying=[True, False],
        )
        put(t1, "velocity", fields["velocity"], **whole)
        put(t2, "D", fields["D"], symmetric=True, antisymmetric=False, **whole)
        scalars = file.create_group("scalars")
        put(scalars, "viscosity", np.float32(viscosity), sample_varying=False, time_varying=False)
        put(scalars, "radius", np.array(radius, "f4"), time_varying=False)
        put(scalars, "drag", np.zeros(T, "f4"), sample_varying=False)
    return fields


def test_the_well(tmp_path):
    fields = write_well(tmp_path / "a.hdf5")
    opened = open_snapshots(tmp_path / "a.hdf5")
    assert opened.layout.names == (
        "tracer",
        "velocity_x",
        "velocity_y",
        "D_xx",
        "D_xy",
        "D_yx",
        "D_yy",
    )
    assert opened.layout.space == ("x", "y")
    assert opened.layout.periodic == (True, False)
    assert opened.lengths == (T,) * N
    np.testing.assert_allclose(opened.params["radius"], [0.3, 0.4, 0.5], rtol=1e-6)
    for case in range(N):
        got = opened.read(2, 5, case)
        np.testing.assert_array_equal(got[:, 0], fields["tracer"][case, 2:5])
        np.testing.assert_array_equal(got[:, 2], fields["velocity"][case, 2:5, ..., 1])
        np.testing.assert_array_equal(got[:, 5], fields["D"][case, 2:5, ..., 1, 0])
    np.testing.assert_allclose(opened.times().values, 0.1 * np.arange(T), rtol=1e-6)
    assert opened.dt == pytest.approx(0.1)
    assert "wall" in opened.skipped
    assert opened.layout.attrs["dataset_name"] == "toy"
    again = pickle.loads(pickle.dumps(opened))
    np.testing.assert_array_equal(again.read(0, 1, 2), opened.read(0, 1, 2))


def test_files_of_the_well_are_trajectories(tmp_path):
    fields = [write_well(tmp_path / f"nu_{i}.hdf5", i, viscosity=10.0**-i) for i in (1, 2)]
    with pytest.raises(DataError, match=r'nu_2.hdf5 starts at .*cases="file"'):
        open_snapshots(tmp_path / "nu_*.hdf5")
    opened = open_snapshots(tmp_path / "nu_*.hdf5", cases="file", variables="tracer")
    assert opened.cases == 2 * N
    np.testing.assert_allclose(opened.params["viscosity"], [0.1] * N + [0.01] * N, rtol=1e-6)
    np.testing.assert_array_equal(opened.read(0, T, 4)[:, 0], fields[1]["tracer"][1])


def test_the_well_with_a_shape_its_flags_deny(tmp_path):
    write_well(tmp_path / "a.hdf5")
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        file["t0_fields/tracer"].attrs["time_varying"] = False
    with pytest.raises(DataError, match=r"t0_fields/tracer has shape \(3, 7, 6, 5\); expected"):
        open_snapshots(tmp_path / "a.hdf5")


def test_the_well_with_times_of_each_trajectory(tmp_path):
    fields = write_well(tmp_path / "a.hdf5")
    times = np.arange(T) * 0.1 + np.array([0, 5, 9])[:, None]
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        del file["dimensions/time"]
        put(file["dimensions"], "time", times)
    opened = open_snapshots(tmp_path / "a.hdf5", variables="tracer")
    for case in range(N):
        np.testing.assert_array_equal(opened.times(case).values, times[case])
    np.testing.assert_array_equal(opened.read(2, 5, 1)[:, 0], fields["tracer"][1, 2:5])
    opened.close()
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        file["dimensions/time"][...] = times[0]
    assert open_snapshots(tmp_path / "a.hdf5", variables="tracer").to_dataset().sizes["case"] == N


def test_pdebench_tensor_with_a_longer_time_axis(tmp_path):
    u = RNG.normal(size=(4, T, NX)).astype("f4")
    with h5py.File(tmp_path / "1D_Burgers_Sols_Nu0.01.hdf5", "w") as file:
        file["tensor"] = u
        file["t-coordinate"] = np.linspace(0, 2, T + 1)[: T + 1].astype("f4")
        file["x-coordinate"] = ((np.arange(NX) + 0.5) / NX).astype("f4")
    opened = open_snapshots(tmp_path / "1D_Burgers_Sols_Nu0.01.hdf5", periodic="x")
    assert opened.layout.names == ("tensor",)
    assert opened.lengths == (T,) * 4
    np.testing.assert_array_equal(opened.read(1, 4, 3)[:, 0], u[3, 1:4])
    assert opened.dt == pytest.approx(2 / T, rel=1e-5)
    assert opened.layout.periodic == (True,)


def test_pdebench_with_several_variables(tmp_path):
    names = ("Vx", "Vy", "density", "pressure")
    fields = {n: RNG.normal(size=(2, T, NX, NY)).astype("f4") for n in names}
    with h5py.File(tmp_path / "2D_CFD.hdf5", "w") as file:
        file["eta"] = np.zeros((2, NX, NY))  # a coefficient: it has no time
        for name, values in fields.items():
            file.create_dataset(name, data=values, chunks=(1, 2, NX, NY), compression="gzip")
        file["t-coordinate"] = np.arange(T + 1, dtype="f4")
        file["x-coordinate"], file["y-coordinate"] = np.arange(NX, dtype="f4"), np.arange(NY) + 0.5
    opened = open_snapshots(tmp_path / "2D_CFD.hdf5")
    assert opened.layout.names == names
    assert opened.layout.space == ("x", "y")
    want = np.stack([v[1, 3:6] for v in fields.values()], axis=1)
    np.testing.assert_array_equal(opened.read(3, 6, 1), want)
    assert opened.block_ranges(1)[0] == (0, 0, 1)
    assert opened.block_ranges(3 * opened.layout.size * 4)[0] == (0, 0, 2)


def write_seeds(path, channels):
    seeds = {f"{i:04d}": RNG.normal(size=(T, NX, NY, channels)).astype("f4") for i in range(3)}
    with h5py.File(path, "w") as file:
        for seed, values in seeds.items():
            file[f"{seed}/data"] = values
            file[f"{seed}/grid/t"] = np.linspace(0, 3, T)
            file[f"{seed}/grid/x"], file[f"{seed}/grid/y"] = np.arange(NX) - 0.5, np.arange(NY)
    return seeds


@pytest.mark.parametrize("channels", [1, 2])
def test_pdebench_groups_of_seeds(tmp_path, channels):
    seeds = write_seeds(tmp_path / "2D_diff-react_NA_NA.h5", channels)
    opened = open_snapshots(tmp_path / "2D_diff-react_NA_NA.h5")
    assert opened.layout.names == (("data",) if channels == 1 else ("data_0", "data_1"))
    assert opened.layout.space == ("x", "y")
    assert opened.lengths == (T,) * 3
    for case, values in enumerate(seeds.values()):
        got = opened.read(1, 5, case)
        np.testing.assert_array_equal(got, np.moveaxis(values[1:5], -1, 1))
    np.testing.assert_array_equal(opened.times(1).values, np.linspace(0, 3, T))
    again = pickle.loads(pickle.dumps(opened))
    np.testing.assert_array_equal(again.read(0, 1, 2), opened.read(0, 1, 2))
    whole = opened.to_dataset().load()
    np.testing.assert_array_equal(whole[opened.layout.names[0]].values[2], seeds["0002"][..., 0])


def test_pdebench_seeds_of_different_shape(tmp_path):
    write_seeds(tmp_path / "a.h5", 1)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["0001/data"]
        file["0001/data"] = np.zeros((T - 1, NX, NY, 1))
    with pytest.raises(DataError, match=r"0001/data has shape \(6, 6, 5, 1\); expected \(7,"):
        open_snapshots(tmp_path / "a.h5")


@pytest.mark.parametrize("apart", [0.0, 2.0])
def test_pdebench_incompressible(tmp_path, apart):
    velocity = RNG.normal(size=(2, T, NX, NY, 2)).astype("f4")
    particles = RNG.normal(size=(2, T, NX, NY, 1)).astype("f4")
    times = 0.005 * np.arange(T) + apart * np.arange(2)[:, None]
    with h5py.File(tmp_path / "ns_incom_inhom_2d_512-0.h5", "w") as file:
        file["force"] = np.zeros((2, NX, NY, 2), "f4")
        file.create_dataset("velocity", data=velocity, chunks=(1, 2, NX, NY, 2))
        file["particles"], file["t"] = particles, times
    opened = open_snapshots(tmp_path / "ns_incom_inhom_2d_512-0.h5", periodic=["x", "y"])
    assert opened.layout.names == ("particles", "velocity_x", "velocity_y")
    assert opened.layout.space == ("x", "y")
    want = np.concatenate([particles, velocity], axis=-1)
    for case in range(2):
        np.testing.assert_array_equal(opened.read(2, 6, case), np.moveaxis(want[case, 2:6], -1, 1))
        np.testing.assert_array_equal(opened.times(case).values, times[case])
