"""Short secrets that are kept or sent out encrypted, under keys made of the installation's own."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Callable
from enum import StrEnum

from keys import note
from keys.errors import NoteUnreadable
from recpipe.errors import SecretUnreadable

_MARK = "rp1"


class Purpose(StrEnum):
    """What a secret is for. Each has a key of its own: what was sealed for one opens nothing of another."""

    SECOND_FACTOR = "recpipe second factor"
    REGISTRATION = "recpipe registration"


class AtRest:
    """Seals and opens. Thread-safe.

    Args:
        key: gives the key of the installation; asked once, when it is first needed.
    """

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._ask = key
        self._lock = threading.Lock()
        self._key: bytes | None = None

    def closed(self, purpose: Purpose, text: str, about: str = "") -> str:
        """The text under the key of this purpose, bound to what it is about; safe in a URL.

        Raises:
            SettingsInvalid: the installation's key cannot be read.
        """
        key = self._installation_key()
        closed = note.closed(note.derived(key, purpose), text.encode(), about)
        return f"{_MARK}.{note.key_id(key)}.{base64.urlsafe_b64encode(closed).decode().rstrip('=')}"

    def opened(self, purpose: Purpose, closed: str, about: str = "") -> str:
        """The text again.

        Raises:
            SecretUnreadable: it is under another key, about something else, or damaged.
            SettingsInvalid: as for `closed`.
        """
        key = self._installation_key()
        mark, _, rest = closed.partition(".")
        key_id, _, body = rest.partition(".")
        if mark != _MARK or key_id != note.key_id(key):
            raise SecretUnreadable(key_id[:16] if mark == _MARK else "", note.key_id(key))
        try:
            sealed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
            return note.opened([note.derived(key, purpose)], sealed, about).decode()
        except (NoteUnreadable, binascii.Error, ValueError):
            raise SecretUnreadable(key_id, key_id) from None

    def _installation_key(self) -> bytes:
        with self._lock:
            if self._key is None:
                self._key = self._ask()
            return self._key


def is_closed(text: str) -> bool:
    """Whether this is sealed at all; secrets of earlier versions are not."""
    return text.startswith(_MARK + ".")
