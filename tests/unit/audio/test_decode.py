"""Peaks, playback and MP3 are made from the samples, also where the header lies or the stream cannot seek."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from recpipe import samples
from recpipe.audio import codecs, peaks, transcode
from recpipe.audio.decode import blocks
from recpipe.audio.probe import probe
from recpipe.audio.splice import SpliceReader
from recpipe.audio.tags import Tags, plan, stored
from recpipe.errors import SourceChanged
from tests.unit.audio.make import FACTS, FMT, SUBTYPES, chunk, riff, speech, wav


class Forward:
    """A download: no seeking, and fewer bytes than asked for."""

    def __init__(self, content: bytes) -> None:
        self._stream = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(min(size, 777))


def everything(source: Path | object, facts: object) -> NDArray[np.int16]:
    return np.concatenate(list(blocks(source, facts)))  # type: ignore[arg-type]


def judged(path: Path, codec: str) -> NDArray[np.int16]:
    if codec.startswith("pcm_f"):
        return (soundfile.read(path, always_2d=True)[0] * 32767).astype(np.int16)
    return soundfile.read(path, dtype="int16", always_2d=True)[0]


@pytest.mark.parametrize(("codec", "channels"), [(c, n) for c in SUBTYPES for n in (1, 2) if (c, n) != ("gsm", 2)])
def test_every_codec_decodes_as_libsndfile_does_from_files_and_from_streams(
    tmp_path: Path, codec: str, channels: int
) -> None:
    path = wav(tmp_path / "a.wav", codec, channels=channels)
    facts = probe(path)
    expected = judged(path, codec)[: facts.frames]
    assert np.array_equal(everything(path, facts), expected)
    splice = plan(path, facts, Tags.from_call(FACTS, "Acme", "0" * 32))
    with SpliceReader(splice) as reader:
        copy = Forward(reader.read())
    assert np.array_equal(everything(copy, stored(facts, splice)), expected)


def test_an_unfinalised_file_decodes_to_its_last_sample(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(riff(FMT, chunk(b"data", speech(70_001).tobytes(), size=0), size=0))
    assert np.array_equal(everything(path, probe(path)), speech(70_001))


def test_an_mp3_decodes_across_blocks_as_in_one_piece(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # Given: a call long enough for several blocks, at a rate that leans on the bit reservoir
    path, mp3 = tmp_path / "a.wav", tmp_path / "a.mp3"
    turns, _ = soundfile.read(samples.paths()["order-inquiry.wav"], dtype="int16")
    soundfile.write(path, np.tile(turns, 4), 8000)
    with mp3.open("wb") as stream:
        transcode.to_mp3(path, probe(path), stream)
    # Then: no decoder complains, and not a sample differs
    assert np.array_equal(everything(mp3, probe(mp3)), soundfile.read(mp3, dtype="int16", always_2d=True)[0])
    assert capfd.readouterr().err == ""


def test_a_file_that_shrinks_while_it_is_decoded_is_noticed(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", frames=500_000)
    reading = blocks(path, probe(path))
    next(reading)
    with path.open("r+b") as file:
        file.truncate(200_000)
    with pytest.raises(SourceChanged):
        list(reading)


@pytest.mark.parametrize(("frames", "points"), [(8001, 1000), (200_000, 7), (65_537, 1000), (10, 1000), (1, 1)])
@pytest.mark.parametrize("channels", [1, 2])
def test_peaks_are_the_extremes_of_each_stretch(tmp_path: Path, frames: int, points: int, channels: int) -> None:
    path = wav(tmp_path / "a.wav", frames=frames, channels=channels)
    packed = peaks.compute(path, probe(path), points)
    drawn = peaks.decode(packed)
    wanted = min(points, frames)
    assert len(packed) == 4 + 2 * wanted * channels
    data = speech(frames, channels).astype(int)
    for channel in range(channels):
        for point in range(wanted):
            part = data[-(-point * frames // wanted) : -(-(point + 1) * frames // wanted), channel]
            low, high = ((value + 128) >> 8 for value in (part.min(), part.max()))
            assert drawn.channels[channel][point] == (low, min(high, 127))


@pytest.mark.parametrize("name", samples.paths())
def test_every_sample_call_has_a_waveform_with_speech_in_it(name: str) -> None:
    path = samples.paths()[name]
    drawn = peaks.decode(peaks.compute(path, probe(path), 200))
    for channel in drawn.channels:
        loud = sum(high - low > 20 for low, high in channel)
        assert 40 < loud < 190


@pytest.mark.parametrize("packed", [b"", b"\1", b"\2\1\0\0", b"\1\1\2\0\0\0\0", b"\1\1\1\0\0\0\0"])
def test_bytes_that_are_no_waveform_are_refused(packed: bytes) -> None:
    with pytest.raises(peaks.PeaksMalformed):
        peaks.decode(packed)


def test_points_out_of_range_are_refused(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav")
    for points in (0, 65_536):
        with pytest.raises(ValueError, match="points"):
            peaks.compute(path, probe(path), points)


@pytest.mark.parametrize("name", samples.paths())
def test_browsers_get_pcm_where_they_cannot_play_the_codec(tmp_path: Path, name: str) -> None:
    path = samples.paths()[name]
    facts = probe(path)
    assert codecs.playable(facts) is (name != "callback-gsm.WAV")
    out = tmp_path / "out.wav"
    out.write_bytes(b"".join(transcode.playback(path, facts)))
    played = probe(out)
    assert out.stat().st_size == transcode.playback_bytes(facts)
    assert (played.codec, played.frames, played.channels, played.flags) == (
        "pcm_s16le", facts.frames, facts.channels, ()
    )  # fmt: skip


def similarity(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The best correlation of two signals over a codec's delay of up to 0.3 s."""
    size = 1 << 18
    spectrum = np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size))
    return float(np.abs(np.fft.irfft(spectrum)).max() / np.sqrt((one**2).sum() * (other**2).sum()))


