"""What the bytes say, whatever headers and names claim."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
import soundfile

from recpipe import samples
from recpipe.audio import peaks
from recpipe.audio.probe import probe
from recpipe.errors import SourceChanged, Unfit
from recpipe.model import Container
from tests.unit.audio.make import FMT, SUBTYPES, chunk, riff, wav

AUDIO = bytes(range(1, 251)) * 8  # 2000 bytes, 1000 frames


def wave_with(*fmt: int) -> bytes:
    return riff(chunk(b"fmt ", struct.pack("<HHIIHH", *fmt)), chunk(b"data", AUDIO))


def reason(path: Path) -> str:
    with pytest.raises(Unfit) as refused:
        probe(path)
    assert path.name in str(refused.value)
    return refused.value.reason


@pytest.mark.parametrize(("codec", "channels"), [(c, n) for c in SUBTYPES for n in (1, 2) if (c, n) != ("gsm", 2)])
def test_libsndfile_agrees_on_every_codec(tmp_path: Path, codec: str, channels: int) -> None:
    path = wav(tmp_path / "a.bin", codec, channels=channels)
    facts, judge = probe(path), soundfile.info(path)
    assert (facts.container, facts.codec, facts.flags) == (Container.WAV, codec, ())
    assert (facts.sample_rate_hz, facts.channels, facts.frames) == (8000, channels, judge.frames)
    assert facts.duration_ms == (judge.frames + 4) // 8


@pytest.mark.parametrize(
    ("claimed", "flags"),
    [
        (0, ("repaired-header",)),
        (0xFFFFFFFF, ("repaired-header",)),
        (0x7FFFFFDB, ("repaired-header",)),
        (2002, ("repaired-header", "truncated")),
        (1000, ("repaired-header",)),
    ],
)
def test_a_lying_data_size_hides_no_audio(tmp_path: Path, claimed: int, flags: tuple[str, ...]) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(riff(FMT, chunk(b"data", AUDIO, size=claimed)))
    facts = probe(path)
    assert (facts.data_offset, facts.data_bytes, facts.frames, facts.flags) == (44, 2000, 1000, flags)


@pytest.mark.parametrize("riff_size", [0, 0xFFFFFFFF, 17])
def test_a_lying_riff_size_alone_is_flagged(tmp_path: Path, riff_size: int) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(riff(FMT, chunk(b"data", AUDIO), size=riff_size))
    assert (probe(path).frames, probe(path).flags) == (1000, ("repaired-header",))


def test_chunks_behind_the_audio_are_not_audio(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(riff(FMT, chunk(b"data", AUDIO[:-1]), chunk(b"LIST", b"INFO"), chunk(b"cue ", b"\0\0\0\0")))
    assert (probe(path).data_bytes, probe(path).flags) == (1999, ())


def test_a_missing_pad_byte_is_survived_on_both_sides_of_the_audio(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    odd = chunk(b"note", b"abc", pad=False)
    path.write_bytes(riff(FMT, odd, chunk(b"data", AUDIO[:-1], pad=False), chunk(b"LIST", b"INFO")))
    assert (probe(path).data_bytes, probe(path).flags) == (1999, ("repaired-header",))


def test_a_damaged_chunk_before_the_audio_is_stepped_over(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(riff(FMT, b"\0\1\2\3garbage!", chunk(b"data", AUDIO)))
    assert (probe(path).frames, probe(path).flags) == (1000, ("repaired-header",))


def test_rf64_sizes_come_from_ds64(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    soundfile.write(path, [0.5] * 1000, 8000, format="RF64", subtype="PCM_16")
    facts = probe(path)
    assert (facts.frames, facts.flags) == (1000, ())


def test_a_sparse_file_beyond_4_gib_is_read_by_its_real_size(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(riff(FMT, chunk(b"data", b"", size=0xFFFFFFFF)))
    os.truncate(path, 5 << 30)
    assert probe(path).data_bytes == (5 << 30) - 44


@pytest.mark.parametrize("size", [0, 1, 43, 44])
def test_files_of_44_bytes_or_less_are_empty_recordings(tmp_path: Path, size: int) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(riff(FMT, chunk(b"data", b""))[:size])
    assert reason(path) == "empty-recording"


def test_headers_and_tags_without_audio_are_empty_recordings(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    for content in (
        riff(FMT, chunk(b"fact", bytes(4)), chunk(b"data", b"")),
        riff(FMT, chunk(b"data", b""), chunk(b"LIST", b"INFOISFT\4\0\0\0abc\0")),
        riff(FMT, chunk(b"LIST", b"INFO")),
        b"ID3\4\0\0\0\0\0\x40" + bytes(64),
    ):
        path.write_bytes(content)
        assert reason(path) == "empty-recording", content


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"OggS" + bytes(100), "unsupported-audio"),
        (b"fLaC" + bytes(100), "unsupported-audio"),
        (bytes(4) + b"ftypM4A " + bytes(100), "unsupported-audio"),
        (wave_with(1, 0, 8000, 1000, 10, 16), "unsupported-audio"),
        (wave_with(0x83, 1, 0, 1000, 10, 0), "unsupported-audio"),
        (riff(FMT, chunk(b"JUNK", bytes(1 << 21)), chunk(b"data", AUDIO)), "unsupported-audio"),
        (riff(chunk(b"data", AUDIO)), "not-audio"),
        (b"<html>" * 100, "not-audio"),
        (b"\xff" * 5000, "not-audio"),
        (b"\x30\x82\x01\x00" + AUDIO, "not-audio"),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused_with_its_reason(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(content)
    assert reason(path) == expected


def test_links_and_pipes_are_refused_without_being_followed(tmp_path: Path) -> None:
    link, pipe = tmp_path / "link.wav", tmp_path / "pipe.wav"
    link.symlink_to(samples.paths()["order-inquiry.wav"])
    os.mkfifo(pipe)
    assert [reason(link), reason(pipe), reason(tmp_path / "." / tmp_path)] == ["not-a-file"] * 3


def test_a_file_that_is_gone_has_changed(tmp_path: Path) -> None:
    with pytest.raises(SourceChanged):
        probe(tmp_path / "gone.wav")


def test_content_decides_and_not_the_extension(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(samples.paths()["invoice-request.mp3"].read_bytes())
    assert probe(path).container is Container.MP3


def test_the_mp3_sample_is_constant_rate_and_as_long_as_it_sounds() -> None:
    path = samples.paths()["invoice-request.mp3"]
    facts = probe(path)
    assert (facts.codec, facts.sample_rate_hz, facts.channels, facts.bit_rate_bps) == ("mp3", 8000, 1, 16_000)
    assert (facts.vbr, facts.flags, facts.frames) == (False, (), len(soundfile.read(path)[0]))


def test_tags_around_an_mp3_are_not_audio(tmp_path: Path) -> None:
    plain = samples.paths()["invoice-request.mp3"].read_bytes()
    ape = b"APETAGEX" + struct.pack("<IIII8x", 2000, 32, 0, 0)
    path = tmp_path / "call.mp3"
    path.write_bytes(b"ID3\4\0\0\0\0\0\x14" + bytes(20) + plain + ape + b"TAG" + bytes(125))
    bare = tmp_path / "bare.mp3"
    bare.write_bytes(plain)
    facts = probe(path)
    assert (facts.data_offset, facts.data_bytes, facts.frames) == (30, len(plain), probe(bare).frames)


def test_an_mp3_that_was_cut_short_is_flagged_and_measured_by_what_is_there(tmp_path: Path) -> None:
    whole = samples.paths()["invoice-request.mp3"]
    path = tmp_path / "cut.mp3"
    path.write_bytes(whole.read_bytes()[: 144 * 50 + 7])
    facts = probe(path)
    assert (facts.frames, facts.flags) == (50 * 576, ("truncated",))


def test_variable_rate_mp3_is_counted_frame_by_frame_where_its_header_is_gone_or_lies(tmp_path: Path) -> None:
    # Given: a variable-rate file with an info frame
    path = tmp_path / "vbr.mp3"
    soundfile.write(path, soundfile.read(samples.paths()["order-inquiry.wav"])[0], 8000, format="MP3",
                    subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.3)  # fmt: skip
    whole = probe(path)
    assert whole.vbr and whole.frames == soundfile.info(path).frames
    content = path.read_bytes()
    # When: half of it is lost, or the info frame
    cut = tmp_path / "cut.mp3"
    cut.write_bytes(content[: len(content) // 2])
    info = content.find(b"Xing")
    second = content.find(content[:2], info)
    bare = tmp_path / "bare.mp3"
    bare.write_bytes(content[second:])
    # Then: what is there counts
    half, headless = probe(cut), probe(bare)
    assert half.flags == ("truncated",)
    assert 0.3 * whole.frames < half.frames < 0.7 * whole.frames
    assert abs(headless.frames - whole.frames) <= 4 * 576
    assert headless.vbr


@pytest.mark.parametrize(
    ("fmt", "codec", "duration_ms"),
    [
        ((0x45, 1, 8000, 4000, 1, 4), "sharp_g726", 500),
        ((0x64, 1, 8000, 4000, 1, 4), "g726_adpcm", 500),
        ((0x65, 1, 16000, 8000, 1, 8), "g722_adpcm", 250),
        ((0x83, 1, 8000, 1000, 10, 0), "g729a", 2000),
        ((0x42, 1, 8000, 800, 24, 0), "msg723", 2500),
        ((0x55, 1, 8000, 1000, 1, 0), "mpeglayer3", 2000),
        ((0x11, 1, 8000, 1000, 3, 4), "ima_adpcm", 2000),
        ((0x11, 1, 8000, 1000, 0xFFF0, 4), "ima_adpcm", 2000),
        ((2, 1, 8000, 1000, 0xFFFF, 4), "adpcm", 2000),
        ((0x31, 2, 8000, 1000, 65, 0), "gsm610", 2000),
        ((1, 1, 8000, 64000, 8, 64), "pcm", 31),
        ((1, 32, 8000, 512000, 64, 16), "pcm", 4),
        ((0x1234, 1, 8000, 1000, 1, 0), "wave_0x1234", 2000),
    ],
)
def test_a_codec_that_nothing_here_decodes_is_named_as_it_is_registered(
    tmp_path: Path, fmt: tuple[int, ...], codec: str, duration_ms: int
) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(wave_with(*fmt))
    facts = probe(path)
    assert (facts.codec, facts.duration_ms, facts.flags) == (codec, duration_ms, ("no-waveform",))
    assert (facts.data_offset, facts.data_bytes) == (44, 2000)


def test_a_codec_whose_length_nobody_says_is_stored_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(wave_with(0x83, 1, 8000, 0, 10, 0))
    assert (probe(path).duration_ms, probe(path).flags) == (0, ("no-waveform", "duration-unknown"))


@pytest.mark.parametrize(
    ("bits", "block", "codec"), [(12, 2, "pcm_s16le"), (20, 3, "pcm_s24le"), (20, 4, "pcm_s32le"), (7, 1, "pcm_u8")]
)
def test_pcm_of_odd_width_stands_left_justified_in_whole_bytes(
    tmp_path: Path, bits: int, block: int, codec: str
) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(wave_with(1, 1, 8000, 8000 * block, block, bits))
    assert (probe(path).codec, probe(path).frames, probe(path).flags) == (codec, 2000 // block, ())


def test_mp3_in_a_wav_is_measured_and_drawn_as_the_mp3_it_is(tmp_path: Path) -> None:
    inner = samples.paths()["invoice-request.mp3"]
    path = tmp_path / "call.wav"
    fmt = chunk(b"fmt ", struct.pack("<HHIIHHH", 0x55, 1, 8000, 999, 1, 0, 0))
    path.write_bytes(riff(fmt, chunk(b"data", inner.read_bytes())))
    facts, alone = probe(path), probe(inner)
    assert (facts.container, facts.codec, facts.flags) == (Container.WAV, "mpeglayer3", ())
    assert (facts.frames, facts.bit_rate_bps) == (alone.frames, alone.bit_rate_bps)
    assert peaks.compute(path, facts) == peaks.compute(inner, alone)


FRONT = b"ID3\4\0\0\0\0\0\x10TIT2\0\0\0\6\0\0\3Hello"


@pytest.mark.parametrize(
    "front", [FRONT, FRONT + FRONT, FRONT + bytes(10), b"HTTP/1.1 200 OK\r\n\r\n", bytes(70_000), b"ID3\4\0\0\1\1\1\1"]
)
def test_what_stands_in_front_of_a_wav_is_no_reason_to_refuse_it(tmp_path: Path, front: bytes) -> None:
    path = tmp_path / "call.mp3"
    path.write_bytes(front + riff(FMT, chunk(b"data", AUDIO)))
    facts = probe(path)
    assert (facts.container, facts.frames, facts.flags) == (Container.WAV, 1000, ())
    assert facts.data_offset == 44 + len(front)


@pytest.mark.parametrize("behind", [os.urandom(777), bytes(20_000), b"\xff\xfb\x90\x00" * 400, b"x"])
def test_what_stands_behind_two_sizes_that_agree_is_no_audio(tmp_path: Path, behind: bytes) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(riff(FMT, chunk(b"data", AUDIO)) + behind)
    assert (probe(path).frames, probe(path).flags) == (1000, ("bytes-behind-audio",))
