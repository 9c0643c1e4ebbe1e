"""Snapshots to tensors: the only place where arrays become tensors."""

from romae.feed.device import pick_device
from romae.feed.feed import ResidentFeed, StreamFeed, make_feed
from romae.feed.reader import Throughput
from romae.feed.scale import TensorScaling
from romae.feed.speed import Speed, measure_speed

__all__ = [
    "ResidentFeed",
    "Speed",
    "StreamFeed",
    "TensorScaling",
    "Throughput",
    "make_feed",
    "measure_speed",
    "pick_device",
]
