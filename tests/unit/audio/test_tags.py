"""Tagging adds what is known, keeps what was there, and never touches a sample."""

from __future__ import annotations

import io
import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from mutagen.id3 import APIC, COMM, ID3, PRIV, TIT2, TXXX

from recpipe import samples
from recpipe.audio import id3
from recpipe.audio.probe import probe
from recpipe.audio.riff import walk
from recpipe.audio.tags import TEXT_LIMIT, Tags, clean, plan, stored
from recpipe.errors import SourceChanged
from tests.unit.audio.make import FACTS, FMT, SUBTYPES, chunk, riff, wav, write_out
from tests.unit.audio.test_riff import Memory

RECORDING = "0123456789abcdef0123456789abcdef"
TAGS = Tags.from_call(FACTS, "Northwind Bicycles", RECORDING)
AUDIO = bytes(range(1, 251)) * 8


def tagged(path: Path, tags: Tags = TAGS) -> Path:
    return write_out(plan(path, probe(path), tags), path.with_name("tagged-" + path.name))


def chunks(path: Path) -> dict[bytes, bytes]:
    content = path.read_bytes()
    found = walk(Memory(content))
    assert found.data is not None and not found.repaired
    return {part.id: content[part.start : part.end] for part in (*found.head, found.data, *found.tail)}


@pytest.mark.parametrize("codec", SUBTYPES)
@pytest.mark.parametrize("frames", [8001, 4000])
def test_every_sample_of_every_codec_is_there_after_tagging(tmp_path: Path, codec: str, frames: int) -> None:
    path = wav(tmp_path / "a.wav", codec, frames)
    facts = probe(path)
    splice = plan(path, facts, TAGS)
    copy = write_out(splice, tmp_path / "b.wav")
    assert np.array_equal(soundfile.read(path)[0], soundfile.read(copy)[0])
    assert copy.read_bytes().count(path.read_bytes()[facts.data_offset :][: facts.data_bytes]) == 1
    assert probe(copy) == stored(facts, splice)


@pytest.mark.parametrize("name", samples.paths())
def test_every_sample_call_is_tagged_so_that_mutagen_and_libsndfile_read_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(samples.paths()[name].read_bytes())
    facts, copy = probe(path), tagged(path)
    after = mutagen.File(copy)
    assert str(after.tags["TXXX:recpipe:recording_id"]) == RECORDING
    assert str(after.tags["TXXX:recpipe:call_id"]) == "1743042317.12206"
    assert str(after.tags["TPE1"]) == "Jürgen Groß"
    assert str(after.tags["TDRC"]) == "2025-03-27 08:25:17"
    if facts.flags:
        return  # libsndfile cannot read the original; another test looks at this one
    before, after_tagging = (soundfile.read(each, dtype="int16")[0].astype(int) for each in (path, copy))
    # libmpg123 rounds a sample up or down as it likes; every other codec is exact
    assert np.abs(before - after_tagging).max() <= (1 if facts.codec == "mp3" else 0)
    assert {*probe(copy).flags} == {*facts.flags} - {"repaired-header"}


def test_libsndfile_reads_the_info_chunk(tmp_path: Path) -> None:
    with soundfile.SoundFile(tagged(wav(tmp_path / "a.wav"))) as sound:
        assert sound.title == "Jürgen Groß (+49301234567) to 201"
        assert sound.album == "Northwind Bicycles"
        assert sound.date == "2025-03-27"


def test_the_broadcast_chunk_is_as_the_ebu_lays_it_out(tmp_path: Path) -> None:
    bext = chunks(tagged(wav(tmp_path / "a.wav")))[b"bext"]
    assert bext[256:288].rstrip(b"\0").startswith(b"recpipe ")
    assert bext[288:320] == RECORDING.encode()
    assert bext[320:338] == b"2025-03-2709:25:17"  # the source's own zone
    assert struct.unpack("<QH", bext[338:348]) == ((9 * 3600 + 25 * 60 + 17) * 8000, 1)
    assert bext[602:] == f"A=PCM,F=8000,W=16,M=mono,T={TAGS.software}\r\n".encode()
    assert b"bext" not in chunks(tagged(wav(tmp_path / "b.wav", "pcm_alaw")))


