"""MPEG audio as it is found: joined, torn, with holes and tags in it, of every layer. What players play is measured."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from recpipe import samples
from recpipe.audio import mpeg, peaks
from recpipe.audio.decode import Undecodable, blocks
from recpipe.audio.probe import probe
from recpipe.errors import Unfit
from tests.unit.audio.make import speech
from tests.unit.audio.test_riff import Memory

TAG = b"ID3\4\0\0\0\0\7\x68" + b"x" * 1000
NOISE = random.Random(1).randbytes(600_000)
# Whole frames of silence: their side information and their allocation are zeros.
LAYER_II = (b"\xff\xf5\x48\xc4" + bytes(284)) * 40  # MPEG-2, 16 kHz, 32 kbps, mono
FREE_FORMAT = (b"\xff\xf3\x08\xc4" + bytes(200)) * 40  # MPEG-2 layer III, 16 kHz, mono


def encoded(path: Path, rate: int) -> bytes:
    soundfile.write(path, speech(4 * rate), rate, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT")
    return path.read_bytes()


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """Without their info frame, as most recorders write them, by rate: MPEG-2.5, MPEG-2 and MPEG-1."""
    folder = tmp_path_factory.mktemp("mpeg")
    made = {rate: encoded(folder / f"{rate}.mp3", rate) for rate in (8_000, 16_000, 44_100)}
    for rate, content in made.items():
        info = mpeg.parse_frame(content[:4])
        assert info is not None and (b"Info" in content[:200] or b"Xing" in content[:200])
        made[rate] = content[info.size_bytes :]
    return made


@pytest.fixture
def probed(tmp_path: Path) -> Callable[[bytes], tuple[int, tuple[str, ...]]]:
    def length(content: bytes) -> tuple[int, tuple[str, ...]]:
        path = tmp_path / "a.mp3"
        path.write_bytes(content)
        facts = probe(path)
        if not facts.flags:
            peaks.compute(path, facts)
        return facts.duration_ms, facts.flags

    return length


@pytest.mark.parametrize("between", [bytes(1000), TAG, NOISE[:5000], b"TAG" + bytes(125), TAG + bytes(33)])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_what_stands_between_frames_is_no_audio(
    streams: dict[int, bytes], probed: Callable[[bytes], object], rate: int, between: bytes
) -> None:
    whole = streams[rate]
    half = mpeg.measure(Memory(whole)).runs[0][1] // 2
    while mpeg.parse_frame(whole[half : half + 4]) is None or whole[half : half + 2] != whole[:2]:
        half += 1
    assert probed(whole[:half] + between + whole[half:]) == probed(whole)


def test_joined_streams_are_as_long_as_their_parts(
    streams: dict[int, bytes], probed: Callable[[bytes], tuple[int, tuple[str, ...]]]
) -> None:
    one, two = probed(streams[8_000])[0], probed(streams[16_000])[0]
    assert probed(streams[8_000] * 2) == (2 * one, ())
    assert probed(streams[8_000] + TAG + streams[8_000]) == (2 * one, ())
    # Of two rates no player makes one waveform.
    assert probed(streams[8_000] + streams[16_000]) == (one + two, ("no-waveform",))


def test_an_info_frame_speaks_for_the_part_of_a_joined_file_that_it_came_with(
    tmp_path: Path, probed: Callable[[bytes], tuple[int, tuple[str, ...]]]
) -> None:
    whole = encoded(tmp_path / "info.mp3", 16_000)
    alone = probed(whole)
    joined, flags = probed(whole + whole)
    assert alone[1] == () == flags
    assert 2 * alone[0] <= joined <= 2 * alone[0] + 300  # what one alone leaves out at its ends, and an info frame


@pytest.mark.parametrize("front", [NOISE, NOISE.replace(b"\xff", b"\0"), bytes(5000), b"APETAGEX" + bytes(24)])
def test_audio_behind_other_bytes_is_found(
    streams: dict[int, bytes], probed: Callable[[bytes], object], front: bytes
) -> None:
    assert probed(front + streams[16_000]) == probed(streams[16_000])


@pytest.mark.parametrize(
    ("content", "codec", "rate", "duration_ms", "bit_rate"),
    [(LAYER_II, "mp2", 16_000, 2880, 32_000), (FREE_FORMAT, "mp3", 16_000, 1440, 45_333)],
)
def test_layer_ii_and_free_format_are_mpeg_audio(
    tmp_path: Path, content: bytes, codec: str, rate: int, duration_ms: int, bit_rate: int
) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    facts = probe(path)
    assert (facts.codec, facts.sample_rate_hz, facts.channels, facts.flags) == (codec, rate, 1, ())
    assert (facts.duration_ms, facts.bit_rate_bps, facts.vbr) == (duration_ms, bit_rate, False)
    assert peaks.decode(peaks.compute(path, facts, 10)).channels == (((0, 0),) * 10,)


def test_holes_do_not_move_what_is_heard_behind_them(tmp_path: Path, streams: dict[int, bytes]) -> None:
    path, torn = tmp_path / "a.mp3", tmp_path / "b.mp3"
    path.write_bytes(streams[16_000])
    torn.write_bytes(NOISE[:3000] + streams[16_000])
    heard, behind = (np.concatenate(list(blocks(each, probe(each)))) for each in (path, torn))
    assert np.array_equal(heard, behind)


def test_a_tag_that_claims_more_than_the_file_has_hides_no_audio(tmp_path: Path, streams: dict[int, bytes]) -> None:
    path, empty = tmp_path / "a.mp3", tmp_path / "b.mp3"
    path.write_bytes(b"ID3\4\0\0\x7f\x7f\x7f\x7f" + streams[16_000])
    empty.write_bytes(b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(3000))
    assert probe(path).data_offset == 10
    with pytest.raises(Unfit, match="claims more than the file has"):
        probe(empty)


def test_what_cannot_be_decoded_says_so_without_the_inside_of_the_program(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(encoded(tmp_path / "b.mp3", 8_000) + encoded(tmp_path / "b.mp3", 16_000))
    with pytest.raises(Undecodable, match="as mp3") as refused:
        list(blocks(path, probe(path)))
    assert " at 0x" not in str(refused.value)


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([LAYER_II[:576], FREE_FORMAT[:612], TAG,
       b"ID3\4\0\0\0\0\0\5", b"TAG", b"\xff\xfb\x90\x00", b"\xff\xf3\x08\xc4"])), max_size=12))  # fmt: skip
def test_any_bytes_give_runs_that_lie_inside_the_file_in_order(parts: list[bytes]) -> None:
    source = Memory(b"".join(parts))
    try:
        found = mpeg.measure(source)
    except (mpeg.NotMpeg, mpeg.NoAudio):
        return
    edges = [0, *(edge for start, size in found.runs for edge in (start, start + size)), source.size_bytes]
    assert edges == sorted(edges) and found.frames > 0


def test_headers_that_are_none_cost_a_bounded_number_of_looks() -> None:
    source = Memory(b"\xff\xfb\x90\x00" * 200_000)
    with pytest.raises(mpeg.NotMpeg):
        mpeg.measure(source)
    assert source.reads < 100_000


def test_libmpg123_prints_nothing_between_lines_of_the_log(tmp_path: Path) -> None:
    # Given: an MP3 with damage of the kind that libmpg123 talks about
    content = bytearray(samples.paths()["invoice-request.mp3"].read_bytes())
    chance = random.Random(5)
    for _ in range(500):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    code = f"""
import json, sys, threading
from pathlib import Path
from recpipe import log
from recpipe.audio import peaks, probe
{{set_up}}
path = Path({str(path)!r})
facts = probe.probe(path)
done = threading.Event()
def talk():
    for number in range(300):
        log.get("test").warning("said", number=number)
    done.set()
threading.Thread(target=talk).start()
while not done.is_set():
    peaks.compute(path, facts)
peaks.compute(path, facts)
"""

    def said(set_up: str) -> list[str]:
        run = [sys.executable, "-c", code.format(set_up=set_up)]
        return subprocess.run(run, capture_output=True, text=True, check=True, timeout=120).stderr.splitlines()

    # Then: it does talk by itself; with our log it does not, and no line of ours is lost
    assert any("mpg123" in line for line in said("log.get = lambda _: __import__('structlog').get_logger()"))
    lines = said('log.set_up("json")')
    assert len(lines) == 300 and all(line.startswith("{") for line in lines)
