"""Everything `recpipe` raises. A subclass per decision a caller makes; the facts are attributes.

HTTP, FTP and the command line each keep one table from these to their codes; no status lives here.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import ClassVar, cast

from recpipe.messages import message


class RecpipeError(Exception):
    """Base of all errors of this package. `str()` is one or two sentences a person can act on.

    Attributes:
        word: stable and kebab-case, for programs: the end of a problem's `type` in the API, and `type` of what a
            command prints with --json. A class without one of its own has that of its base.
    """

    word: ClassVar[str] = "error"

    def __init__(self, text: str = "", /, **values: object) -> None:
        super().__init__(message(text, **values))

    def __str__(self) -> str:
        return cast(str, self.args[0])  # `str()` of a Message would be English and nothing more


class SettingsInvalid(RecpipeError):
    """The configuration cannot be used; nothing was started."""

    word = "settings-invalid"


# --- the write path ---------------------------------------------------------------------------------------


class IngestError(RecpipeError):
    """Base of what can befall one spool file."""

    word = "ingest"


class Unfit(IngestError):
    """The file cannot be ingested as it is: quarantine it with this reason, keep the original.

    Attributes:
        reason: a stable kebab-case word, such as `unknown-tenant`, `name-not-understood`, `empty-recording`.
    """

    word = "unfit"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Waits(StrEnum):
    """What a held file waits for, and so what is looked at again for all that wait for the same."""

    TENANT = "tenant"  # its certificates, or how it stores
    DESCRIPTION = "description"  # what lies beside the file or says more of its call
    FILE = "file"  # the right to read it
    REMOVAL = "removal"  # it is stored
    OTHER = "other"


class Held(IngestError):
    """The file is good, but must wait in the spool for a person (no usable certificate, too large to seal).

    Attributes:
        reason: a stable kebab-case word, such as `no-usable-certificate`, `too-large-to-seal`.
        waits: for what.
        tenant: whose it is, where it waits for that one.
    """

    word = "held"

    def __init__(self, reason: str, message: str, waits: Waits = Waits.OTHER) -> None:
        super().__init__(message)
        self.reason = reason
        self.waits = waits
        self.tenant = ""


class NotARecording(IngestError):
    """The file is no recording, whatever its name: leave it where it is, and list it as ignored.

    Attributes:
        other_format: it is one, but the same recording is beside it in the format that is stored.
    """

    word = "unfit"

    def __init__(self, name: str, *, other_format: bool = False) -> None:
        self.other_format = other_format
        super().__init__(f"{name} is no recording. It stays where it is; move it out of the spool if it is in the way.")


class SourceChanged(IngestError):
    """The spool file moved under our hands; let it settle again. Nothing was committed."""

    word = "conflict"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} changed while it was being read; it will be taken again when it is finished.")
        self.path = path


class SpoolLocked(RecpipeError):
    """Another live process owns this spool."""

    word = "spool-refused"

    def __init__(self, path: Path, owner: str) -> None:
        super().__init__(
            f"The spool {path} is already served by {owner}. Stop that process, or give this one another spool."
        )
        self.path = path
        self.owner = owner


class SpoolRefused(RecpipeError):
    """The spool cannot do this: a path outside it, a name that is taken, a folder it may not write to."""

    word = "spool-refused"


class SpoolFull(SpoolRefused):
    """The spool's disk has no room for what is sent: the same may succeed later."""

    word = "no-room"


class TooManySidecars(SpoolRefused):
    """So many sidecars of one sender lie in the spool without a recording that it may send no more of them."""


# --- the store --------------------------------------------------------------------------------------------


class StoreError(RecpipeError):
    """Base of what an object store can say."""

    word = "store-refused"


class StoreUnavailable(StoreError):
    """The store did not answer, or answered that it is busy: the same call may succeed later."""

    word = "unavailable"


class StoreRejected(StoreError):
    """The store answered no: credentials, bucket, quota. Trying again does not help until somebody acts."""


class ObjectRefused(StoreRejected):
    """The store's no is to this object alone: it is too large, or not as long as was promised."""


class ObjectMissing(StoreError):
    """There is no object under this key."""

    word = "object-missing"

    def __init__(self, key: str) -> None:
        super().__init__(f"The store has no object {key}. Run recpipe verify to see what else is missing.")
        self.key = key


