"""File names as text, and which files are what."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from recpipe.errors import Unfit
from recpipe.spool.files import (
    Kind,
    check_relative,
    from_safe_text,
    has_text_or_picture,
    is_foreign_folder,
    kind_of,
    only_sidecars_of,
    plain,
    read_small,
    recording_name,
    safe_text,
    sidecars_of,
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.wav", Kind.RECORDING),
        ("a.WAV", Kind.RECORDING),
        ("a.wav49", Kind.RECORDING),
        ("a.Mp3", Kind.RECORDING),
        ("a.json", Kind.SIDECAR),
        ("a.cdr.xml", Kind.SIDECAR),
        ("a.wav.part", Kind.TEMPORARY),
        ("a.wav.filepart", Kind.TEMPORARY),
        ("a.wav~", Kind.TEMPORARY),
        (".a.wav", Kind.HIDDEN),
        (".wav", Kind.HIDDEN),
        ("a.gsm", Kind.RECORDING),
        ("a.wav16", Kind.RECORDING),
        ("a.g726-32", Kind.RECORDING),
        ("a.webm", Kind.RECORDING),
        ("a.SLN16", Kind.RECORDING),
        ("wav", Kind.UNKNOWN),
        ("a.raw", Kind.UNKNOWN),
        ("a.wav.gz", Kind.UNKNOWN),
        ("out-1-2-20260901-092500-1790000000.17", Kind.UNKNOWN),
        ("README.txt", Kind.OTHER),
        ("Thumbs.db", Kind.OTHER),
        ("calls.m3u", Kind.OTHER),
    ],
)
def test_kinds_are_told_by_name(name: str, kind: Kind) -> None:
    assert kind_of(name) is kind


@given(some.binary(min_size=1, max_size=80).filter(lambda raw: b"\0" not in raw))
def test_any_file_name_survives_as_valid_text(raw: bytes) -> None:
    name = os.fsdecode(raw)
    text = safe_text(name)
    text.encode("utf-8")
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in text)
    assert os.fsencode(from_safe_text(text)) == raw


@given(some.text())
def test_any_text_at_all_round_trips(name: str) -> None:
    assert from_safe_text(safe_text(name)) == name


def test_ordinary_names_stay_readable() -> None:
    assert safe_text("2025/03/Grüße 日本.wav") == "2025/03/Grüße 日本.wav"
    assert safe_text("a\udcff\n\u202eb\\.wav") == "a\\xff\\x0a\\u202eb\\\\.wav"


@given(some.text(some.characters()))
def test_facts_are_one_line_of_valid_text(text: str) -> None:
    cleaned = plain(text)
    cleaned.encode("utf-8")
    assert len(cleaned) <= 255
    assert cleaned.splitlines() in ([], [cleaned])


@pytest.mark.parametrize("bad", ["", "/a", "a//b", "../a", "a/..", "./a", "a/.b", "a\0b", "x" * 256, "a/" * 2500 + "b"])
def test_paths_that_leave_the_spool_are_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=r"it|part"):
        check_relative(bad)


@pytest.mark.parametrize(
    "name",
    [
        "#recycle", "@Recycle", "#snapshot", "~snapshot", ".snapshot", "@Recently-Snapshot", "@eaDir", "@__thumb",
        "lost+found", "$RECYCLE.BIN", "RECYCLER", "System Volume Information", ".Trash-1000", ".zfs", ".recycle",
        "@GMT-2025.03.27-10.12.00", "@tmp", "#SNAPSHOTS", "Network Trash Folder", "found.000",
    ],
)  # fmt: skip
def test_folders_of_the_storage_are_known_by_name_and_nothing_is_uploaded_into_them(name: str) -> None:
    assert is_foreign_folder(name)
    with pytest.raises(ValueError):
        check_relative(f"2025/{name}/a.wav")


@pytest.mark.parametrize(
    "name", ["acme", "2025", "pbx.example.com", "#1001", "recycling-gmbh", "snapshot", "@home", "201"]
)
def test_folders_of_tenants_and_dates_are_not_the_storages(name: str) -> None:
    assert not is_foreign_folder(name)


def test_sidecars_are_found_and_a_shared_one_stays(tmp_path: Path) -> None:
    recording = tmp_path / "a.wav"
    for name in ("a.wav", "a.wav.json", "a.json", "a_metadata.json", "ab.json"):
        (tmp_path / name).touch()
    (tmp_path / "b.wav").touch()
    (tmp_path / "b.json").symlink_to(tmp_path / "a.json")

    assert [path.name for path in sidecars_of(recording)] == ["a.wav.json", "a_metadata.json", "a.json"]
    assert sidecars_of(tmp_path / "b.wav") == []
    assert len(only_sidecars_of(recording)) == 3
    (tmp_path / "a.mp3").touch()
    assert [path.name for path in only_sidecars_of(recording)] == ["a.wav.json"]


def test_small_files_are_read_through_no_link_or_pipe(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe")
    assert read_small(tmp_path / "a", 10) == b"x" * 10
    with pytest.raises(Unfit, match="larger than 9 bytes"):
        read_small(tmp_path / "a", 9)
    with pytest.raises(OSError, match="symbolic"):
        read_small(tmp_path / "link", 10)
    with pytest.raises(Unfit, match="regular file"):
        read_small(tmp_path / "pipe", 10)


@pytest.mark.parametrize(
    ("name", "read_as"),
    [
        ("a/b.gsm", "a/b.gsm"),
        ("a.b/c", "a.b/c.wav"),
        ("out-1-2-1790000000.17", "out-1-2-1790000000.17.wav"),
        ("a/b.raw", "a/b.wav"),
        ("a.wav.gz", "a.wav.gz.wav"),
    ],
)
def test_a_name_whose_ending_says_nothing_is_read_as_that_of_a_wav(name: str, read_as: str) -> None:
    assert recording_name(name) == read_as


@pytest.mark.parametrize(
    ("beginning", "no_recording"),
    [
        (b"", True),
        (bytes(4096), True),
        (b"Read me first.\r\n\tAll of it.", True),
        ("Grüße aus Köln, übers Büro".encode(), True),
        ("Grüße aus Köln".encode("latin-1"), True),
        ("some notes".encode("utf-16"), True),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), True),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", True),
        (b"\xd5" * 400, False),  # A-law silence
        (b"\xff" * 400, False),  # u-law silence
        (b"\xff\x7f\xfe\x7e" * 100, False),
        (b"\1\0\2\0\1\0\xff\xff" * 50, False),  # near silence in 16 bits
        (b"RIFF\x24\0\0\0WAVEfmt ", False),
        (b"\x1f\x8b\x08\0", False),
        (b"PK\3\4", False),
    ],
)
def test_text_and_pictures_are_told_from_what_may_be_samples(beginning: bytes, no_recording: bool) -> None:
    assert has_text_or_picture(beginning) is no_recording
