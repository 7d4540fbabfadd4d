"""Another key for the installation: whatever is killed when, second factors and notes open with a key that is there."""

from __future__ import annotations

import base64
import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keys import note
from recpipe import recovery_notes, wiring
from recpipe.access import totp
from recpipe.access.principal import operator
from recpipe.access.reauthentication import NO_PROOF
from recpipe.errors import Conflict, NotFound, SecretUnreadable, SettingsInvalid
from recpipe.model import IdentityProvider, Role, User
from recpipe.recordings.recovery_key import RecoveryKey
from recpipe.settings import Settings
from recpipe.store.base import Store
from recpipe.store.layout import new_object_key
from recpipe.store.memory import MemoryStore
from tests.unit.recordings.dying import dies

SECRET = base64.b32encode(b"twenty bytes of one!").decode()
NOTE = b"who called whom"
CLIENT_SECRET = "what the provider knows this portal by"


def service(parts: wiring.Parts) -> RecoveryKey:
    return RecoveryKey(
        parts.settings, parts.catalogue, parts.store, parts.totp_secrets, parts.client_secrets, parts.clock, parts.trail
    )


class Site:
    """An installation with two second factors and three objects with notes."""

    def __init__(self, folder: Path, store: Store | None = None, **settings: Any) -> None:
        self.settings = Settings(data_dir=folder / "data", **settings)
        self.store = store
        with self.open() as parts:
            for name in ("ann", "bob"):
                user = parts.accounts.create(operator(), name, Role.ADMINISTRATOR, proof=NO_PROOF).user
                with parts.catalogue.begin() as work:
                    closed = parts.totp_secrets.closed(user.id, SECRET)
                    assert work.users.swap_totp_secret(user.id, "", closed)
            with parts.catalogue.begin() as work:
                closed = parts.client_secrets.closed("9" * 32, CLIENT_SECRET)
                made_at = parts.clock()
                work.identity_providers.put(
                    IdentityProvider("9" * 32, None, "https://id.example", "portal", made_at, closed)
                )
            self.objects = [new_object_key("7" * 32, f"{n:032}", "s1") for n in range(3)]
            key = recovery_notes.recovery_key(self.settings)
            for one in self.objects:
                parts.store.put(one, io.BytesIO(b"audio"), 5, lambda _, one=one: note.closed(key, NOTE, one))

    @contextmanager
    def open(self) -> Iterator[wiring.Parts]:
        with wiring.open_parts(self.settings, store=self.store) as parts:
            yield parts

    def installed(self) -> list[bytes]:
        return list(recovery_notes.recovery_keys(self.settings))

    def all_opens(self, parts: wiring.Parts, keys: list[bytes] | None = None) -> None:
        for user in users(parts):
            code = totp.code_at(base64.b32decode(SECRET), int(parts.clock().timestamp()) // totp.STEP_SECONDS)
            assert parts.totp_secrets.matching_step(user, code, parts.clock()) is not None
        with parts.catalogue.read() as work:
            assert parts.client_secrets.opened(work.identity_providers.of(None)) == CLIENT_SECRET
        for one in self.objects:
            assert note.opened(keys or self.installed(), parts.store.head(one).note, one) == NOTE


def users(parts: wiring.Parts) -> list[User]:
    with parts.catalogue.read() as work:
        return [user for user in work.users.every() if user.totp_secret]


def test_everything_opens_under_the_new_key_alone_and_the_former_one_goes(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (former,) = site.installed()
    with site.open() as running, site.open() as parts:
        site.all_opens(running)
        done = service(parts).rotate(operator())
        current = site.installed()[0]
        assert (done.second_factors, done.client_secrets, done.notes, done.notes_left) == (2, 1, 3, 0)
        assert site.installed() == [current, former] and done.key_id == note.key_id(current)
        path = recovery_notes.key_file(site.settings)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

        # What runs since before learns of the new key when it needs it
        site.all_opens(running, [current])
        # Nothing is under the former one, so it may go; what counts may not
        uses = service(parts).uses(operator())
        assert [(one.id, one.current, one.second_factors, one.client_secrets, one.notes) for one in uses] == [
            (note.key_id(current), True, 2, 1, 3),
            (note.key_id(former), False, 0, 0, 0),
        ]
        with pytest.raises(Conflict, match="opens what is sealed now"):
            service(parts).drop(operator(), note.key_id(current))
        with pytest.raises(NotFound):
            service(parts).drop(operator(), "00000000")
        service(parts).drop(operator(), note.key_id(former))
        assert site.installed() == [current]
        with parts.catalogue.read() as work:
            told = [(one.action, one.subject) for one in work.audit.list().items if "recovery-key" in one.action]
    assert set(told) == {
        ("recovery-key.reseal", note.key_id(current)),
        ("recovery-key.drop", note.key_id(former)),
    }
    with site.open() as parts:
        site.all_opens(parts, [current])


def test_a_store_that_keeps_notes_with_their_objects_needs_the_former_key(tmp_path: Path) -> None:
    site = Site(tmp_path, MemoryStore())
    (former,) = site.installed()
    with site.open() as parts:
        done = service(parts).rotate(operator())
        assert (done.second_factors, done.client_secrets, done.notes, done.notes_left) == (2, 1, 0, 3)
        with pytest.raises(Conflict, match="0 second factors, 0 client secrets, 3 notes"):
            service(parts).drop(operator(), note.key_id(former))
        site.all_opens(parts)
        for one in site.objects:
            parts.store.delete(one)
        service(parts).drop(operator(), note.key_id(former))
    assert former not in site.installed()


def test_the_setting_gives_former_keys_behind_a_comma(tmp_path: Path) -> None:
    former, current = "11" * 32, "22" * 32
    site = Site(tmp_path, recovery_key=former)
    with site.open() as parts, pytest.raises(Conflict, match="reseal"):
        service(parts).rotate(operator())
    site.settings = site.settings.model_copy(update={"recovery_key": type(site.settings.recovery_key)(current)})
    with site.open() as parts, pytest.raises(SecretUnreadable):
        site.all_opens(parts)
    both = type(site.settings.recovery_key)(f"{current}, {former}")
    site.settings = site.settings.model_copy(update={"recovery_key": both})
    with site.open() as parts:
        site.all_opens(parts)
        done = service(parts).reseal(operator())
        assert (done.second_factors, done.client_secrets, done.notes, done.notes_left) == (2, 1, 3, 0)
        assert service(parts).reseal(operator()).second_factors == 0
        with pytest.raises(Conflict, match="take it out there"):
            service(parts).drop(operator(), note.key_id(bytes.fromhex(former)))
        site.all_opens(parts, [bytes.fromhex(current)])
    assert not recovery_notes.key_file(site.settings).exists()


@pytest.mark.parametrize("written", ["", "\n", "11" * 31, f"{'11' * 32}\nx", f"{'11' * 32},{'22' * 33}"])
def test_a_file_that_holds_no_key_is_said_and_left(tmp_path: Path, written: str) -> None:
    path = tmp_path / "recovery.key"
    path.write_text(written)
    with pytest.raises(SettingsInvalid, match="Restore it from its backup"):
        recovery_notes.recovery_keys(Settings(data_dir=tmp_path))
    assert path.read_text() == written


@pytest.mark.parametrize("moment", ["key 0", "factor 0", "factor 1", "note 0", "note 2", "record 0"])
def test_a_kill_leaves_everything_open_and_the_next_try_does_the_rest(tmp_path: Path, moment: str) -> None:
    site = Site(tmp_path)
    (former,) = site.installed()
    dies("rotate", tmp_path, str(site.settings.data_dir), *moment.split())
    assert former in site.installed() and len(site.installed()) == (1 if moment == "key 0" else 2)
    with site.open() as parts:
        site.all_opens(parts)
        service(parts).reseal(operator())
        site.all_opens(parts, site.installed()[:1])
        if former != site.installed()[0]:
            service(parts).drop(operator(), note.key_id(former))
        site.all_opens(parts)
    assert len(site.installed()) == 1
