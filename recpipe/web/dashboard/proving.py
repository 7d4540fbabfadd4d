"""The field in which people give their password once more, and what they are told where it is missing or wrong."""

from __future__ import annotations

import re

from recpipe.access.reauthentication import Proof
from recpipe.web.dashboard.forms import Fields

_CODE = re.compile(r"\s*\d{3}\s?\d{3}\s*", re.ASCII)  # shorter than any password


def proof_of(form: Fields, name: str = "current_password") -> Proof:
    """What was typed there: the own password, or a code of the authenticator app."""
    typed = form.text(name)
    return Proof(code=typed) if _CODE.fullmatch(typed) else Proof(typed)


def ends(form: Fields) -> dict[str, bool]:
    """What shall end with an old password: all of it where the form did not ask."""
    ticked = form.all("end") or ["sessions", "tokens"]
    return {"end_sessions": "sessions" in ticked, "end_tokens": "tokens" in ticked}
