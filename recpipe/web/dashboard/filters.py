"""How values look to people: times in a zone, lengths, sizes, and the words for what the catalogue calls otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from recpipe.model import Masked, masked_text

# What is said after a change, by the word in `?done=`: nothing from a URL is ever shown itself.
NOTES: Mapping[str, str] = {
    "signed-out": "You are signed out.",
    "registered": "A letter is on its way to this address. Open its link within 24 hours.",
    "confirmed": "Thank you. An administrator looks at your registration now. Once it is approved, you get a letter "
    "with a link to choose your password.",
    "recovery-sent": "If this has an account, a letter with a link is on its way. The link is good for one hour.",
    "password-reset": "Your new password is set. Sign in with it.",
    "welcome": "Your account is ready. Sign in with your new password.",
    "saved": "Saved.",
    "saved-pending": "Saved as a pending change. It takes effect when you press Apply.",
    "nothing-to-change": "Nothing to change: it is like that already.",
    "applied": "Applied. The changes are in effect.",
    "discarded": "The pending change was discarded.",
    "password-changed": "Your password was changed.",
    "email-asked": "Saved. A letter is on its way to the new address, which counts once its link was opened.",
    "email-kept": "The address that counts stays as it is.",
    "email-confirmed": "The address is confirmed: letters go there from now on.",
    "token-ended": "The token was ended. Programs that used it are refused.",
    "passkey-added": "The passkey was added. It signs you in behind your password, or in place of it.",
    "passkey-removed": "The passkey was removed.",
    "identity-linked": "Linked. From now on you can sign in there as well.",
    "identity-unlinked": "Unlinked. Sessions that were opened by it ended.",
    "second-factor-required": "This portal wants two-factor sign-in of everybody. Set it up here to go on.",
    "second-factor-off": "Two-factor sign-in is off.",
    "session-ended": "The session was ended.",
    "sessions-ended": "All other sessions were ended.",
    "user-created": "The user was created.",
    "user-removed": "The user was deleted.",
    "user-sessions-ended": "All sessions of this user were ended.",
    "second-factor-reset": "Two-factor sign-in of this user was switched off.",
    "ftp-removed": "The FTP account was removed.",
    "proven": "The private key is proven. Encryption can be switched on.",
    "retired": "The certificate was retired. What was sealed for it stays readable with its key.",
    "taken": "The file is tried again with what you said of its call. If it is here again, its row says why.",
    "retried": "The file is tried again. If it is still here, or is here again, the row says why.",
    "retried-all": "The files are tried again. What is still here, or is here again, says why.",
    "discarded-file": "The file was deleted.",
    "versions-remain": "Deleted, but the bucket keeps versions that recpipe may not delete. The audit log says "
    "which; tell the operator.",
    "search-saved": "The search is saved under its name. Only you see it.",
    "search-removed": "The saved search was removed.",
    "marked": "Saved. Everybody who may search these calls sees it.",
    "link-revoked": "The link is revoked. What was open by it has ended.",
    "deleted": "Deleted for good. Who did it, when and why is on the audit log.",
    "tenant-created": "The service was created.",
}

WORDS: Mapping[str, str] = {
    "administrator": "Administrator",
    "api": "API User",
    "client": "Client User",
    "service": "Service User",
    "active": "Active",
    "inactive": "Inactive",
    "pending": "Invited",
    "registered": "Waits for approval",
    "call": "Call",
    "voicemail": "Voicemail",
    "conference": "Conference",
    "fax": "Fax",
    "inbound": "Inbound",
    "outbound": "Outbound",
    "internal": "Internal",
    "unknown": "Unknown",
    "unproven": "Proof is owed",
    "proven": "Proven",
    "vouched": "Vouched for",
    "retired": "Retired",
    "search": "Search",
    "play": "Play",
    "download": "Download",
    "export": "Export (ZIP, CSV)",
    "annotate": "Notes and tags",
    "share": "Links for people outside",
    "delete": "Delete",
    "keys": "Add-ons and keys",
    "policy": "Call routing and extensions",
    "decide": "Ask whether to record",
    "ftp": "FTP accounts",
    "users": "Portal users",
    "upload": "Upload",
    "audit": "Audit log",
    "ok": "Done",
    "denied": "Denied",
    "failed": "Failed",
}


def local(moment: datetime | None, zone: str = "UTC", form: str = "%-d %b %Y, %H:%M:%S") -> str:
    """A time on the clock of a zone."""
    return "" if moment is None else moment.astimezone(ZoneInfo(zone)).strftime(form)


def day(its: date) -> str:
    """A date as the pages write it."""
    return f"{its.day} {its:%b %Y}"


def offset(moment: datetime, zone: str) -> str:
    """How far the clock of a zone is from UTC at a moment, as +02:00."""
    return moment.astimezone(ZoneInfo(zone)).isoformat()[-6:]


def repeated(moment: datetime, zone: str) -> bool:
    """Whether the clock of a zone shows this time twice, as in the night in which clocks are set back."""
    local = moment.astimezone(ZoneInfo(zone))
    return local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()


def machine(moment: datetime | None) -> str:
    """For the `datetime` attribute."""
    return "" if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")


def length(milliseconds: int) -> str:
    """m:ss or h:mm:ss; less than a second is shown as one, so that a call never looks empty."""
    seconds = max(1, round(milliseconds / 1000)) if milliseconds > 0 else 0
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def masked(parts: Masked) -> str:
    """Where a recording is masked, in words: "Masked 2:10 to 2:41; paused at 3:05"."""
    words = []
    for start, end in parts:
        words.append(f"paused at {_place(start)}" if start == end else f"masked {_place(start)} to {_place(end)}")
    said = "; ".join(words)
    return said[:1].upper() + said[1:]


def _place(milliseconds: int) -> str:
    """A place in a recording; unlike a length it may be its very start."""
    return length(milliseconds) if milliseconds >= 500 else "0:00"


def size(count: int) -> str:
    """Bytes in decimal units, as shops and file managers give them."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        value /= 1000
        if value < 999.5 or unit == "PB":
            return f"{value:.1f} {unit}" if value < 99.5 else f"{value:.0f} {unit}"
    raise AssertionError


