"""Feeds: every snapshot once an epoch, in an order of (seed, epoch), and no thread left behind."""

import threading

import numpy as np
import pytest
import torch
import xarray as xr

from romae.errors import OptionError
from romae.feed import (
    ResidentFeed,
    StreamFeed,
    TensorScaling,
    make_feed,
    measure_speed,
    pick_device,
)
from romae.feed.pool import Pool
from romae.fields import Scaling, Snapshots, open_snapshots, survey

SNAPSHOT = 4 * 3 * 4  # bytes of one


def numbered(T: int, cases: int = 1) -> Snapshots:
    """Snapshots (3, 4) whose values tell their position."""
    values = np.arange(cases * T, dtype="f4")[:, None, None] + np.arange(12).reshape(3, 4) / 100
    data = xr.DataArray(
        values.reshape(cases, T, 3, 4).astype("f4"),
        dims=("case", "time", "y", "x"),
        coords={"time": np.arange(T) * 0.5},
        name="u",
    )
    return open_snapshots(data if cases > 1 else data[0])


def plain(snapshots: Snapshots) -> Scaling:
    """Scaling that leaves values as they are."""
    return Scaling(np.zeros(snapshots.shape[1:]), np.ones(1), "none")


def seen(batches) -> list[int]:
    """Positions of the snapshots in ``batches``."""
    return [round(float(x)) for batch in batches for x in batch[:, 0, 0, 0]]


def make(kind: str, snapshots: Snapshots, **options):
    if kind == "stream":
        return StreamFeed(snapshots, plain(snapshots), block_bytes=3 * SNAPSHOT, **options)
    return make_feed(snapshots, plain(snapshots), **options)


def readers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "romae-reader"]


both = pytest.mark.parametrize("kind", ["resident", "stream"])


@both
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch", [1, 4, 7, 22, 50])
@pytest.mark.parametrize("cases", [1, 2])
def test_every_snapshot_once_in_as_many_updates_as_promised(kind, shuffle, batch, cases):
    feed = make(kind, numbered(22, cases), batch=batch, shuffle=shuffle)
    batches = list(feed.epoch(3))
    assert sorted(seen(batches)) == list(range(22 * cases))
    assert feed.samples == 22 * cases
    assert len(batches) == feed.updates == -(-22 * cases // batch)
    assert all(1 <= len(b) <= batch for b in batches)
    assert (seen(batches) == list(range(22 * cases))) == (not shuffle)
    assert not readers()


@both
def test_the_order_depends_on_seed_and_epoch_alone(kind):
    snapshots = numbered(40)

    def order(seed, epoch):
        torch.rand(1)  # moves the global generator on: it is no input
        return seen(make(kind, snapshots, batch=6, seed=seed).epoch(epoch))

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(s, e)) for s in (0, 1) for e in (0, 1, 2)}) == 6
    feed = make(kind, snapshots, batch=6, seed=1)
    list(feed.epoch(0))
    assert seen(feed.epoch(2)) == order(1, 2)


@both
def test_values_arrive_scaled_and_in_single_precision(kind):
    snapshots = numbered(10)
    scaling = Scaling.fit(snapshots)
    options = {"batch": 4, "shuffle": False}
    feed = (
        StreamFeed(snapshots, scaling, block_bytes=3 * SNAPSHOT, **options)
        if kind == "stream"
        else make_feed(snapshots, scaling, **options)
    )
    x = torch.cat(list(feed.epoch(0)))
    assert x.dtype == torch.float32
    np.testing.assert_allclose(x.numpy(), scaling.forward(snapshots.read(0, 10)), atol=1e-6)


def test_a_feed_is_resident_where_the_snapshots_fit():
    snapshots = numbered(10)
    options = {"batch": 4, "seed": 3}
    fits = make_feed(snapshots, plain(snapshots), resident_bytes=10 * SNAPSHOT, **options)
    large = make_feed(snapshots, plain(snapshots), resident_bytes=10 * SNAPSHOT - 1, **options)
    assert isinstance(fits, ResidentFeed)
    assert isinstance(large, StreamFeed)
    assert fits.updates == large.updates
    assert sorted(seen(fits.epoch(0))) == sorted(seen(large.epoch(0)))


