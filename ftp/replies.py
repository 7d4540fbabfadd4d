"""The one table from errors to FTP replies, and the rule that a reply is one line."""

from __future__ import annotations

import re

from ftp.account_uploads import OverQuota
from ftp.filesystem import IsFolder
from ftp.uploads import ReceivedAlready, TooLarge
from recpipe.errors import (
    AccessError,
    CatalogueError,
    CatalogueUnavailable,
    CredentialsRejected,
    Forbidden,
    InputInvalid,
    LockedOut,
    NotFound,
    ObjectDamaged,
    ObjectMissing,
    RecpipeError,
    SpoolFull,
    SpoolRefused,
    StoreError,
    StoreUnavailable,
    TooManySidecars,
    TooManySignIns,
)

NOT_FOUND = "550 There is no such file or folder."

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# The first row that fits counts. "{}" is what the error says; where there is none, the error could tell a tenant of
# another's recordings, of keys or of the operator's machines, and stays in the log.
_TABLE: tuple[tuple[type[RecpipeError], str], ...] = (
    (NotFound, NOT_FOUND),
    (Forbidden, "550 {}"),
    (CredentialsRejected, "530 {}"),
    (LockedOut, "530 {}"),
    (TooManySignIns, "421 {}"),
    (AccessError, "530 {}"),
    (CatalogueUnavailable, "451 The catalogue does not answer. Try again in a minute."),
    (CatalogueError, "550 {}"),
    (ObjectMissing, "550 The recording is listed, but its bytes are not in the store. Tell your provider its name."),
    (ObjectDamaged, "451 The stored recording is damaged. Tell your provider its name."),
    (StoreUnavailable, "451 The store does not answer. Try again in a minute."),
    (StoreError, "451 The store refuses to give the recording. Tell your provider."),
    (IsFolder, "550 {}"),
    (InputInvalid, "554 {}"),
    (TooLarge, "552 {}"),
    (OverQuota, "552 {}"),
    (TooManySidecars, "552 {}"),
    (SpoolFull, "452 {}"),
    (SpoolRefused, "550 {}"),
    (ReceivedAlready, "550 {}"),
)

# Why a file was not taken, in the words of the metric; other errors count as "other".
_REASONS: tuple[tuple[str, str], ...] = (
    ("TooLarge", "size-limit"),
    ("OverQuota", "quota"),
    ("TooManySidecars", "sidecars-alone"),
    ("SpoolFull", "no-room"),
    ("DiskFailed", "no-room"),
    ("WrongSize", "wrong-size"),
    ("SpoolRefused", "name"),
    ("ReceivedAlready", "name"),
    ("NotFound", "name"),
    ("NotResumed", "tls-session"),
    ("HandshakeFailed", "tls"),
    ("CutOff", "cut-off"),
    ("ConnectionError", "cut-off"),
    ("Error", "cut-off"),  # OpenSSL's
    ("TimeoutError", "cut-off"),
    ("Superseded", "cut-off"),
)


def reply_to(error: RecpipeError) -> str:
    """The reply line for an error.

    Source: RFC 959 section 4.2 (5yz: do not repeat the command as it is; 4yz: the same may succeed later).
    """
    for kind, reply in _TABLE:
        if isinstance(error, kind):
            return one_line(reply.format(error) if "{}" in reply else reply)
    return "451 Something went wrong here; it is in the log. Try again later."


def reason_of(error: BaseException) -> str:
    """Why an upload was refused, as a label."""
    names = [kind.__name__ for kind in type(error).__mro__]
    return next((reason for name, reason in _REASONS if name in names), "other")


def one_line(text: str) -> str:
    """`text` without anything that a client could take for the end of a line, or a terminal for a command."""
    return _CONTROL.sub("?", text)
