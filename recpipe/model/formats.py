"""Files of recordings as people and browsers know them: how their names end, and their media type."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Container(StrEnum):
    """What a recording's bytes are wrapped in; the values are kept in the catalogue."""

    WAV = "wav"
    MP3 = "mp3"  # MPEG audio of any layer
    AAC = "aac"  # in ADTS
    AIFF = "aiff"
    AMR = "amr"
    ASF = "asf"
    AU = "au"
    CAF = "caf"
    FLAC = "flac"
    MATROSKA = "matroska"
    MP4 = "mp4"
    OGG = "ogg"
    RAW = "raw"  # no container at all
    RIFX = "rifx"
    W64 = "w64"
    WEBM = "webm"
    TIFF = "tiff"  # a fax, and so is the next
    PDF = "pdf"


@dataclass(frozen=True, slots=True)
class FileFormat:
    endings: tuple[str, ...]  # the first is given to a file whose name ends otherwise
    media_type: str


UNKNOWN_TYPE = "application/octet-stream"
# The media types are those of the IANA where it has one, and else what browsers and players call them.
FORMATS = {
    Container.WAV: FileFormat((".wav", ".wave"), "audio/wav"),
    Container.MP3: FileFormat((".mp3", ".mp2", ".mpga"), "audio/mpeg"),
    Container.AAC: FileFormat((".aac",), "audio/aac"),
    Container.AIFF: FileFormat((".aiff", ".aif", ".aifc"), "audio/x-aiff"),
    Container.AMR: FileFormat((".amr", ".awb"), "audio/AMR"),
    Container.ASF: FileFormat((".wma", ".asf"), "audio/x-ms-wma"),
    Container.AU: FileFormat((".au", ".snd"), "audio/basic"),
    Container.CAF: FileFormat((".caf",), "audio/x-caf"),
    Container.FLAC: FileFormat((".flac",), "audio/flac"),
    Container.MATROSKA: FileFormat((".mka", ".mkv"), "audio/x-matroska"),
    Container.MP4: FileFormat((".m4a", ".mp4", ".3gp"), "audio/mp4"),
    Container.OGG: FileFormat((".ogg", ".oga", ".opus", ".spx"), "audio/ogg"),
    Container.RIFX: FileFormat((".wav",), UNKNOWN_TYPE),
    Container.W64: FileFormat((".w64",), UNKNOWN_TYPE),
    Container.WEBM: FileFormat((".webm",), "audio/webm"),
    Container.TIFF: FileFormat((".tif", ".tiff"), "image/tiff"),
    Container.PDF: FileFormat((".pdf",), "application/pdf"),
    # Whatever its name says is all that is known of it. Source of these endings: see `audio.raw`.
    Container.RAW: FileFormat(
        (
            ".raw", ".gsm", ".ulaw", ".ul", ".mu", ".ulw", ".pcm", ".pcmu", ".mulaw", ".alaw", ".al", ".alw", ".pcma",
            ".sln", ".slin", ".sln8", ".slin8", ".l16", ".r8", ".r16", ".r24", ".r32",
            *(f".{name}{kilo}" for name in ("sln", "slin") for kilo in (12, 16, 24, 32, 44, 48, 96, 192)),
            ".g722", ".g719", ".g723", ".g723sf", ".g726", ".g726-16", ".g726-24", ".g726-32", ".g726-40", ".g729",
            ".g729a", ".ilbc", ".lpc10", ".siren7", ".siren14", ".vox",
        ),
        UNKNOWN_TYPE,
    ),
}  # fmt: skip
# Other names of WAV: GSM in it (Asterisk's wav49), and 16 kHz (its wav16).
_MORE_ENDINGS = (".wav49", ".wav16", ".wav24", ".wav32", ".wav48", ".bwf", ".rf64", ".mp1", ".m4b", ".ogx")
FAX_ENDINGS = frozenset(FORMATS[Container.TIFF].endings + FORMATS[Container.PDF].endings)
AUDIO_ENDINGS = (
    frozenset((*(e for form in FORMATS.values() for e in form.endings), *_MORE_ENDINGS)) - {".raw"} - FAX_ENDINGS
)
