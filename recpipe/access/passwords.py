"""Passwords: Argon2id, a policy for chosen ones, and a short memory of successes. The only home of pwdlib."""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import secrets
import threading
import time
import unicodedata
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pwdlib.hashers.argon2 import Argon2Hasher

from recpipe.access import common_passwords
from recpipe.errors import InputInvalid, TooManySignIns
from recpipe.messages import message

SHORTEST_CHOSEN = 12  # characters
LONGEST = 256  # characters; a longer one is refused before it costs anything
REMEMBERED_SECONDS = 60.0
MOST_REMEMBERED = 4096
# Every computation in flight takes the memory of its cost: a flood of logins must not take all there is.
MOST_AT_ONCE = 4
# One place is always left for the other doors: a flood at FTP keeps nobody out of the dashboard, nor the reverse.
MOST_OF_ONE_DOOR = 3
LONGEST_WAIT_SECONDS = 20.0

# Lower-case letters and digits that nobody confuses: 32 of them, so 5 bits each. No l, o, 0 or 1.
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one Argon2id computation takes."""

    passes: int
    memory_kib: int
    lanes: int


# The second recommended option, for machines that cannot spare 2 GiB a login. Source: RFC 9106 section 4.
RFC_9106_LOW_MEMORY = Cost(passes=3, memory_kib=64 * 1024, lanes=4)
DEFAULT_COST = RFC_9106_LOW_MEMORY


class Passwords:
    """Hashes and verifies passwords; one for a process. Thread-safe."""

    def __init__(self, cost: Cost | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        cost = cost or DEFAULT_COST
        self._argon2 = Argon2Hasher(time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes)
        self._monotonic = monotonic
        self._nobodys = _hash_of_nothing(cost)
        self._process_key = os.urandom(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._of_door: defaultdict[str, threading.BoundedSemaphore] = defaultdict(
            lambda: threading.BoundedSemaphore(MOST_OF_ONE_DOOR)
        )

    def hash(self, password: str) -> str:
        """The PHC string to keep.

        Raises:
            InputInvalid: it has more than 256 characters.
            TooManySignIns: as `turn`.
        """
        if len(password) > LONGEST:
            raise InputInvalid(
                "password", message("A password may have at most {longest} characters.", longest=LONGEST)
            )
        with self.turn():
            return self._argon2.hash(_bytes(password))

    def verify(self, password: str, kept: str | None) -> bool:
        """Whether `password` is the one behind `kept`; the same work is done when there is no hash.

        Args:
            kept: the PHC string; None for an unknown user or one without a password.
        """
        too_long = len(password) > LONGEST
        right = self._argon2.verify(_bytes("" if too_long else password), kept or self._nobodys)
        right = right and kept is not None and not too_long
        if right and kept:
            self._remember(self._name(password, kept))
        return right

    def recently_right(self, password: str, kept: str | None) -> bool:
        """Whether this very password was verified against this very hash in the last 60 seconds.

        FTP clients log in for every file; a full verification each time would be most of their day. A changed hash
        is another name here, so a changed password is never remembered. Wrong passwords never are.
        """
        if kept is None or len(password) > LONGEST:
            return False
        name = self._name(password, kept)
        with self._lock:
            until = self._remembered.get(name)
            if until is None or until <= self._monotonic():
                self._remembered.pop(name, None)
                return False
            return True

    @contextlib.contextmanager
    def turn(self, door: str = "http") -> Iterator[None]:
        """Wait for one of the few places in which verifications run; `hash` waits for one itself.

        Args:
            door: whoever knocks at one door takes no place that is kept for the others.

        Raises:
            TooManySignIns: none came free within 20 seconds.
        """
        deadline = self._monotonic() + LONGEST_WAIT_SECONDS
        with contextlib.ExitStack() as places:
            for place in (self._door(door), self._places):
                if not place.acquire(timeout=max(0.0, deadline - self._monotonic())):
                    raise TooManySignIns
                places.callback(place.release)
            yield

    def _door(self, door: str) -> threading.BoundedSemaphore:
        with self._lock:
            return self._of_door[door]

    def _name(self, password: str, kept: str) -> bytes:
        return hmac.digest(self._process_key, kept.encode() + b"\0" + _bytes(password), "sha256")

    def _remember(self, name: bytes) -> None:
        with self._lock:
            self._remembered[name] = self._monotonic() + REMEMBERED_SECONDS
            self._remembered.move_to_end(name)
            while len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)


def generate() -> str:
    """A password of 140 random bits in four groups that can be read out and typed. Show it once."""
    return "-".join(readable_code(7) for _ in range(4))


def readable_code(length: int) -> str:
    """`length` random characters of 5 bits each, none easily taken for another."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def check_chosen(password: str, *words: str) -> str:
    """Return `password` when a person may choose it.

    Args:
        words: what an attacker knows of the account: its names and address, those of its tenants.

    Raises:
        InputInvalid: too short, too long, too common. The password is not in the message.

    Source: NIST SP 800-63B section 5.1.1.2 (length and commonness count, composition rules do not help).
    """
    if len(password) < SHORTEST_CHOSEN:
        raise InputInvalid(
            "password",
            message(
                "The password is too short. Use {shortest_chosen} characters or more; a few words are fine.",
                shortest_chosen=SHORTEST_CHOSEN,
            ),
        )
    if len(password) > LONGEST:
        raise InputInvalid(
            "password", message("The password is too long. Use at most {longest} characters.", longest=LONGEST)
        )
    if len(set(password)) < 5:
        raise InputInvalid("password", "The password repeats a few characters. Use at least five different ones.")
    if common_passwords.is_made_of(password, (common_passwords.PRODUCT, *words), SHORTEST_CHOSEN // 2):
        raise InputInvalid(
            "password", "The password is little more than a name of you, your company or recpipe. Use other words."
        )
    if common_passwords.is_common(password, words):
        raise InputInvalid(
            "password",
            "The password is one of the first that are guessed: common, or made of something common. "
            "Use three or four words that do not belong together.",
        )
    return password


def _bytes(password: str) -> bytes:
    """One form for passwords that look the same, whatever keyboard wrote them. Source: RFC 8265 section 4.2 (NFC)."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def _hash_of_nothing(cost: Cost) -> str:
    """A well-formed hash that no password has: made of random bytes, so making it costs nothing."""
    salt, value = (base64.b64encode(os.urandom(n)).decode().rstrip("=") for n in (16, 32))
    return f"$argon2id$v=19$m={cost.memory_kib},t={cost.passes},p={cost.lanes}${salt}${value}"