def test_a_crashed_recorders_sizes_are_right_in_the_copy_and_its_samples_all_there(tmp_path: Path) -> None:
    path = tmp_path / "crashed.wav"
    fact = chunk(b"fact", bytes(4))
    path.write_bytes(riff(FMT, fact, chunk(b"data", AUDIO + b"\x01", size=0, pad=False), size=0))
    copy = tagged(path)
    found = chunks(copy)
    assert found[b"data"] == AUDIO + b"\x01"
    assert found[b"fact"] == struct.pack("<I", 1000)
    assert soundfile.read(copy, dtype="int16")[0].tobytes() == AUDIO
    assert probe(copy).flags == ()


def test_chunks_of_the_recorder_are_kept_and_its_info_wins(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    early = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"Theirs\0") + chunk(b"IENG", b"Eve\0"))
    late = chunk(b"LIST", b"adtl" + b"xyz!")
    path.write_bytes(
        riff(FMT, early, chunk(b"abcd", b"odd"), chunk(b"data", AUDIO[:-1]), late, chunk(b"cue ", bytes(4)))
    )
    content = tagged(path).read_bytes()
    for part in (chunk(b"abcd", b"odd"), late, chunk(b"cue ", bytes(4)), chunk(b"INAM", b"Theirs\0"), b"IENG"):
        assert content.count(part) == 1
    assert content.count(b"INFO") == 1
    assert b"IPRD" in content


