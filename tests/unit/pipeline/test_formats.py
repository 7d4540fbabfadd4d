"""Which file is another format of a stored recording, and which only has a similar name."""

from __future__ import annotations

from pathlib import Path

import pytest

from recpipe.model import Settled
from recpipe.pipeline.formats import OtherFormats
from tests.contracts.catalogue_samples import a_recording, a_tenant

HOUR_NS = 3600 * 10**9


def settled(relative: str, mtime_ns: int = 0) -> Settled:
    return Settled(Path("/spool", relative), relative, 1, mtime_ns, 1)


@pytest.mark.parametrize(
    ("relative", "duration_ms", "mtime_ns", "same"),
    [
        ("a/call.mp3", 60_000, 0, True),
        ("a/call.mp3", 61_900, 0, True),
        ("a/call.mp3", 63_000, 0, False),  # another length
        ("b/call.mp3", 60_000, 0, False),
        ("a/call.wav", 60_000, 0, False),  # written anew: no other format
        ("a/call.WAV", 60_000, 0, False),
        ("a/call.5", 60_000, 0, False),  # no format, a part of the name
        ("a/call.mp3", 60_000, 2 * HOUR_NS, False),  # a name that is used for each call
    ],
)
def test_another_format_has_the_name_the_length_and_the_time(
    relative: str, duration_ms: int, mtime_ns: int, same: bool
) -> None:
    formats = OtherFormats()
    stored = a_recording(a_tenant(), duration_ms=60_000)
    formats.remember("pbx", settled("a/call.wav"), stored)
    assert (formats.of("pbx", settled(relative, mtime_ns), duration_ms) is stored) is same
    assert formats.of("another", settled(relative, mtime_ns), duration_ms) is None


def test_names_without_an_ending_are_formats_of_nothing() -> None:
    formats = OtherFormats()
    stored = a_recording(a_tenant())
    formats.remember("pbx", settled("1790000000.5"), stored)
    assert formats.of("pbx", settled("1790000000.6"), stored.duration_ms) is None
