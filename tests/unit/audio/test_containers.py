"""Recordings in other containers than WAV and MP3, and in none: told by content, stored as they are."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from recpipe.audio import containers, peaks, raw
from recpipe.audio.decode import blocks
from recpipe.audio.probe import probe
from recpipe.audio.stream import Malformed
from recpipe.audio.tags import Tags, plan
from recpipe.errors import Unfit
from recpipe.model import AUDIO_ENDINGS, FORMATS, AudioFacts, Container
from tests.unit.audio.make import FACTS, speech, write_out
from tests.unit.audio.test_riff import Memory

FRONT = b"ID3\4\0\0\0\0\0\x10TIT2\0\0\0\6\0\0\3Hello"


def shown(facts: AudioFacts) -> tuple[str, str, int, int, int, tuple[str, ...]]:
    return (
        facts.container.value,
        facts.codec,
        facts.sample_rate_hz,
        facts.channels,
        facts.duration_ms,
        facts.flags,
    )


def heard(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.concatenate(list(blocks(path, probe(path))))


# --- what libsndfile writes and reads ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "subtype", "endian", "container", "codec"),
    [
        ("AU", "PCM_16", "FILE", "au", "pcm_s16be"),
        ("AU", "ULAW", "FILE", "au", "pcm_mulaw"),
        ("AU", "PCM_S8", "FILE", "au", "pcm_s8"),
        ("AIFF", "PCM_16", "BIG", "aiff", "pcm_s16be"),
        ("AIFF", "PCM_16", "LITTLE", "aiff", "pcm_s16le"),
        ("AIFF", "PCM_24", "BIG", "aiff", "pcm_s24be"),
        ("AIFF", "ALAW", "FILE", "aiff", "pcm_alaw"),
        ("W64", "PCM_16", "FILE", "w64", "pcm_s16le"),
        ("W64", "GSM610", "FILE", "w64", "gsm"),
        ("CAF", "PCM_16", "BIG", "caf", "pcm_s16be"),
        ("CAF", "PCM_16", "LITTLE", "caf", "pcm_s16le"),
        ("CAF", "ULAW", "FILE", "caf", "pcm_mulaw"),
        ("WAV", "PCM_16", "BIG", "rifx", "pcm_s16be"),
        ("WAV", "PCM_24", "BIG", "rifx", "pcm_s24be"),
        ("FLAC", "PCM_16", "FILE", "flac", "flac"),
        ("OGG", "VORBIS", "FILE", "ogg", "vorbis"),
        ("OGG", "OPUS", "FILE", "ogg", "opus"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_libsndfile_agrees_on_every_container(
    tmp_path: Path, form: str, subtype: str, endian: str, container: str, codec: str, channels: int
) -> None:
    channels = 1 if subtype == "GSM610" else channels
    path = tmp_path / "call.wav"  # the name says nothing
    soundfile.write(path, speech(8000, channels), 8000, format=form, subtype=subtype, endian=endian)
    judge = soundfile.info(path)
    assert shown(probe(path)) == (container, codec, 8000, channels, judge.frames // 8, ())
    assert probe(path).frames == judge.frames
    expected = soundfile.read(path, dtype="int16", always_2d=True)[0]
    assert np.abs(heard(path).astype(int) - expected).max() <= 1
    splice = plan(path, probe(path), Tags.from_call(FACTS, "Acme", "0" * 32))
    assert write_out(splice, tmp_path / "copy").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("codec", ["IMA_ADPCM", "ALAC_16", "G721_32"])
def test_what_is_not_decoded_is_named_and_as_long_as_libsndfile_says(tmp_path: Path, codec: str) -> None:
    form = {"IMA_ADPCM": "AIFF", "ALAC_16": "CAF", "G721_32": "AU"}[codec]
    path = tmp_path / "call.x"
    soundfile.write(path, speech(8000), 8000, format=form, subtype=codec)
    facts = probe(path)
    assert facts.codec in ("adpcm_ima_qt", "alac", "g721") and facts.flags == ("no-waveform",)
    assert abs(facts.frames - soundfile.info(path).frames) <= 64


def test_a_tag_in_front_hides_no_flac(tmp_path: Path) -> None:
    path, tagged = tmp_path / "a.flac", tmp_path / "b.flac"
    soundfile.write(path, speech(8000), 8000)
    tagged.write_bytes(FRONT + path.read_bytes())
    assert (probe(tagged).duration_ms, probe(tagged).data_offset) == (1000, len(FRONT))
    assert np.array_equal(heard(tagged), heard(path))


def test_an_ogg_that_was_chained_or_cut_is_as_long_as_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.opus"
    soundfile.write(path, speech(24_000), 8000, format="OGG", subtype="OPUS")
    content = path.read_bytes()
    pages = content.split(b"OggS")
    for name, made, duration, flags in (
        ("chained", content + content, range(6000, 6001), ("no-waveform",)),
        ("cut", content[: len(content) - len(pages[-1]) // 2], range(1000, 3001), ("truncated",)),
        (
            "torn",
            content.replace(b"OggS" + pages[3], bytes(77) + b"OggS" + pages[3]),
            range(3000, 3001),
            ("truncated",),
        ),
    ):
        path.write_bytes(made)
        facts = probe(path)
        assert (facts.duration_ms in duration, facts.flags) == (True, flags), (name, facts)
        if "no-waveform" not in flags:
            peaks.compute(path, facts)


def test_a_packet_that_would_fill_the_memory_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.opus"
    soundfile.write(path, speech(24_000), 8000, format="OGG", subtype="OPUS")
    head, _, rest = path.read_bytes().partition(b"OggS\0\4")
    serial = head[14:18]
    endless = b"".join(
        b"OggS\0\1" + b"\xff" * 8 + serial + struct.pack("<I", n) + bytes(4) + b"\xff" + b"\xff" * 255 + bytes(65_025)
        for n in range(20)
    )
    path.write_bytes(head + endless + b"OggS\0\4" + rest)
    assert "no-waveform" in probe(path).flags


# --- by hand: what nothing here writes ----------------------------------------------------------------------------


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def mp4(duration: int, *, kind: bytes = b"mp4a", fragments: bytes = b"", handler: bytes = b"soun") -> bytes:
    entry = box(kind, bytes(6), struct.pack(">HQHHIHH", 1, 0, 1, 16, 0, 8000, 0))
    media = box(
        b"mdia",
        box(b"mdhd", bytes(12), struct.pack(">II", 8000, duration), bytes(4)),
        box(b"hdlr", bytes(8), handler, bytes(12)),
        box(b"minf", box(b"stbl", box(b"stsd", bytes(4), struct.pack(">I", 1), entry))),
    )
    movie = box(b"moov", box(b"trak", box(b"tkhd", bytes(12), struct.pack(">I", 7), bytes(68)), media))
    return box(b"ftyp", b"M4A \0\0\0\0") + movie + fragments + box(b"mdat", bytes(500))


def fragment(samples: int, each: int) -> bytes:
    header = box(b"tfhd", struct.pack(">III", 0x8, 7, each))
    return box(b"moof", box(b"traf", header, box(b"trun", struct.pack(">II", 0, samples))))


def element(name: str, *parts: bytes, unknown: bool = False) -> bytes:
    body = b"".join(parts)
    size = b"\x01" + b"\xff" * 7 if unknown else struct.pack(">Q", len(body) | 1 << 56)
    return bytes.fromhex(name) + size + body


def webm(*clusters: bytes, duration_ms: float = 0, live: bool = False, doctype: bytes = b"webm") -> bytes:
    info = element("2AD7B1", (1_000_000).to_bytes(3))
    if duration_ms:
        info += element("4489", struct.pack(">d", duration_ms))
    sound = element("E1", element("B5", struct.pack(">f", 48_000)), element("9F", b"\1"))
    tracks = element("AE", element("83", b"\1"), element("86", b"V_VP8"))
    tracks += element("AE", element("83", b"\2"), element("86", b"A_OPUS"), sound)
    body = element("1549A966", info) + element("1654AE6B", tracks) + b"".join(clusters)
    return element("1A45DFA3", element("4282", doctype)) + element("18538067", body, unknown=live)


def cluster(at: int, *blocks_at: int, live: bool = False) -> bytes:
    inner = element("E7", at.to_bytes(4))
    inner += b"".join(element("A3", b"\x81", struct.pack(">hB", block, 0), bytes(40)) for block in blocks_at)
    return element("1F43B675", inner, unknown=live)


def asf() -> bytes:
    file = bytes(40) + struct.pack("<Q", 50_000_000) + bytes(8) + struct.pack("<Q", 3000) + bytes(16)
    stream = containers.packed._ASF_AUDIO + bytes(38) + struct.pack("<HHIIHHH", 0x161, 1, 8000, 1000, 1, 16, 0)
    objects = b"".join(
        guid + struct.pack("<Q", 24 + len(body)) + body
        for guid, body in ((containers.packed._ASF_FILE, file), (containers.packed._ASF_STREAM, stream))
    )
    return containers.packed.ASF_MAGIC + struct.pack("<QIH", 30 + len(objects), 2, 0x201) + objects + bytes(100)


ADTS = (b"\xff\xf1\x6c\x40\x07\xff\xfc" + bytes(56)) * 8  # 8 kHz... 63 bytes a frame
NB, WB = b"#!AMR\n" + (b"\x3c" + bytes(31)) * 50, b"#!AMR-WB\n" + (b"\x44" + bytes(60)) * 50


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (mp4(16_000), ("mp4", "aac", 8000, 1, 2000, ("no-waveform",))),
        (mp4(16_000, kind=b"samr"), ("mp4", "amr_nb", 8000, 1, 2000, ("no-waveform",))),
        (mp4(0, fragments=fragment(10, 1024) * 3), ("mp4", "aac", 8000, 1, 3840, ("no-waveform",))),
        (mp4(0), ("mp4", "aac", 8000, 1, 0, ("no-waveform", "duration-unknown"))),
        (webm(cluster(0, 0, 20), duration_ms=2500), ("webm", "opus", 48_000, 1, 2500, ("no-waveform",))),
        (webm(cluster(0, 0), cluster(4000, 0, 980)), ("webm", "opus", 48_000, 1, 4980, ("no-waveform",))),
        (
            webm(cluster(0, 0, live=True), cluster(4000, 980, live=True), live=True),
            ("webm", "opus", 48_000, 1, 4980, ("no-waveform",)),
        ),
        (
            webm(cluster(0, 20), doctype=b"matroska"),
            ("matroska", "opus", 48_000, 1, 20, ("no-waveform",)),
        ),
        (ADTS, ("aac", "aac", 8000, 1, 1024, ("no-waveform",))),
        (FRONT + ADTS, ("aac", "aac", 8000, 1, 1024, ("no-waveform",))),
        (ADTS[:-10], ("aac", "aac", 8000, 1, 1024, ("truncated", "no-waveform"))),
        (NB, ("amr", "amr_nb", 8000, 1, 1000, ("no-waveform",))),
        (WB, ("amr", "amr_wb", 16_000, 1, 1000, ("no-waveform",))),
        (asf(), ("asf", "wmaudio2", 8000, 1, 2000, ("no-waveform",))),
    ],
)
def test_containers_that_nothing_here_decodes_are_known_by_codec_and_length(
    tmp_path: Path, content: bytes, expected: tuple[object, ...]
) -> None:
    path = tmp_path / "call.bin"
    path.write_bytes(content)
    assert shown(probe(path)) == expected
    splice = plan(path, probe(path), Tags.from_call(FACTS, "Acme", "0" * 32))
    assert write_out(splice, tmp_path / "copy").read_bytes() == content


@pytest.mark.parametrize(
    ("content", "lacking"),
    [
        (mp4(100, handler=b"vide"), "an audio track"),
        (box(b"ftyp", b"M4A \0\0\0\0") + box(b"mdat", bytes(500)), "did not finish"),
        (element("1A45DFA3", element("4282", b"webm")), "a segment"),
        (b".snd" + struct.pack(">5I", 24, 100, 3, 0, 1) + bytes(100), "sound"),
        (b"OggS" + bytes(100), "a stream of audio"),
        (b"fLaC" + bytes(100), "sound"),
        (b"#!AMR\n" + b"\x50" * 100, "a frame"),
    ],
)
def test_a_container_without_audio_is_refused_by_its_name_and_what_it_lacks(
    tmp_path: Path, content: bytes, lacking: str
) -> None:
    path = tmp_path / "call.webm"
    path.write_bytes(content)
    with pytest.raises(Unfit, match=lacking) as refused:
        probe(path)
    assert refused.value.reason == "unsupported-audio"


# --- in none ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "subtype", "rate", "codec"),
    [
        ("gsm", "GSM610", 8000, "gsm"),
        ("ulaw", "ULAW", 8000, "pcm_mulaw"),
        ("UL", "ULAW", 8000, "pcm_mulaw"),
        ("pcm", "ULAW", 8000, "pcm_mulaw"),
        ("alaw", "ALAW", 8000, "pcm_alaw"),
        ("sln", "PCM_16", 8000, "pcm_s16le"),
        ("sln16", "PCM_16", 16_000, "pcm_s16le"),
        ("sln44", "PCM_16", 44_100, "pcm_s16le"),
        ("slin192", "PCM_16", 192_000, "pcm_s16le"),
        ("vox", "VOX_ADPCM", 8000, "dialogic_oki_adpcm"),
    ],
)
def test_headerless_audio_is_what_its_ending_says(
    tmp_path: Path, ending: str, subtype: str, rate: int, codec: str
) -> None:
    path = tmp_path / f"call.{ending}"
    soundfile.write(path, speech(rate), rate, format="RAW", subtype=subtype, endian="LITTLE")
    assert shown(probe(path)) == ("raw", codec, rate, 1, 1000, ())
    judge = soundfile.read(
        path, dtype="int16", always_2d=True, samplerate=rate, channels=1, format="RAW", subtype=subtype,
        endian="LITTLE" if subtype == "PCM_16" else "FILE",
    )[0]  # fmt: skip
    assert np.array_equal(heard(path), judge[: len(heard(path))])


@pytest.mark.parametrize(
    ("ending", "size", "codec", "duration_ms"),
    [
        ("g722", 8000, "g722", 1000),
        ("g729", 1000, "g729", 1000),
        ("g726-16", 2000, "g726", 1000),
        ("g726-40", 5000, "g726", 1000),
        ("siren7", 4000, "siren7", 1000),
        ("siren14", 6000, "siren14", 1000),
        ("ilbc", 500, "ilbc", 300),
        ("g723", 240, "g723_1", 300),
    ],
)
def test_packed_speech_is_as_long_as_its_rate_says(
    tmp_path: Path, ending: str, size: int, codec: str, duration_ms: int
) -> None:
    path = tmp_path / f"call.{ending}"
    path.write_bytes(bytes(range(1, 251)) * (size // 250) + bytes(size % 250))
    facts = probe(path)
    assert (facts.codec, facts.duration_ms, facts.flags) == (codec, duration_ms, ("no-waveform",))


def test_content_goes_before_the_ending_of_headerless_audio(tmp_path: Path) -> None:
    for form, container in (("WAV", Container.WAV), ("AU", Container.AU)):
        path = tmp_path / "call.ulaw"
        soundfile.write(path, speech(8000), 8000, format=form)
        assert probe(path).container is container


def test_a_gsm_file_without_the_mark_of_its_frames_is_kept_and_not_drawn(tmp_path: Path) -> None:
    path = tmp_path / "call.gsm"
    path.write_bytes(bytes(3300))
    assert probe(path).flags == ("no-waveform",)


@pytest.mark.parametrize(("name", "size"), [("a.gsm", 0), ("a.gsm", 20), ("a.sln", 1), ("a.ogg", 0)])
def test_less_than_one_frame_is_an_empty_recording(tmp_path: Path, name: str, size: int) -> None:
    path = tmp_path / name
    path.write_bytes(bytes(size))
    with pytest.raises(Unfit) as refused:
        probe(path)
    assert refused.value.reason == "empty-recording"


def test_every_ending_of_headerless_audio_is_one_of_a_recording() -> None:
    assert set(raw._FORMS) == set(FORMATS[Container.RAW].endings) - {".raw"}
    assert set(raw._FORMS) < AUDIO_ENDINGS and set(FORMATS) == set(Container)


# --- hostile ------------------------------------------------------------------------------------------------------

SEEDS = (mp4(100), mp4(0, fragments=fragment(3, 5)), webm(cluster(0, 0, 20)), asf(), ADTS, NB, b"OggS" + bytes(60),
         b"fLaC" + bytes(60), b".snd" + bytes(30), b"FORM\0\0\0\x30AIFFCOMM" + bytes(40),
         b"caff\0\1\0\0desc" + bytes(50),
         b"RIFX\0\0\0\x40WAVEfmt \0\0\0\x10" + bytes(40), b"riff\x2e\x91\xcf\x11" + bytes(90))  # fmt: skip


@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=8)), max_size=6))
def test_any_damage_gives_facts_that_lie_inside_the_file_or_a_refusal(
    seed: bytes, damage: list[tuple[int, bytes]]
) -> None:
    content = bytearray(seed)
    for at, junk in damage:
        content[at : at + len(junk)] = junk
    source = Memory(bytes(content))
    try:
        _, found = containers.identify(source, 0)
    except Malformed:
        return
    assert source.reads < 5000
    if found is not None:
        assert found.start >= 0 and found.size >= 0 and found.start + found.size <= len(content)
        assert found.frames >= 0
