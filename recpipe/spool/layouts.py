"""What the name of a file says in a spool of a certain layout."""

from __future__ import annotations

from recpipe.spool import asterisk_voicemail
from recpipe.spool.files import Kind, kind_of

_KINDS = {"asterisk-voicemail": asterisk_voicemail.kind}


def kind_in(name: str, layout: str) -> Kind:
    """As `kind_of`, by the rules of a layout where it has its own."""
    return _KINDS.get(layout, kind_of)(name)