class ObjectExists(StoreError):
    """Another object with other bytes is under this key; it was left as it is."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The store already holds other bytes under {key}; it was left untouched.")
        self.key = key


class VersionsRemain(StoreError):
    """The object is deleted, but the bucket keeps versions, and did not let go of all of them.

    Attributes:
        count: how many remain; None where the bucket does not say.
    """

    def __init__(self, key: str, count: int | None = None) -> None:
        super().__init__(
            f"The bucket keeps {'former versions' if count is None else f'{count} version(s)'} of {key} that recpipe "
            "may not delete: whoever may read versions can still read them. Give recpipe s3:ListBucketVersions and "
            "s3:DeleteObjectVersion and delete it again, or let object lock or a lifecycle rule end them."
        )
        self.key = key
        self.count = count


class ObjectDamaged(StoreError):
    """What the store holds is not what was sent: size or SHA-256 differ."""

    word = "object-damaged"

    def __init__(self, key: str, detail: str) -> None:
        super().__init__(f"The stored object {key} is not what was sent: {detail}.")
        self.key = key
        self.detail = detail


# --- the catalogue ----------------------------------------------------------------------------------------


class CatalogueError(RecpipeError):
    """Base of what the catalogue can say."""

    word = "catalogue"


class CatalogueUnavailable(CatalogueError):
    """The database did not answer or is locked: the same call may succeed later."""

    word = "unavailable"


class NotFound(CatalogueError):
    """There is none, or it is another tenant's: the two are never told apart.

    Attributes:
        what: the kind of thing, such as `recording`.
    """

    word = "not-found"

    def __init__(self, what: str, which: str = "") -> None:
        super().__init__(f"There is no {what} {which}".rstrip() + ".")
        self.what, self.which = what, which


class AlreadyExists(CatalogueError):
    """The name is taken."""

    word = "already-exists"

    def __init__(self, what: str, which: str) -> None:
        super().__init__(
            "There already is a {what} {which}. Choose another name, or change the existing one.",
            what=what,
            which=which,
        )
        self.what = what
        self.which = which


class Conflict(CatalogueError):
    """The change is against a rule, such as encryption without a proven key; nothing was changed.

    Attributes:
        reason: a stable kebab-case word.
    """

    word = "conflict"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TooManyMatches(CatalogueError):
    """A number search is too broad to be answered without hiding newer calls."""

    word = "too-many-matches"

    def __init__(self, limit: int) -> None:
        super().__init__("More than {limit:,} different numbers match. Type more digits.", limit=limit)
        self.limit = limit


class SearchTooLong(CatalogueError):
    """A search took longer than one may and was stopped, so that it does not keep everybody else waiting.

    Attributes:
        seconds: the limit, the setting `search_seconds`.
    """

    word = "search-too-long"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            "The search was stopped after {seconds:g} seconds. Narrow it by date, give more of the number or "
            "text, or try again when the database has less to do.",
            seconds=seconds,
        )
        self.seconds = seconds


class QueryInvalid(CatalogueError):
    """The search cannot be understood: a bad cursor, a reversed time range, too few digits."""

    word = "query-invalid"


class InputInvalid(RecpipeError):
    """What a person or program wants kept cannot be: a name, a password, a network. Nothing was changed.

    Attributes:
        field: which part of it, such as `username`.
    """

    word = "input-invalid"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


# --- access -----------------------------------------------------------------------------------------------


class AccessError(RecpipeError):
    """Base of what a door can say to who knocks."""

    word = "access"


class CredentialsRejected(AccessError):
    """User name, password or token are wrong, disabled or expired: the one answer for all of these."""

    word = "credentials-rejected"

    def __init__(self) -> None:
        super().__init__("The user name or password is not right.")


class SecretUnreadable(AccessError):
    """A secret that is kept encrypted does not open with the key of this installation.

    Attributes:
        wanted, present: ids of the key it needs, "" where that cannot be told, and of the one that is here.
    """

    word = "secret-unreadable"

    def __init__(self, wanted: str, present: str) -> None:
        why = f"was sealed under the recovery key {wanted}" if wanted not in ("", present) else "is damaged"
        super().__init__(
            f"A secret of this account {why}; here is {present}. Restore recovery.key (or RECPIPE_RECOVERY_KEY) from "
            "its backup. Until then recovery codes sign in, and an administrator can switch two-factor sign-in off."
        )
        self.wanted = wanted
        self.present = present


class ReauthenticationRequired(CredentialsRejected):
    """A session asked for what takes the password once more, and sent none or a wrong one; nothing was changed.

    Attributes:
        reason: `missing` or `wrong`.
    """

    word = "reauthentication-required"

    def __init__(self, reason: str = "missing") -> None:
        what = {"missing": "This takes your own password once more", "wrong": "The password or code is not yours"}
        AccessError.__init__(
            self,
            f"{what[reason]}; nothing was changed. Send your password as current_password, or the six digits that your "
            "authenticator app shows now as code.",
        )
        self.reason = reason


class LockedOut(AccessError):
    """Too many failures; even the right password does not help until the time is over.

    Attributes:
        retry_after_seconds: how long to wait.
    """

    word = "locked-out"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("Too many failed logins. Wait {n} seconds, then try again.", n=retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


class TooManySignIns(AccessError):
    """As many passwords are waiting to be computed as may wait; nothing was begun or counted."""

    word = "too-many-sign-ins"

    def __init__(self) -> None:
        super().__init__("Too many are signing in just now. Nothing was begun; try again in a few seconds.")
        self.retry_after_seconds = 5


class IssuerUnavailable(AccessError):
    """An identity provider was not reached, or said nothing that can be used; nothing was done.

    Attributes:
        host: of the provider.
        why: for operators, and for the log.
    """

    word = "issuer-unavailable"

    def __init__(self, host: str, why: str) -> None:
        super().__init__(
            "{host} could not be asked: {why}. Try again in a minute, or sign in with your password if you have one.",
            host=host,
            why=why,
        )
        self.host = host
        self.why = why
        self.retry_after_seconds = 60


class SignInRefused(CredentialsRejected):
    """A sign-in at an identity provider does not open anything here.

    Attributes:
        reason: a stable kebab-case word, for the audit log.
    """

    word = "sign-in-refused"

    def __init__(self, reason: str, message: str) -> None:
        AccessError.__init__(self, message)
        self.reason = reason


class SecondFactorRequired(AccessError):
    """Somebody signed in with the password alone where the operator wants a second factor of everybody."""

    word = "second-factor-required"

    def __init__(self) -> None:
        super().__init__("This portal wants two-factor sign-in of everybody. Set it up under My Account first.")


class Forbidden(AccessError):
    """Known, but not allowed to do this."""

    word = "forbidden"

    def __init__(self, action: str) -> None:
        super().__init__(
            "This account is not allowed to {action}. Ask an administrator for the permission.", action=message(action)
        )
        self.action = action
