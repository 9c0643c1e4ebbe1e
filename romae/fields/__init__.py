"""Fields in: snapshots from files, their layout, statistics and scaling. No torch here."""

from romae.fields.blocks import Block
from romae.fields.inspect import inspect_source
from romae.fields.layout import Field, Layout
from romae.fields.opening import open_snapshots
from romae.fields.recognise import open_like
from romae.fields.scaling import Scaling
from romae.fields.snapshots import Snapshots
from romae.fields.survey import Survey, survey

__all__ = [
    "Block",
    "Field",
    "Layout",
    "Scaling",
    "Snapshots",
    "Survey",
    "inspect_source",
    "open_like",
    "open_snapshots",
    "survey",
]
