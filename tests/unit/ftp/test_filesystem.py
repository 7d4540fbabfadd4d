"""Paths, patterns and the sizes of what is made as it is read."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftp.day_files import CALLS, CHECKSUMS, DAY_FILES, Lines, Measure
from ftp.filesystem import RecordingTree, absolute, matching
from ftp.listing import Entry
from recpipe.csv_rows import cell
from recpipe.errors import InputInvalid, NotFound
from recpipe.model import CallEntry, DayEntry
from recpipe.recordings.reader import checksum_line
from tests.integration.ftp_world import DAY, FtpWorld, ftp_world

WHEN = datetime(2025, 3, 27, 9, 25, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("working", "path", "expected"),
    [
        ("/", "", "/"),
        ("/", "2025", "/2025"),
        ("/2025/03", "27/x.mp3", "/2025/03/27/x.mp3"),
        ("/2025/03", "/2024", "/2024"),
        ("/2025/03", "..", "/2025"),
        ("/2025", "../../../..", "/"),
        ("/", "/../../etc/passwd", "/etc/passwd"),
        ("/", "//2025//03", "/2025/03"),
        ("/", "///", "/"),
        ("/2025", "./03/.", "/2025/03"),
        ("/2025", "03/../../../2025/./04", "/2025/04"),
    ],
)
def test_paths_become_absolute_and_never_leave_the_root(working: str, path: str, expected: str) -> None:
    assert absolute(working, path) == expected


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_gives_a_normal_path(working: str, path: str) -> None:
    made = absolute(absolute("/", working), path)
    assert made.startswith("/") and not made.startswith("//")
    assert ".." not in made.split("/")
    assert absolute("/", made) == made


TEXTS = st.one_of(
    st.text(max_size=40).filter(lambda t: not any(0xD800 <= ord(c) < 0xE000 for c in t)),
    st.sampled_from(
        ["q-600-+4930901820.wav", "=1+1", "a;=1", "-1", "+1", '"', " =1", "1743042317.4", "a|-1", "a-b", "(1)"]
    ),
)


@dataclass
class Folder:
    """What a reader says of one folder."""

    found: list[DayEntry]

    def in_day(self, _principal: Any, _day: str) -> Iterator[DayEntry]:
        return iter(self.found)

    def calls_in_day(self, _principal: Any, _day: str) -> Iterator[CallEntry]:
        return (CallEntry(one.name, one.started_at, one.linked_id, "c" * 32) for one in self.found)


@pytest.mark.parametrize("name", DAY_FILES)
@given(named=st.lists(st.tuples(TEXTS.filter(bool), TEXTS)))
def test_the_size_of_a_file_beside_the_recordings_is_that_of_its_lines(name: str, named: list[tuple[str, str]]) -> None:
    entries = [
        DayEntry("id", name, 1, hashlib.sha256(name.encode()).hexdigest(), WHEN, linked) for name, linked in named
    ]
    file = DAY_FILES[name]
    measure = Measure(file)
    for some in (entries[:3], entries[3:]):
        if some:
            measure.add(some)
    entry = measure.entry("2025-03-27")
    content = io.BufferedReader(Lines(file.lines(Folder(entries), None, "2025-03-27"))).read()  # type: ignore[arg-type]
    assert (entry.size_bytes if entry else 0) == (len(content) if entries else 0)
    if name == CALLS and entries:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
        assert rows[0] == ["call", "linked_id", "started_at", "name"] and {len(row) for row in rows} == {4}
        assert [row[1::2] for row in rows[1:]] == [[cell(linked), cell(name)] for name, linked in named]
    elif name == CHECKSUMS:
        assert content.decode() == "".join(map(checksum_line, entries))


@dataclass
class Listing:
    """One folder of names."""

    names: list[str] = field(default_factory=list)

    def stat(self, path: str) -> Entry:
        name = path.rpartition("/")[2]
        if path == "/f" or name in self.names:
            return Entry(name, 1, WHEN, is_folder=path == "/f")
        raise NotFound("file")

    def entries(self, path: str) -> Iterator[Entry]:
        return (Entry(name, 1, WHEN) for name in self.names)

    def open(self, path: str, start: int) -> Any:
        raise AssertionError(path)

    def sha256(self, path: str) -> str:
        raise AssertionError(path)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/f", ["a.mp3", "b.mp3.enc", "[Bob]_1-2.wav"]),
        ("/f/*.mp3", ["a.mp3"]),
        ("/f/*", ["a.mp3", "b.mp3.enc", "[Bob]_1-2.wav"]),
        ("/f/?.mp3", ["a.mp3"]),
        ("/f/[ab].*", ["a.mp3", "b.mp3.enc"]),
        ("/f/[Bob]_1-2.wav", ["[Bob]_1-2.wav"]),  # a name of that kind is itself, not a pattern
        ("/f/*nothing*", []),
    ],
)
def test_patterns_find_what_a_shell_would(path: str, found: list[str]) -> None:
    _, entries = matching(Listing(["a.mp3", "b.mp3.enc", "[Bob]_1-2.wav"]), path)
    assert [entry.name for entry in entries] == found


def test_a_missing_name_is_no_empty_listing() -> None:
    with pytest.raises(NotFound):
        matching(Listing(), "/f/gone.mp3")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpWorld]:
    with ftp_world(tmp_path_factory.mktemp("ftp")) as made:
        yield made


@pytest.fixture
def tree(world: FtpWorld) -> RecordingTree:
    principal = world.gateway.services.access.ftp("acme", "three quiet lamps", "127.0.0.1")
    return RecordingTree(world.gateway.services.reader, principal)


def test_folders_are_those_that_hold_something(tree: RecordingTree) -> None:
    assert [entry.name for entry in tree.entries("/")] == ["2025"]
    assert [entry.name for entry in tree.entries("/2025")] == ["03", "05"]
    assert [entry.name for entry in tree.entries("/2025/03")] == ["27"]
    assert tree.stat("/2025/03").is_folder


@pytest.mark.parametrize(
    "path",
    [
        *("/2024", "/2025/04", "/2025/3", "/2025/03/28", "/2025/13/01", "/x", f"{DAY}/gone.wav", f"{DAY}/one.wav/x"),
        *(
            "/٢٠٢٥",
            "/2024/01/01/SHA256SUMS",
            "/2024/01/01/CALLS.csv",
            "/..../03",
            f"{DAY}/{'x' * 2000}",
            f"{DAY}/a\x00b",
        ),
    ],
)
def test_what_is_not_there_is_not_found(tree: RecordingTree, path: str) -> None:
    for ask in (tree.stat, tree.entries, tree.sha256, lambda p: tree.open(p, 0)):
        with pytest.raises(NotFound):
            ask(path)


@pytest.mark.parametrize("start", [0, 1, 66, 67, 100])
@pytest.mark.parametrize("name", DAY_FILES)
def test_a_file_beside_the_recordings_can_be_read_from_any_offset(tree: RecordingTree, name: str, start: int) -> None:
    whole, size = tree.open(f"{DAY}/{name}", 0)
    content = whole.read()
    assert size == len(content) == tree.stat(f"{DAY}/{name}").size_bytes
    part, left = tree.open(f"{DAY}/{name}", start)
    assert part.read() == content[start:]
    assert left == len(content) - start
    assert tree.sha256(f"{DAY}/{name}") == hashlib.sha256(content).hexdigest()
    with pytest.raises(InputInvalid):
        tree.open(f"{DAY}/{name}", size + 1)


def test_every_checksum_is_right(tree: RecordingTree, world: FtpWorld) -> None:
    for path, content in world.contents.items():
        assert tree.sha256(path) == hashlib.sha256(content).hexdigest()


def test_a_large_folder_is_listed_without_being_held(world: FtpWorld, tmp_path: Path) -> None:
    taken: list[int] = []

    class Counting:
        def in_day(self, _principal: Any, _day: str) -> Iterator[DayEntry]:
            for number in range(100_000):
                taken.append(number)
                yield DayEntry(f"{number}", f"{number}.mp3", 1, "0" * 64, WHEN)

        def days(self, _principal: Any, _month: str) -> list[str]:
            return ["2025-03-27"]

    entries = RecordingTree(Counting(), None).entries("/2025/03/27")  # type: ignore[arg-type]
    assert [next(entries).name for _ in range(3)] == ["0.mp3", "1.mp3", "2.mp3"]
    assert len(taken) <= 200  # a few, not the folder