def test_a_stream_mixes_blocks():
    """A batch holds snapshots from far apart, or training would see one moment at a time."""
    feed = make("stream", numbered(120), batch=6)
    spread = [np.ptp(seen([batch])) for batch in feed.epoch(0)]
    assert np.median(spread) > 20


def test_a_stream_of_one_block_is_shuffled_anew_in_every_epoch():
    snapshots = numbered(12)
    feed = StreamFeed(snapshots, plain(snapshots), batch=4, block_bytes=12 * SNAPSHOT)
    assert seen(feed.epoch(0)) != seen(feed.epoch(1)) != list(range(12))


def test_the_reader_ends_when_the_consumer_stops_early():
    feed = make("stream", numbered(60), batch=2)
    epoch = feed.epoch(0)
    next(epoch)
    assert readers()
    epoch.close()
    assert not readers()
    with pytest.raises(KeyError):
        for _ in feed.epoch(0):
            raise KeyError
    assert not readers()


def test_an_error_of_the_reader_reaches_the_consumer(monkeypatch):
    snapshots = numbered(60)
    whole = Snapshots.plan

    def torn(self, start, stop, case, out):
        if start >= 30:
            raise OSError("the disk is gone")
        return whole(self, start, stop, case, out)

    feed = make("stream", snapshots, batch=5, shuffle=False)
    monkeypatch.setattr(Snapshots, "plan", torn)
    got = []
    with pytest.raises(OSError, match="the disk is gone"):
        got.extend(feed.epoch(0))
    assert seen(got) == list(range(30))
    assert not readers()


def test_reading_runs_ahead_by_a_bounded_number_of_blocks(monkeypatch):
    snapshots, read = numbered(300), []
    whole = Snapshots.plan

    def counted(self, start, stop, case, out):
        read.append(start)
        return whole(self, start, stop, case, out)

    feed = make("stream", snapshots, batch=3, mix=2)
    monkeypatch.setattr(Snapshots, "plan", counted)
    epoch = feed.epoch(0)
    next(epoch)
    threading.Event().wait(0.3)
    assert len(read) <= 6  # one buffer in use, one waiting, one in the reader's hand
    epoch.close()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["units", "field", "none"])
@pytest.mark.parametrize("masked", [False, True])
def test_tensors_are_scaled_as_arrays(dtype, kind, masked):
    rng = np.random.default_rng(0)
    shape = (12, 4, 5)
    u, p = rng.normal(3, 1, shape).astype(dtype), rng.normal(1e5, 1, shape).astype(dtype)
    if masked:
        u[:, 1, 2] = p[:, 1, 2] = np.nan
    dims = ("time", "y", "x")
    data = xr.Dataset({"u": (dims, u, {"units": "m/s"}), "p": (dims, p, {"units": "Pa"})})
    snapshots = open_snapshots(data)
    arrays = Scaling.fit(survey(snapshots), kind)
    tensors = TensorScaling(arrays)
    x = snapshots.read(0, 12)
    z = tensors.forward(torch.from_numpy(x.copy()))
    assert z.dtype == torch.float32
    np.testing.assert_allclose(z.numpy(), arrays.forward(x), atol=3e-6)
    if masked:
        assert (z[:, :, 1, 2] == 0).all()
    assert torch.equal(tensors.forward(torch.from_numpy(x.copy()), overwrite=True), z)
    exact = arrays.forward(x)
    back = tensors.inverse(torch.from_numpy(exact.copy()))
    assert back.dtype == torch.float64
    np.testing.assert_array_equal(back.numpy(), arrays.inverse(exact))
    single = tensors.inverse(torch.from_numpy(exact.astype("f4")))
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), arrays.inverse(exact), rtol=1e-7, atol=1e-6)
    np.testing.assert_array_equal(x, snapshots.read(0, 12))


