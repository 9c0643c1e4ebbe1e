"""Snapshots to tensors: the only place where arrays become tensors."""

from romae.feed.device import pick_device
from romae.feed.feed import ResidentFeed, StreamFeed, make_feed
from romae.feed.reader import Throughput
from romae.feed.scale import TensorScaling

__all__ = ["ResidentFeed", "StreamFeed", "TensorScaling", "Throughput", "make_feed", "pick_device"]
