"""Short secrets that are kept or sent out encrypted, under keys made of the installation's own."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Callable, Sequence
from enum import StrEnum

from keys import note
from keys.errors import NoteUnreadable
from recpipe.errors import SecretUnreadable

_MARK = "rp1"


class Purpose(StrEnum):
    """What a secret is for. Each has a key of its own: what was sealed for one opens nothing of another."""

    SECOND_FACTOR = "recpipe second factor"
    REGISTRATION = "recpipe registration"
    CLIENT_SECRET = "recpipe client secret"  # noqa: S105 - of an identity provider
    PASSKEY = "recpipe passkey"
    FEDERATION = "recpipe sign-in elsewhere"


class AtRest:
    """Seals and opens. Thread-safe.

    Args:
        keys: gives the key of the installation, and those before it; asked when they are first needed, and again when
            something is under another one: it may have come since.
    """

    def __init__(self, keys: Callable[[], Sequence[bytes]]) -> None:
        self._ask = keys
        self._lock = threading.Lock()
        self._keys: Sequence[bytes] = ()

    def closed(self, purpose: Purpose, text: str, about: str = "") -> str:
        """The text under the key of this purpose, bound to what it is about; safe in a URL.

        Raises:
            SettingsInvalid: the installation's key cannot be read.
        """
        key = self._installation_keys()[0]
        closed = note.closed(note.derived(key, purpose), text.encode(), about)
        return f"{_MARK}.{note.key_id(key)}.{base64.urlsafe_b64encode(closed).decode().rstrip('=')}"

    def opened(self, purpose: Purpose, closed: str, about: str = "") -> str:
        """The text again.

        Raises:
            SecretUnreadable: it is under another key, about something else, or damaged.
            SettingsInvalid: as for `closed`.
        """
        mark, _, rest = closed.partition(".")
        key_id, _, body = rest.partition(".")
        keys = self._installation_keys()
        if mark == _MARK and key_id not in map(note.key_id, keys):
            keys = self._installation_keys(anew=True)
        key = next((key for key in keys if note.key_id(key) == key_id), None)
        if mark != _MARK or key is None:
            raise SecretUnreadable(key_id[:16] if mark == _MARK else "", note.key_id(keys[0]))
        try:
            sealed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
            return note.opened([note.derived(key, purpose)], sealed, about).decode()
        except (NoteUnreadable, binascii.Error, ValueError):
            raise SecretUnreadable(key_id, key_id) from None

    def is_current(self, closed: str) -> bool:
        """Whether it is sealed, under the key that counts now.

        Raises:
            SettingsInvalid: as for `closed`.
        """
        return is_closed(closed) and key_id_of(closed) == note.key_id(self._installation_keys()[0])

    def _installation_keys(self, *, anew: bool = False) -> Sequence[bytes]:
        with self._lock:
            if anew or not self._keys:
                self._keys = self._ask()
            return self._keys


def key_id_of(closed: str) -> str:
    """The id of the key that a secret is under; "" for what is not sealed."""
    return closed.split(".")[1] if is_closed(closed) else ""


def is_closed(text: str) -> bool:
    """Whether this is sealed at all; secrets of earlier versions are not."""
    return text.startswith(_MARK + ".")
