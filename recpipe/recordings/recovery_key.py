"""Another key for the installation: made, what is sealed sealed anew, and a former one dropped when nothing needs it.

The new key stands before the others on disk before anything is sealed under it, and a former one stays until it is
dropped: whatever is killed when, each secret and note is under a key that is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keys import note
from keys.errors import NoteUnreadable
from recpipe import recovery_notes
from recpipe.access.at_rest import key_id_of
from recpipe.access.audit import AuditTrail, event
from recpipe.access.client_secrets import ClientSecrets
from recpipe.access.principal import Action, Principal
from recpipe.access.totp_secrets import TotpSecrets
from recpipe.catalogue import Catalogue
from recpipe.errors import Conflict, NotFound, ObjectMissing
from recpipe.model import StoredObject
from recpipe.settings import Settings
from recpipe.store.base import RewritesNotes, Store
from recpipe.times import Clock


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How much is under one key.

    Attributes:
        present: whether the key is here.
        current: whether what is sealed now is sealed under it.
    """

    id: str
    present: bool
    current: bool
    second_factors: int
    client_secrets: int  # of identity providers
    notes: int


@dataclass(frozen=True, slots=True)
class Resealed:
    """What was sealed anew, and what is under a former key still: notes that the store keeps with their object."""

    key_id: str
    second_factors: int
    client_secrets: int
    notes: int
    notes_left: int


class RecoveryKey:
    """What an operator does with the key of the installation."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        store: Store,
        totp_secrets: TotpSecrets,
        client_secrets: ClientSecrets,
        clock: Clock,
        trail: AuditTrail,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._store = store
        self._totp_secrets = totp_secrets
        self._client_secrets = client_secrets
        self._clock = clock
        self._trail = trail

    def uses(self, by: Principal, on_object: Callable[[], None] = lambda: None) -> list[KeyUse]:
        """Every key that is here or that something is under; the one that counts first. Asks for each object.

        Raises:
            Forbidden: `by` may not operate the system.
            SettingsInvalid: the keys cannot be read.
            StoreUnavailable, CatalogueUnavailable: nothing can be said.
        """
        self._trail.require(by, Action.SYSTEM)
        ids = [note.key_id(key) for key in recovery_notes.recovery_keys(self._settings)]
        with self._catalogue.read() as work:
            factors = Counter(key_id_of(user.totp_secret) for user in work.users.every())
            clients = Counter(key_id_of(provider.client_secret) for provider in work.identity_providers.list())
        notes = Counter(note.id_of(stored.note) for stored in self._objects(on_object))
        others = sorted({*factors, *clients, *notes} - {"", *ids})
        return [
            KeyUse(one, one in ids, one == ids[0], factors[one], clients[one], notes[one]) for one in (*ids, *others)
        ]

    def rotate(self, by: Principal, on_object: Callable[[], None] = lambda: None) -> Resealed:
        """Make a key that counts from now on, and seal anew as `reseal`.

        Raises:
            Conflict: `key-in-setting`: the setting gives the key, and so the operator the new one.
            OSError: the file cannot be written; the key is the one it was.
            Forbidden, SettingsInvalid, StoreUnavailable, CatalogueUnavailable: as `uses`. Once there is a new key,
                `reseal` does the rest.
        """
        self._trail.require(by, Action.SYSTEM)
        if self._settings.recovery_key.get_secret_value():
            raise Conflict(
                "key-in-setting",
                "The setting recovery_key gives the key. Write a new one (openssl rand -hex 32) and a comma before it, "
                "for every process, restart them, then run: recpipe recovery-key reseal",
            )
        keys = recovery_notes.recovery_keys(self._settings)
        recovery_notes.keep(recovery_notes.key_file(self._settings), [note.new_key(), *keys])
        return self.reseal(by, on_object)

    def reseal(self, by: Principal, on_object: Callable[[], None] = lambda: None) -> Resealed:
        """Seal under the key that counts now what is under a former one. May be repeated.

        A note that the store keeps as a part of its object stays, and stays readable with the former key.

        Raises:
            Forbidden, SettingsInvalid, StoreUnavailable, CatalogueUnavailable: as `uses`; what was done stays so.
        """
        self._trail.require(by, Action.SYSTEM)
        keys = recovery_notes.recovery_keys(self._settings)
        current = note.key_id(keys[0])
        factors = self._totp_secrets.seal_all(self._catalogue)
        clients = self._client_secrets.seal_all(self._catalogue)
        notes = left = 0
        for stored in self._objects(on_object):
            if note.id_of(stored.note) in ("", current):
                continue
            try:
                text = note.opened(keys, stored.note, stored.key)
            except NoteUnreadable:
                left += 1
                continue
            if isinstance(self._store, RewritesNotes):
                self._store.rewrite_note(stored.key, note.closed(keys[0], text, stored.key))
                notes += 1
            else:
                left += 1
        self._trail.record(event(by, "recovery-key.reseal", self._clock(), subject=current, notes=notes, left=left))
        return Resealed(current, factors, clients, notes, left)

    def drop(self, by: Principal, key_id: str, on_object: Callable[[], None] = lambda: None) -> None:
        """Forget a former key that nothing is under any more.

        Raises:
            NotFound: there is no such key here.
            Conflict: `key-in-use`: it counts now, or something is under it; `key-in-setting`: as `rotate`.
            OSError: the file cannot be written; the key is still there.
            Forbidden, SettingsInvalid, StoreUnavailable, CatalogueUnavailable: as `uses`.
        """
        use = next((one for one in self.uses(by, on_object) if one.id == key_id and one.present), None)
        if use is None:
            raise NotFound("recovery key", key_id)
        if use.current or use.second_factors or use.client_secrets or use.notes:
            what = (
                "what is sealed now"
                if use.current
                else (f"{use.second_factors} second factors, {use.client_secrets} client secrets, {use.notes} notes")
            )
            raise Conflict(
                "key-in-use", f"The key {key_id} opens {what}. Run recpipe recovery-key rotate or reseal first."
            )
        if self._settings.recovery_key.get_secret_value():
            raise Conflict(
                "key-in-setting", "The setting recovery_key gives the key. Nothing needs it: take it out there."
            )
        keys = recovery_notes.recovery_keys(self._settings)
        # On the record before the deed: it cannot be undone.
        self._trail.record(event(by, "recovery-key.drop", self._clock(), subject=key_id))
        kept = [key for key in keys if note.key_id(key) != key_id]
        recovery_notes.keep(recovery_notes.key_file(self._settings), kept)

    def _objects(self, on_object: Callable[[], None]) -> Iterator[StoredObject]:
        """Each object with its note, which lists do not give."""
        for stored in self._store.list():
            on_object()
            try:
                yield self._store.head(stored.key)
            except ObjectMissing:
                continue