@pytest.mark.parametrize("name", [name for name in samples.paths() if not name.endswith(".mp3")])
def test_an_mp3_of_every_sample_call_sounds_like_it(tmp_path: Path, name: str) -> None:
    path, out = samples.paths()[name], tmp_path / "out.mp3"
    facts = probe(path)
    with out.open("wb") as stream:
        written = transcode.to_mp3(path, facts, stream)
    assert written == probe(out)
    assert (written.sample_rate_hz, written.channels) == (8000, facts.channels)
    assert written.bit_rate_bps == 16_000 * facts.channels
    assert 0 <= written.duration_ms - facts.duration_ms < 250
    sound = soundfile.read(out, always_2d=True)[0]
    original = everything(path, facts).astype(float)
    for channel in range(facts.channels):
        assert similarity(original[:, channel], sound[:, channel]) > 0.9


def test_what_the_lower_rate_cannot_hold_is_not_heard_as_another_tone(tmp_path: Path) -> None:
    def level(tone_hz: int, rate: int) -> float:
        path = tmp_path / "tone.wav"
        tone = 12_000 * np.sin(2 * np.pi * tone_hz * np.arange(2 * rate) / rate)
        soundfile.write(path, tone.astype(np.int16), rate)
        out = tmp_path / "tone.mp3"
        with out.open("wb") as stream:
            transcode.to_mp3(path, probe(path), stream, bit_rate_kbps=32)
        return float(np.sqrt((soundfile.read(out, dtype="int16")[0][3000:-3000].astype(float) ** 2).mean()))

    for rate in (16_000, 44_100):
        assert level(1000, rate) > 7800
        assert level(6000, rate) < 30


def test_a_rate_that_mp3_has_not_becomes_the_nearest_and_nonsense_is_refused(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", rate=6000)
    assert transcode.to_mp3(path, probe(path), io.BytesIO()).sample_rate_hz == 8000
    assert transcode.to_mp3(path, probe(path), io.BytesIO(), sample_rate_hz=16_000).sample_rate_hz == 8000
    with pytest.raises(ValueError, match="bit_rate_kbps"):
        transcode.to_mp3(path, probe(path), io.BytesIO(), bit_rate_kbps=1)


def test_encoding_and_drawing_hold_no_recording_in_memory(tmp_path: Path) -> None:
    # Given: a file of 12 MB, beside which the peaks of a call are small
    path, sink = wav(tmp_path / "a.wav", frames=3_000_000, channels=2), tmp_path / "out.mp3"
    facts = probe(path)
    tracemalloc.start()
    try:
        with sink.open("wb") as stream:
            transcode.to_mp3(path, facts, stream)
        peaks.compute(path, facts)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
