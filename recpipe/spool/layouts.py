"""What the name of a file says in a spool of a certain layout."""

from __future__ import annotations

from pathlib import Path

from recpipe.errors import SpoolRefused
from recpipe.model import FAX_ENDINGS
from recpipe.spool import asterisk_voicemail, fax_names, freeswitch_voicemail
from recpipe.spool.files import Kind, kind_of, safe_text

_KINDS = {
    "asterisk-voicemail": asterisk_voicemail.kind,
    "freeswitch-voicemail": freeswitch_voicemail.kind,
    "fax": fax_names.kind,
}
_BETTER = {
    "asterisk-voicemail": asterisk_voicemail.has_better_format,
    "freeswitch-voicemail": freeswitch_voicemail.has_better_format,
    "fax": fax_names.has_better_format,
}


def kind_in(name: str, layout: str) -> Kind:
    """As `kind_of`, by the rules of a layout where it has its own."""
    return _KINDS.get(layout, kind_of)(name)


def may_be_recording_in(name: str, layout: str) -> bool:
    """As `may_be_recording`, by the rules of a layout where it has its own."""
    return kind_in(name, layout) in (Kind.RECORDING, Kind.UNKNOWN)


def is_taken_in(name: str, layout: str) -> bool:
    """Whether whoever sends a file of this name (no folders) has it taken: a recording, or what describes one."""
    return kind_in(name, layout) in (Kind.RECORDING, Kind.SIDECAR)


def no_recording(name: str, layout: str) -> SpoolRefused:
    """What whoever sends a file of another name is told."""
    if layout == "fax":
        return SpoolRefused(f"{safe_text(name)} is no fax: its name must end in .tif, .tiff or .pdf.")
    if layout in _KINDS:
        return SpoolRefused(f'{safe_text(name)} has no name that recordings of layout = "{layout}" have.')
    fax = Path(name).suffix.lower() in FAX_ENDINGS
    return SpoolRefused(
        f"{safe_text(name)} is no recording: its name must end in .wav, .mp3, .gsm or as other audio does."
        + (' Faxes go into a spool with layout = "fax".' if fax else "")
    )


def has_better_format(recording: Path, layout: str) -> bool:
    """Whether the same message is beside it in a format that is stored rather than this one."""
    return layout in _BETTER and _BETTER[layout](recording)
