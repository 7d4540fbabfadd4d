"""What can be done with a codec: drawn and converted here, played in a browser."""

from __future__ import annotations

from recpipe.model import AudioFacts, Container

# Flags of a recording.
NO_WAVEFORM = "no-waveform"  # nothing here decodes it: it is stored as it is, and cannot be drawn or converted
NO_DURATION = "duration-unknown"
NOT_CONVERTED = "not-converted"  # its tenant wants MP3, and it cannot be made of this

_LINEAR = frozenset(("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_alaw", "pcm_mulaw"))
_WAVE = _LINEAR | {"pcm_f64le", "gsm", "adpcm_ima", "adpcm_ms"}
_MPEG = frozenset(("mp1", "mp2", "mp3", "mpeg", "mpeglayer3"))
_DECODED = {Container.WAV: _WAVE | _MPEG, Container.MP3: _MPEG}
_PLAYED = {Container.WAV: _LINEAR, Container.MP3: frozenset(("mp3",))}


def decoded(container: Container, codec: str) -> bool:
    """Whether `decode.blocks` knows this codec; a damaged file may still not be decoded."""
    return codec in _DECODED.get(container, ())


def is_mpeg(codec: str) -> bool:
    """Whether it is a stream of MPEG frames, in whatever container."""
    return codec in _MPEG


def playable(audio: AudioFacts) -> bool:
    """Whether all browsers play it as it is: all play PCM, A-law, u-law and MP3, none plays GSM 6.10 or ADPCM."""
    return audio.codec in _PLAYED.get(audio.container, ()) and audio.channels <= 2
