"""The walk must survive any bytes at all, and never claim what is not there."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recpipe.audio.riff import MAX_CHUNKS, NotRiff, Riff, walk
from tests.unit.audio.make import FMT, chunk, riff


class Memory:
    """Bytes that count how often they are asked for."""

    def __init__(self, content: bytes) -> None:
        self.content, self.size_bytes, self.reads = content, len(content), 0

    def at(self, offset: int, length: int, /) -> bytes:
        self.reads += 1
        return self.content[offset : offset + length]


ids = st.sampled_from([b"fmt ", b"data", b"LIST", b"id3 ", b"fact", b"ds64", b"junk", b"\0\0\0\0", b"    "])
sizes = st.one_of(st.none(), st.integers(0, 80), st.sampled_from([0x7FFFFFFF, 0xFFFFFFFF, 0x80000000]))
pieces = st.builds(
    lambda name, body, size, pad: chunk(name, body, size=size, pad=pad),
    ids,
    st.binary(max_size=64),
    sizes,
    st.booleans(),
)
files = st.builds(
    lambda form, size, parts, rest: form + struct.pack("<I", size) + b"WAVE" + b"".join(parts) + rest,
    st.sampled_from([b"RIFF", b"RF64", b"BW64"]),
    st.integers(0, 0xFFFFFFFF),
    st.lists(pieces, max_size=8),
    st.binary(max_size=40),
)


def bounds(found: Riff) -> list[tuple[int, int]]:
    chunks = [*found.head, *([found.data] if found.data else []), *found.tail]
    return [(part.start, part.end) for part in chunks]


@given(st.one_of(files, st.binary(max_size=200)))
def test_any_bytes_give_chunks_that_lie_inside_the_file_in_order(content: bytes) -> None:
    source = Memory(content)
    try:
        found = walk(source)
    except NotRiff:
        return
    edges = [12, *(edge for pair in bounds(found) for edge in pair), len(content)]
    assert edges == sorted(edges)
    assert source.reads < 1000


@given(st.lists(st.tuples(st.sampled_from([b"LIST", b"cue ", b"abcd"]), st.binary(max_size=50)), max_size=6),
       st.binary(min_size=1, max_size=400), st.lists(st.binary(max_size=30), max_size=5))  # fmt: skip
def test_a_well_formed_file_is_found_as_it_was_made(
    head: list[tuple[bytes, bytes]], audio: bytes, tail: list[bytes]
) -> None:
    parts = [chunk(name, body) for name, body in head]
    content = riff(FMT, *parts, chunk(b"data", audio), *(chunk(b"LIST", body) for body in tail))
    found = walk(Memory(content))
    assert [content[c.start : c.end] for c in found.head[1:]] == [body for _, body in head]
    assert found.data is not None and content[found.data.start : found.data.end] == audio
    assert [content[c.start : c.end] for c in found.tail] == tail
    assert not found.repaired and not found.truncated


@given(st.binary(min_size=1, max_size=400), st.sampled_from([0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFFFDB]))
def test_audio_of_unknown_size_reaches_to_the_end(audio: bytes, claimed: int) -> None:
    found = walk(Memory(riff(FMT, chunk(b"data", audio, size=claimed, pad=False), size=claimed)))
    assert found.data is not None and found.data.size == len(audio)
    assert found.repaired and not found.truncated


def test_a_million_tiny_chunks_cost_no_million_reads() -> None:
    source = Memory(riff(FMT, *[chunk(b"abcd", b"")] * 50_000, chunk(b"data", b"x" * 100)))
    assert walk(source).data is None
    behind = Memory(riff(FMT, chunk(b"data", b"x" * 100), *[chunk(b"abcd", b"")] * 50_000))
    assert len(walk(behind).tail) == MAX_CHUNKS + 1
    assert source.reads + behind.reads < 12 * MAX_CHUNKS


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFX\0\0\0\0WAVE", b"RIFF\0\0\0\0AVI "])
def test_other_files_are_not_riff(content: bytes) -> None:
    with pytest.raises(NotRiff):
        walk(Memory(content))