def test_forward_leaves_its_input_alone():
    snapshots = numbered(4)
    x = torch.from_numpy(snapshots.read(0, 4))
    before = x.clone()
    scale = TensorScaling(Scaling.fit(snapshots))
    z = scale.forward(x)
    scale.inverse(z.clone())
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", ""])
def test_unknown_device(name):
    with pytest.raises(OptionError, match=r"unknown device.*Expected auto, cpu, cuda"):
        pick_device(name)


def test_devices():
    assert pick_device("cpu") == torch.device("cpu")
    if torch.cuda.is_available():
        assert pick_device().type == "cuda"
    else:
        assert pick_device().type == "cpu"
        with pytest.raises(OptionError, match=r"sees no CUDA device.*--device cpu"):
            pick_device("cuda")


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("skip", [0, 1, 4, 9, 10, 30])
def test_an_interrupted_epoch_goes_on_where_it_was(shuffle, skip, monkeypatch):
    snapshots, read = numbered(59), []
    whole = Snapshots.plan

    def counted(self, start, stop, case, out):
        read.append(sum(row is not None for row in out))
        return whole(self, start, stop, case, out)

    feed = make("stream", snapshots, batch=6, shuffle=shuffle, mix=2)
    expected = [seen([batch]) for batch in feed.epoch(3)]
    monkeypatch.setattr(Snapshots, "plan", counted)
    assert [seen([batch]) for batch in feed.epoch(3, skip=skip)] == expected[skip:]
    assert sum(read) == sum(map(len, expected[skip:]))


def test_batches_stay_as_they_are_when_buffers_are_reused(monkeypatch):
    feed = make("stream", numbered(60), batch=4)
    batches = list(feed.epoch(0))  # held while everything else is read
    assert sorted(seen(batches)) == list(range(60))
    del batches
    made = []
    slab = Pool._slab
    monkeypatch.setattr(Pool, "_slab", lambda self: made.append(self) or slab(self))
    # Which of the spare buffers come next depends on how far the reader is ahead.
    assert sum(len(batch) for n in range(1, 9) for batch in feed.epoch(n)) == 8 * 60
    assert not made  # nothing is allocated after the first epoch


@pytest.mark.parametrize("shuffle", [True, False])
def test_without_scaling_batches_are_in_physical_units(shuffle):
    snapshots = numbered(23)
    feed = StreamFeed(snapshots, None, batch=4, shuffle=shuffle, block_bytes=3 * SNAPSHOT)
    batches = list(feed.epoch(0))
    x = torch.cat(batches)[np.argsort(seen(batches))]
    np.testing.assert_array_equal(x.numpy(), snapshots.read(0, 23))


def test_a_feed_states_its_throughput():
    feed = make("stream", numbered(60), batch=4)
    assert feed.throughput.rate == 0
    list(feed.epoch(0))
    list(feed.epoch(1))
    assert feed.throughput.nbytes == 2 * 60 * SNAPSHOT
    assert feed.throughput.rate > 0
    assert "MB/s" in str(feed.throughput)


def test_reading_into_an_array_of_another_shape_or_type():
    snapshots = numbered(10)
    with pytest.raises(OptionError, match=r"\(3, 1, 3, 4\) of float64. Expected \(2, 1, 3, 4\)"):
        snapshots.read(0, 2, out=np.empty((3, 1, 3, 4)))


def test_the_speed_of_snapshots_in_memory_and_in_a_file(tmp_path):
    snapshots = numbered(40)
    speed = measure_speed(snapshots, seconds=0.01)
    assert speed.bare is None
    assert "snapshots/s" in str(speed)
    snapshots.to_dataset().to_netcdf(tmp_path / "a.nc")
    speed = measure_speed(open_snapshots(tmp_path / "a.nc"), seconds=0.01)
    assert min(speed.first, speed.again, speed.bare) > 0
    assert speed.ratio == 40 * SNAPSHOT / (tmp_path / "a.nc").stat().st_size
    assert "the bytes of the files alone come at" in str(speed)
