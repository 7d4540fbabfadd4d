"""WAV files of every codec and every kind of damage, made by libsndfile and by hand."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from recpipe.audio.splice import SpliceReader
from recpipe.model import CallFacts, Direction, Splice

FACTS = CallFacts(
    started_at=datetime(2025, 3, 27, 8, 25, 17, tzinfo=UTC),
    timezone="Europe/Berlin",
    direction=Direction.INBOUND,
    caller="+49301234567",
    callee="201",
    caller_name="Jürgen Groß",
    extension="201",
    call_id="1743042317.12206",
)
SUBTYPES = {
    "pcm_u8": "PCM_U8",
    "pcm_s16le": "PCM_16",
    "pcm_s24le": "PCM_24",
    "pcm_f32le": "FLOAT",
    "pcm_alaw": "ALAW",
    "pcm_mulaw": "ULAW",
    "gsm": "GSM610",
    "adpcm_ima": "IMA_ADPCM",
    "adpcm_ms": "MS_ADPCM",
}


def speech(frames: int = 8001, channels: int = 1) -> NDArray[np.int16]:
    """Something with a shape: a tone that swells, other on each channel."""
    at = np.arange(frames)
    columns = [9000 * np.sin(at / (7 + channel)) * np.sin(at / 900) for channel in range(channels)]
    return np.stack(columns, axis=1).astype(np.int16)


def wav(path: Path, codec: str = "pcm_s16le", frames: int = 8001, channels: int = 1, rate: int = 8000) -> Path:
    samples = speech(frames, channels)
    written = samples / 32768.0 if codec.startswith("pcm_f") else samples
    soundfile.write(path, written, rate, subtype=SUBTYPES[codec], format="WAV")
    return path


def chunk(name: bytes, body: bytes, *, size: int | None = None, pad: bool = True) -> bytes:
    claimed = len(body) if size is None else size
    return name + struct.pack("<I", claimed) + body + (b"\0" if pad and len(body) % 2 else b"")


FMT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))


def riff(*chunks: bytes, size: int | None = None, form: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return form + struct.pack("<I", len(body) if size is None else size) + body


def write_out(splice: Splice, path: Path) -> Path:
    with SpliceReader(splice) as reader:
        path.write_bytes(reader.read())
    assert path.stat().st_size == splice.size_bytes
    return path
