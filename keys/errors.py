"""Everything `keys` raises. The docstring of a class says what a caller should decide; `str()` is the message."""

from __future__ import annotations

from typing import ClassVar


class KeysError(Exception):
    """Base of all errors of this package.

    Attributes:
        word: stable and kebab-case, for programs.
    """

    word: ClassVar[str] = "keys"


class CertificateRejected(KeysError):
    """What was pasted or read cannot serve as a recipient; nothing was kept of it.

    Attributes:
        reason: a stable kebab-case word for programs and translations, such as `private-key`.
        advice: what the person should do next, a full sentence.
    """

    word = "certificate-rejected"

    def __init__(self, reason: str, message: str, advice: str) -> None:
        super().__init__(f"{message} {advice}")
        self.reason = reason
        self.message = message
        self.advice = advice


class MessageTooLarge(KeysError):
    """The envelope would be larger than the documented openssl command can open; nothing was written.

    Attributes:
        size_bytes: length of the content that was to be sealed.
        limit_bytes: the largest content that may be sealed.
    """

    word = "message-too-large"

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"This recording has {size_bytes:,} bytes; openssl smime opens at most {limit_bytes:,}. "
            "Split it, or store it as MP3 (recpipe tenant set --store-format mp3), then retry."
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class SourceSizeMismatch(KeysError):
    """The stream to seal was shorter or longer than promised; what was produced must be thrown away.

    Attributes:
        promised_bytes: the length given before reading.
        found_bytes: what had been read when the difference was noticed.
    """

    word = "source-size-mismatch"

    def __init__(self, promised_bytes: int, found_bytes: int) -> None:
        super().__init__(
            f"The source promised {promised_bytes:,} bytes but held {found_bytes:,}. "
            "It is still being written or was cut; try again when it is finished."
        )
        self.promised_bytes = promised_bytes
        self.found_bytes = found_bytes


class EnvelopeMalformed(KeysError):
    """These bytes are not an envelope we can read, or they are damaged; trying another key will not help."""

    word = "envelope-malformed"


class NoRecipientMatches(KeysError):
    """The envelope is sound, but none of the given keys opens it; try another key."""

    word = "no-recipient-matches"


class PrivateKeyUnusable(KeysError):
    """The private key file cannot be read: not a key, not RSA, or its passphrase is missing or wrong."""

    word = "private-key-unusable"


class ChallengeFailed(KeysError):
    """The proof of possession does not match; nothing was changed, the person may try again."""

    word = "challenge-failed"


class ContentDiffers(EnvelopeMalformed):
    """The envelope opened, but what was in it is not what was sealed; nothing of it was kept.

    Attributes:
        expected_sha256, found_sha256: lower hex.
    """

    word = "content-differs"

    def __init__(self, expected_sha256: str, found_sha256: str) -> None:
        super().__init__(
            f"The content has SHA-256 {found_sha256}, not {expected_sha256}: the file was altered or is another one. "
            "Fetch it again; if it stays so, report it to the operator."
        )
        self.expected_sha256 = expected_sha256
        self.found_sha256 = found_sha256


class OutputUnsafe(KeysError):
    """Writing there would destroy what is read, or cannot work; nothing was touched."""

    word = "output-unsafe"


class NoteUnreadable(KeysError):
    """A note beside an object cannot be opened; the message says why."""

    word = "note-unreadable"