def number(count: int) -> str:
    return f"{count:,}"


def ago(moment: datetime | None, now: datetime) -> str:
    """How long since, in words."""
    if moment is None:
        return "never"
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, amount in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= amount:
            count = seconds // amount
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def left(until: datetime, now: datetime) -> str:
    """How long until then, in words, rounded up: who reads "1 day left" has no more than that."""
    hours = max(1, -int((now - until).total_seconds() // 3600))
    count, unit = (hours, "hour") if hours < 48 else (-(-hours // 24), "day")
    return f"{count} {unit}{'' if count == 1 else 's'} left"


def brief(text: str, most: int = 120) -> str:
    """Text that keeps its line: a caller's name may have ten thousand characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


# What browsers and systems call themselves, the particular before what pretends to be the general.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("python", "a Python program"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def browser(user_agent: str) -> str:
    """Which browser and system that is, as people call them: "Firefox on Linux"."""
    name = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if not name:
        return brief(user_agent, 40) or "not known"
    return f"{name} on {system}" if system else name


def fingerprint(digits: str) -> str:
    """Hex in pairs, as openssl prints it."""
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2)).upper()


def in_names(key: str, names: Mapping[str, str]) -> str:
    """The name of an id; the id of something this person does not see is not shown."""
    return names.get(key, "another service")


def actions(granted: Iterable[str]) -> str:
    """What was granted, in words; in the order of the words that people are shown everywhere."""
    named = set(granted)
    return ", ".join(word for name, word in WORDS.items() if name in named)


def by_service(grants: str, names: Mapping[str, str]) -> str:
    """Grants as the audit log keeps them (`ID: search,play; ID: all`), each under the name of its service."""
    shown = []
    for grant in filter(None, grants.split("; ")):
        tenant_id, _, granted = grant.partition(": ")
        shown.append(f"{in_names(tenant_id, names)}: {actions(granted.split(',')) or 'all that the role allows'}")
    return "; ".join(shown) or "none"


FILTERS: dict[str, Callable[..., Any]] = {
    "local": local,
    "day": day,
    "machine": machine,
    "offset": offset,
    "repeated": repeated,
    "clock": length,
    "masked": masked,
    "seconds": masked_text,
    "size": size,
    "number": number,
    "ago": ago,
    "left": left,
    "brief": brief,
    "browser": browser,
    "fingerprint": fingerprint,
    "in_names": in_names,
    "actions": actions,
    "by_service": by_service,
}
