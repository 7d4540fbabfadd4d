"""What the name of a file says in a spool of a certain layout."""

from __future__ import annotations

from pathlib import Path

from recpipe.spool import asterisk_voicemail, fax_names, freeswitch_voicemail
from recpipe.spool.files import Kind, kind_of

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


def has_better_format(recording: Path, layout: str) -> bool:
    """Whether the same message is beside it in a format that is stored rather than this one."""
    return layout in _BETTER and _BETTER[layout](recording)
