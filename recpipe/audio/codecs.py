"""What can be done with a codec: drawn and converted here, played in a browser."""

from __future__ import annotations

from recpipe.audio.stream import SAMPLE_BYTES
from recpipe.model import AudioFacts, Container

# Flags of a recording.
NO_WAVEFORM = "no-waveform"  # nothing here decodes it: it is stored as it is, and cannot be drawn or converted
NO_DURATION = "duration-unknown"
NOT_CONVERTED = "not-converted"  # its tenant wants MP3, and it cannot be made of this

_LINEAR = frozenset(("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_alaw", "pcm_mulaw"))
_SAMPLED = frozenset(SAMPLE_BYTES)
_MPEG = frozenset(("mp1", "mp2", "mp3", "mpeg", "mpeglayer3"))
VOX = "dialogic_oki_adpcm"
_DECODED = {
    Container.WAV: _SAMPLED | _MPEG | {"gsm", "adpcm_ima", "adpcm_ms"},
    Container.MP3: _MPEG,
    Container.AIFF: _SAMPLED,
    Container.AU: _SAMPLED,
    Container.CAF: _SAMPLED,
    Container.FLAC: frozenset(("flac",)),
    Container.OGG: frozenset(("opus", "vorbis", "flac")),
    Container.RAW: _SAMPLED | {"gsm", VOX},
    Container.RIFX: _SAMPLED,
    Container.W64: _SAMPLED | {"gsm"},
}
_PLAYED = {
    Container.WAV: _LINEAR,
    Container.MP3: frozenset(("mp3",)),
    Container.AAC: frozenset(("aac",)),
    Container.FLAC: frozenset(("flac",)),
    Container.MP4: frozenset(("aac", "opus", "flac", "mp3")),
    Container.OGG: frozenset(("opus", "vorbis", "flac")),
    Container.WEBM: frozenset(("opus", "vorbis")),
}


def decoded(container: Container, codec: str) -> bool:
    """Whether `decode.blocks` knows this codec; a damaged file may still not be decoded."""
    return codec in _DECODED.get(container, ())


def is_mpeg(codec: str) -> bool:
    """Whether it is a stream of MPEG frames, in whatever container."""
    return codec in _MPEG


def convertible(audio: AudioFacts) -> bool:
    """Whether `decode.blocks` takes it from a stream, which libmpg123 and FLAC do not do without going back."""
    seeks = audio.container in (Container.FLAC, Container.OGG) or is_mpeg(audio.codec)
    return decoded(audio.container, audio.codec) and not seeks and NO_WAVEFORM not in audio.flags


def playable(audio: AudioFacts) -> bool:
    """Whether today's browsers play it as it is: all know PCM, A-law, u-law and MP3, none GSM 6.10, ADPCM or AU."""
    return audio.codec in _PLAYED.get(audio.container, ()) and audio.channels <= 2
