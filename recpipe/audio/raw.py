"""Headerless telephone audio, told by the ending of its name alone, as the PBX that wrote it does.

Source: Asterisk's formats/format_*.c (endings, frame sizes), FreeSWITCH's mod_sndfile and mod_native_file (r8 to r32,
PCMU, PCMA, L16), RFC 3551 section 4.5 (rates), RFC 3952 (iLBC), ITU-T G.722.1 (siren7, siren14) and G.719.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from recpipe.audio.files import ReadsAt
from recpipe.audio.stream import Stream
from recpipe.model import Container

_GSM_MAGIC = 0xD  # upper half of the first byte of every frame


@dataclass(frozen=True, slots=True)
class _Form:
    codec: str
    rate_hz: int
    block_bytes: int
    block_frames: int  # samples in one block


def _linear(rate_hz: int) -> _Form:
    return _Form("pcm_s16le", rate_hz, 2, 1)


_ULAW, _ALAW = _Form("pcm_mulaw", 8_000, 1, 1), _Form("pcm_alaw", 8_000, 1, 1)
_KILOHERTZ = {"12": 12_000, "16": 16_000, "24": 24_000, "32": 32_000, "44": 44_100, "48": 48_000, "96": 96_000}
_FORMS = {
    **dict.fromkeys((".ulaw", ".ul", ".mu", ".ulw", ".pcm", ".pcmu", ".mulaw"), _ULAW),
    **dict.fromkeys((".alaw", ".al", ".alw", ".pcma"), _ALAW),
    **dict.fromkeys((".sln", ".slin", ".sln8", ".slin8", ".l16", ".r8"), _linear(8_000)),
    **{f".{name}{kilo}": _linear(rate) for kilo, rate in _KILOHERTZ.items() for name in ("sln", "slin")},
    **dict.fromkeys((".sln192", ".slin192"), _linear(192_000)),
    **{f".r{kilo}": _linear(_KILOHERTZ[kilo]) for kilo in ("16", "24", "32")},
    ".gsm": _Form("gsm", 8_000, 33, 160),
    ".g722": _Form("g722", 16_000, 1, 2),
    ".g719": _Form("g719", 48_000, 160, 960),
    ".g723": _Form("g723_1", 8_000, 24, 240),
    ".g723sf": _Form("g723_1", 8_000, 24, 240),
    ".g726": _Form("g726", 8_000, 1, 2),
    **{f".g726-{kbps}": _Form("g726", 8_000, kbps // 8, 8) for kbps in (16, 24, 32, 40)},
    ".g729": _Form("g729", 8_000, 10, 80),
    ".g729a": _Form("g729", 8_000, 10, 80),
    ".ilbc": _Form("ilbc", 8_000, 50, 240),
    ".lpc10": _Form("lpc10", 8_000, 7, 180),
    ".siren7": _Form("siren7", 16_000, 80, 320),
    ".siren14": _Form("siren14", 32_000, 120, 640),
    ".vox": _Form("dialogic_oki_adpcm", 8_000, 1, 2),
}


def headerless(source: ReadsAt, name: str) -> Stream | None:
    """The audio of a file whose name ends as one of these does; None for other endings."""
    form = _FORMS.get(PurePath(name).suffix.lower())
    if form is None:
        return None
    size = source.size_bytes
    whole = size // form.block_bytes
    gsm = form.codec == "gsm"
    return Stream(
        Container.RAW,
        form.codec,
        form.rate_hz,
        1,
        whole * form.block_frames,
        start=0,
        size=whole * form.block_bytes,
        bit_rate_bps=8 * form.block_bytes * form.rate_hz // form.block_frames,
        truncated=bool(size % form.block_bytes),
        drawn=not gsm or all(source.at(at, 1)[0] >> 4 == _GSM_MAGIC for at in range(0, min(size, 330) - 32, 33)),
    )