def test_what_is_no_chunk_is_kept_as_junk(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    tail = b"TAG" + bytes(125)
    path.write_bytes(riff(FMT, b"\0\1\2\3garbage!", chunk(b"data", AUDIO)) + tail)
    content = tagged(path).read_bytes()
    assert chunk(b"JUNK", b"\0\1\2\3garbage!") in content
    assert chunk(b"JUNK", tail) in content
    assert chunks(tmp_path / "tagged-a.wav")[b"data"] == AUDIO


def test_megabytes_behind_the_audio_stay_in_place_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(riff(FMT, chunk(b"data", AUDIO), chunk(b"big ", bytes(5 << 20))))
    splice = plan(path, probe(path), TAGS)
    assert len(splice.prefix) + len(splice.suffix) < 10_000
    assert chunks(write_out(splice, tmp_path / "b.wav"))[b"big "] == bytes(5 << 20)


@pytest.mark.parametrize("frames_bytes", [(4 << 30) - 400, 5 << 30])
def test_beyond_4_gib_the_copy_is_rf64(tmp_path: Path, frames_bytes: int) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(riff(FMT, chunk(b"data", b"", size=0xFFFFFFFF)))
    os.truncate(path, 44 + frames_bytes)
    splice = plan(path, probe(path), TAGS)
    assert splice.prefix[:4] == b"RF64" and len(splice.prefix) + len(splice.suffix) < 10_000
    copy = tmp_path / "copy.wav"
    with copy.open("wb") as out:
        out.write(splice.prefix)
        out.seek(splice.length, 1)
        out.write(splice.suffix)
    assert copy.stat().st_size == splice.size_bytes
    assert probe(copy) == replace(stored(probe(path), splice), flags=())
    assert soundfile.info(copy).frames == frames_bytes // 2


def test_rf64_stays_rf64(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, [0.5, -0.5] * 500, 8000, format="RF64", subtype="PCM_16")
    copy = tagged(path)
    assert np.array_equal(soundfile.read(path)[0], soundfile.read(copy)[0])
    assert probe(copy).flags == ()


def with_tag(tmp_path: Path, tag: ID3, version: int = 4) -> Path:
    path = tmp_path / "call.mp3"
    path.write_bytes(samples.paths()["invoice-request.mp3"].read_bytes() + b"TAG" + b"old".ljust(125, b"\0"))
    if version == 3:
        tag.update_to_v23()
    tag.save(path, v2_version=version)
    return path


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("wrapped", [False, True])
def test_existing_id3_frames_are_kept_pictures_too(tmp_path: Path, version: int, wrapped: bool) -> None:
    # Given: a recording that was tagged by somebody else
    old = ID3()
    old.add(APIC(encoding=3, mime="image/png", type=3, desc="cover", data=b"\x89PNG" + bytes(3000)))
    old.add(TIT2(encoding=3, text="Theirs"))
    old.add(COMM(encoding=3, lang="deu", desc="note", text="Notiz"))
    old.add(PRIV(owner="pbx.example", data=b"\0\1\2"))
    old.add(TXXX(encoding=3, desc="recpipe:recording_id", text="forged"))
    if wrapped:
        out = io.BytesIO()
        old.save(out, v2_version=4)
        path = tmp_path / "a.wav"
        path.write_bytes(riff(FMT, chunk(b"data", AUDIO), chunk(b"id3 ", out.getvalue())))
    else:
        path = with_tag(tmp_path, old, version)
    # When
    copy = tagged(path)
    # Then: everything is there, and only what is ours alone was replaced
    tag = mutagen.File(copy).tags
    assert tag.version == (2, 4, 0)
    assert tag.getall("APIC")[0].data == b"\x89PNG" + bytes(3000)
    assert [str(tag["TIT2"]), str(tag["COMM:note:deu"]), tag.getall("PRIV")[0].data] == ["Theirs", "Notiz", b"\0\1\2"]
    assert str(tag["TXXX:recpipe:recording_id"]) == RECORDING
    assert str(tag["TALB"]) == "Northwind Bicycles"
    if not wrapped:
        assert copy.read_bytes()[-128:] == path.read_bytes()[-128:]
        assert copy.read_bytes().count(b"ID3") == 1


def test_a_tag_built_by_hand_is_the_one_that_mutagen_builds() -> None:
    frames = TAGS.id3_frames()
    empty = b"ID3\4\0\0\0\0\0\0"
    by_library = id3.merge(empty, frames)
    assert by_library is not None
    ours, theirs = (ID3(io.BytesIO(tag)) for tag in (id3.build(frames), by_library))
    assert len(ours) > 12
    assert {key: repr(ours[key]) for key in ours} == {key: repr(theirs[key]) for key in theirs}


def test_a_compressed_frame_is_never_unpacked_and_the_old_tag_stays(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(64 << 20))
    size = lambda n: bytes((n >> 21 & 127, n >> 14 & 127, n >> 7 & 127, n & 127))  # noqa: E731
    frame = b"TXXX" + size(len(bomb) + 4) + b"\0\x09" + size(64 << 20) + bomb
    mp3 = samples.paths()["invoice-request.mp3"].read_bytes()
    path = tmp_path / "bomb.mp3"
    path.write_bytes(b"ID3\4\0\0" + size(len(frame)) + frame + mp3)
    splice = plan(path, probe(path), TAGS)
    assert (splice.start, splice.length) == (0, path.stat().st_size)
    copy = write_out(splice, tmp_path / "copy.mp3")
    assert str(mutagen.File(copy).tags["TXXX:recpipe:recording_id"]) == RECORDING
    assert probe(copy) == stored(probe(path), splice)


@given(st.binary(max_size=300))
def test_a_hostile_old_tag_never_stops_the_recording(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    path = tmp_path_factory.mktemp("hostile") / "a.mp3"
    head = b"ID3\4\0\0" + bytes((0, 0, len(body) >> 7, len(body) & 127))
    path.write_bytes(head + body + samples.paths()["invoice-request.mp3"].read_bytes())
    splice = plan(path, probe(path), TAGS)
    assert splice.start + splice.length == path.stat().st_size
    assert splice.start in (0, 10 + len(body))


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("brake-repair-stereo.wav", "invoice-request.mp3"):
        path = samples.paths()[name]
        assert plan(path, probe(path), TAGS) == plan(path, probe(path), Tags.from_call(FACTS, TAGS.album, RECORDING))


def test_a_file_that_was_replaced_after_the_probe_is_not_tagged(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav")
    facts = probe(path)
    wav(path, frames=500)
    with pytest.raises(SourceChanged):
        plan(path, facts, TAGS)
    path.write_bytes(b"something else entirely")
    with pytest.raises(SourceChanged):
        plan(path, facts, TAGS)


@pytest.mark.parametrize(
    ("hostile", "expected"),
    [
        ("a\0b", "ab"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("\ud800lone\udfff", "lone"),
        ("two\r\nlines\tand tab", "two lines and tab"),
        ("\x1b[31mred", "[31mred"),
        ("שלום", "שלום"),
        ("  padded  ", "padded"),
        ("x" * 10_000, "x" * (TEXT_LIMIT - 1) + "…"),
        ("<img onerror=x>", "<img onerror=x>"),
    ],
)
def test_hostile_text_is_cleaned(hostile: str, expected: str) -> None:
    assert clean(hostile) == expected


@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=2000))
def test_any_text_can_be_written(text: str) -> None:
    facts = replace(FACTS, caller=text, caller_name=text, callee=text, call_id=text, timezone=text)
    path = samples.paths()["opening-hours-alaw.wav"]
    splice = plan(path, probe(path), Tags.from_call(facts, text, RECORDING))
    assert len(splice.suffix) < 20_000


FRONT = b"ID3\4\0\0\0\0\0\x10TIT2\0\0\0\6\0\0\3Hello"


@pytest.mark.parametrize("front", [FRONT, b"HTTP/1.1 200 OK\r\n\r\n", FRONT + b"\r\n", b"APETAGEX" + bytes(24)])
def test_what_stood_in_front_of_a_wav_is_kept_where_it_does_not_hinder(tmp_path: Path, front: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(front + riff(FMT, chunk(b"id3 ", FRONT.replace(b"TIT2", b"TIT3")), chunk(b"data", AUDIO)))
    facts = probe(path)
    splice = plan(path, facts, TAGS)
    copy = write_out(splice, tmp_path / "b.wav")
    assert copy.read_bytes()[:4] == b"RIFF" and soundfile.read(copy, dtype="int16")[0].tobytes() == AUDIO
    assert probe(copy) == stored(facts, splice)
    found = chunks(copy)
    if front == FRONT:
        assert ID3(io.BytesIO(found[b"id3 "]))["TIT2"].text == ["Hello"] and b"JUNK" not in found
    else:
        assert found[b"JUNK"] == front
    assert b"TIT3" in copy.read_bytes() and RECORDING.encode() in copy.read_bytes()


@pytest.mark.parametrize("audio", [AUDIO, AUDIO[:-1]])
@pytest.mark.parametrize("behind", [os.urandom(777), bytes(20_000), bytes(5 << 20)])
def test_what_stands_behind_the_audio_is_kept_and_not_heard(tmp_path: Path, audio: bytes, behind: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(riff(FMT, chunk(b"data", audio)) + behind)
    facts = probe(path)
    splice = plan(path, facts, TAGS)
    copy = write_out(splice, tmp_path / "b.wav")
    assert soundfile.read(copy, dtype="int16")[0].tobytes() == audio[: len(audio) & ~1]
    assert behind in copy.read_bytes() and (probe(copy).data_bytes, facts.data_bytes) == (len(audio),) * 2


def test_a_codec_that_nothing_here_decodes_is_tagged_around_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    fmt = chunk(b"fmt ", struct.pack("<HHIIHHH", 0x64, 1, 8000, 4000, 1, 4, 0))
    path.write_bytes(riff(fmt, chunk(b"fact", struct.pack("<I", 4000)), chunk(b"data", AUDIO)))
    found = chunks(tagged(path))
    assert found[b"data"] == AUDIO and found[b"fmt "] == fmt[8:] and b"id3 " in found
