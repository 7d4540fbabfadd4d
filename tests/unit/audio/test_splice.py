"""A splice is read as one stream, and a file that moves underneath it is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recpipe.audio.splice import SpliceReader
from recpipe.errors import SourceChanged, Unfit
from recpipe.model import Settled, Splice


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(bytes(range(256)) * 4)
    return path


def settled(path: Path) -> Settled:
    status = path.stat()
    return Settled(path, path.name, status.st_size, status.st_mtime_ns, status.st_ino)


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 300), st.integers(0, 300), st.integers(1, 700))
def test_the_stream_is_prefix_range_and_suffix_whatever_the_buffer(
    tmp_path_factory: pytest.TempPathFactory, prefix: bytes, suffix: bytes, start: int, length: int, step: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "shared.bin"
    content = bytes(range(256)) * 4
    path.write_bytes(content)
    splice = Splice(path, start, length, prefix, suffix)
    expected = prefix + content[start : start + length] + suffix
    with SpliceReader(splice) as reader:
        assert reader.size_bytes == len(expected)
        parts, buffer = [], bytearray(step)
        while count := reader.readinto(memoryview(buffer)):
            parts.append(bytes(buffer[:count]))
        assert b"".join(parts) == expected
    with SpliceReader(splice) as reader:
        assert reader.read(7) + reader.read() == expected


def test_a_file_that_became_shorter_is_noticed_at_once_and_in_the_middle(source: Path) -> None:
    splice = Splice(source, 0, 1024)
    with SpliceReader(splice) as reader:
        reader.read(100)
        os.truncate(source, 500)
        with pytest.raises(SourceChanged):
            reader.read()
    with pytest.raises(SourceChanged):
        SpliceReader(splice)


@pytest.mark.parametrize("change", ["append", "touch", "replace"])
def test_a_file_that_is_not_the_settled_one_is_noticed(source: Path, change: str) -> None:
    was = settled(source)
    reader = SpliceReader(Splice(source, 0, 1024), was)
    if change == "append":
        with source.open("ab") as out:
            out.write(b"x")
    elif change == "touch":
        os.utime(source, ns=(was.mtime_ns + 1, was.mtime_ns + 1))
    else:
        other = source.with_name("other")
        other.write_bytes(source.read_bytes())
        os.utime(other, ns=(was.mtime_ns, was.mtime_ns))
        other.replace(source)
    if change != "replace":  # an open file stays the file it was
        with pytest.raises(SourceChanged):
            reader.read()
    reader.close()
    with pytest.raises(SourceChanged):
        SpliceReader(Splice(source, 0, 1024), was)


def test_a_missing_file_and_a_link_are_not_read(source: Path) -> None:
    link = source.with_name("link")
    link.symlink_to(source)
    with pytest.raises(Unfit):
        SpliceReader(Splice(link, 0, 10))
    source.unlink()
    with pytest.raises(SourceChanged):
        SpliceReader(Splice(source, 0, 10))


def test_refused_readers_leave_no_descriptor_open(source: Path) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(20):
        with pytest.raises(SourceChanged):
            SpliceReader(Splice(source, 0, 4096))
    assert len([*Path("/proc/self/fd").iterdir()]) == before
