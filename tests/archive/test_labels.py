"""Labels as one file: what goes in comes out, and damage is told."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.archive.labels import pack_files, unpack_files
from romae.archive.plan import chunk_length
from romae.errors import ArchiveError

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30)


@given(st.dictionaries(NAMES, st.binary(max_size=300), min_size=1, max_size=6), st.randoms())
@settings(max_examples=50, deadline=None)
def test_files_come_back_and_their_order_makes_no_other_bytes(files, random):
    packed = pack_files(files)
    assert unpack_files(packed) == files
    names = list(files)
    random.shuffle(names)
    assert pack_files({n: files[n] for n in names}) == packed


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_bytes_that_are_no_labels_are_told(data):
    packed = pack_files({"a": os.urandom(50), "b": b"x" * 1000})
    damaged = data.draw(
        st.integers(0, len(packed) - 1).map(lambda n: packed[:n]) | st.binary(max_size=40)
    )
    with pytest.raises(ArchiveError, match=r"labels\.bin cannot be read|cut or damaged"):
        unpack_files(damaged)


@given(
    st.integers(1, 1 << 26),
    st.sampled_from([2, 4, 8]),
    st.lists(st.integers(1, 10**6), min_size=1, max_size=3),
)
def test_the_default_chunk_is_a_mebibyte_or_64_snapshots_and_at_most_64_mebibytes(
    points, itemsize, lengths
):
    of = SimpleNamespace(
        layout=SimpleNamespace(size=points),
        dtype=np.dtype(f"f{itemsize}"),
        lengths=lengths,
    )
    n, each = chunk_length(of, None), points * itemsize
    assert 1 <= n <= max(lengths)
    assert n == 1 or n * each <= 1 << 26
    if n < max(lengths) and (n + 1) * each <= 1 << 26:  # neither ends it
        assert n >= 64
        assert (n + 1) * each > 1 << 20
    if n > 64:
        assert n * each <= 1 << 20
    assert chunk_length(of, 7) == min(7, max(lengths))
