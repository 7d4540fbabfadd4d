"""How values look to people: times in a zone, lengths, sizes, and the words for what the catalogue calls otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from recpipe import languages
from recpipe.messages import counted, message
from recpipe.model import Masked, masked_text
from recpipe.times import WEEKDAYS
from recpipe.web.dashboard.certificate_words import judged

# What is said after a change, by the word in `?done=`: nothing from a URL is ever shown itself.
NOTES: Mapping[str, str] = {
    "signed-out": message("You are signed out."),
    "registered": message("A letter is on its way to this address. Open its link within 24 hours."),
    "confirmed": message(
        "Thank you. An administrator looks at your registration now. Once it is approved, you get a letter "
        "with a link to choose your password."
    ),
    "recovery-sent": message(
        "If this has an account, a letter with a link is on its way. The link is good for one hour."
    ),
    "password-reset": message("Your new password is set. Sign in with it."),
    "welcome": message("Your account is ready. Sign in with your new password."),
    "saved": message("Saved."),
    "saved-pending": message("Saved as a pending change. It takes effect when you press Apply."),
    "nothing-to-change": message("Nothing to change: it is like that already."),
    "applied": message("Applied. The changes are in effect."),
    "discarded": message("The pending change was discarded."),
    "password-changed": message("Your password was changed."),
    "email-asked": message("Saved. A letter is on its way to the new address, which counts once its link was opened."),
    "email-kept": message("The address that counts stays as it is."),
    "email-confirmed": message("The address is confirmed: letters go there from now on."),
    "token-ended": message("The token was ended. Programs that used it are refused."),
    "passkey-added": message("The passkey was added. It signs you in behind your password, or in place of it."),
    "passkey-removed": message("The passkey was removed."),
    "identity-linked": message("Linked. From now on you can sign in there as well."),
    "identity-unlinked": message("Unlinked. Sessions that were opened by it ended."),
    "second-factor-required": message("This portal wants two-factor sign-in of everybody. Set it up here to go on."),
    "second-factor-off": message("Two-factor sign-in is off."),
    "session-ended": message("The session was ended."),
    "sessions-ended": message("All other sessions were ended."),
    "user-created": message("The user was created."),
    "user-removed": message("The user was deleted."),
    "user-sessions-ended": message("All sessions of this user were ended."),
    "second-factor-reset": message("Two-factor sign-in of this user was switched off."),
    "ftp-removed": message("The FTP account was removed."),
    "proven": message("The private key is proven. Encryption can be switched on."),
    "retired": message("The certificate was retired. What was sealed for it stays readable with its key."),
    "taken": message("The file is tried again with what you said of its call. If it is here again, its row says why."),
    "retried": message("The file is tried again. If it is still here, or is here again, the row says why."),
    "retried-all": message("The files are tried again. What is still here, or is here again, says why."),
    "discarded-file": message("The file was deleted."),
    "versions-remain": message(
        "Deleted, but the bucket keeps versions that recpipe may not delete. The audit log says "
        "which; tell the operator."
    ),
    "search-saved": message("The search is saved under its name. Only you see it."),
    "search-removed": message("The saved search was removed."),
    "marked": message("Saved. Everybody who may search these calls sees it."),
    "link-revoked": message("The link is revoked. What was open by it has ended."),
    "deleted": message("Deleted for good. Who did it, when and why is on the audit log."),
    "tenant-created": message("The service was created."),
}

WORDS: Mapping[str, str] = {
    "administrator": message("Administrator"),
    "api": message("API User"),
    "client": message("Client User"),
    "service": message("Service User"),
    "active": message("Active"),
    "inactive": message("Inactive"),
    "pending": message("Invited"),
    "registered": message("Waits for approval"),
    "call": message("Call"),
    "voicemail": message("Voicemail"),
    "conference": message("Conference"),
    "fax": message("Fax"),
    "inbound": message("Inbound"),
    "outbound": message("Outbound"),
    "internal": message("Internal"),
    "unknown": message("Unknown"),
    "unproven": message("Proof is owed"),
    "proven": message("Proven"),
    "vouched": message("Vouched for"),
    "retired": message("Retired"),
    "search": message("Search"),
    "play": message("Play"),
    "download": message("Download"),
    "export": message("Export (ZIP, CSV)"),
    "annotate": message("Notes and tags"),
    "share": message("Links for people outside"),
    "delete": message("Delete"),
    "keys": message("Add-ons and keys"),
    "policy": message("Call routing and extensions"),
    "decide": message("Ask whether to record"),
    "ftp": message("FTP accounts"),
    "users": message("Portal users"),
    "upload": message("Upload"),
    "audit": message("Audit log"),
    "ok": message("Done"),
    "denied": message("Denied"),
    "failed": message("Failed"),
}


def local(moment: datetime | None, zone: str = "UTC", form: str = "%-d %b %Y, %H:%M:%S") -> str:
    """A time on the clock of a zone."""
    return "" if moment is None else languages.written(moment.astimezone(ZoneInfo(zone)), form)


def day(its: date) -> str:
    """A date as the pages write it."""
    return languages.written(its, "%-d %b %Y")


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
        part = (
            message("paused at {place}", place=_place(start))
            if start == end
            else message("masked {start} to {end}", start=_place(start), end=_place(end))
        )
        words.append(languages.said(part))
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
            return f"{languages.decimal(f'{value:.1f}')} {unit}" if value < 99.5 else f"{value:.0f} {unit}"
    raise AssertionError


def number(count: int) -> str:
    return languages.number(count)


def ago(moment: datetime | None, now: datetime) -> str:
    """How long since, in words."""
    if moment is None:
        return message("never")
    seconds = max(0, int((now - moment).total_seconds()))
    if seconds >= 86400:
        return counted("{count} day ago", "{count} days ago", seconds // 86400)
    if seconds >= 3600:
        return counted("{count} hour ago", "{count} hours ago", seconds // 3600)
    if seconds >= 60:
        return counted("{count} minute ago", "{count} minutes ago", seconds // 60)
    return message("just now")


def left(until: datetime, now: datetime) -> str:
    """How long until then, in words, rounded up: who reads "1 day left" has no more than that."""
    hours = max(1, -int((now - until).total_seconds() // 3600))
    if hours < 48:
        return counted("{count} hour left", "{count} hours left", hours)
    return counted("{count} day left", "{count} days left", -(-hours // 24))


def weekday(word: str) -> str:
    """A day of the week, by its English letters such as mon, as it is written short."""
    return languages.written(date(2024, 1, 1 + WEEKDAYS.index(word)), "%a")


def inside(title: str) -> str:
    """A title inside a sentence, with a small letter; in German nouns keep theirs."""
    said = languages.said(title)
    return said if languages.current() == "de" else said[:1].lower() + said[1:]


def brief(text: str, most: int = 120) -> str:
    """Text that keeps its line: a caller's name may have ten thousand characters."""
    text = languages.said(text)
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
    ("python", message("a Python program")),
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
        return brief(user_agent, 40) or message("not known")
    return message("{browser} on {system}", browser=name, system=system) if system else name


def fingerprint(digits: str) -> str:
    """Hex in pairs, as openssl prints it."""
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2)).upper()


def in_names(key: str, names: Mapping[str, str]) -> str:
    """The name of an id; the id of something this person does not see is not shown."""
    return names.get(key, message("another service"))


def actions(granted: Iterable[str]) -> str:
    """What was granted, in words; in the order of the words that people are shown everywhere."""
    named = set(granted)
    return ", ".join(languages.said(word) for name, word in WORDS.items() if name in named)


def by_service(grants: str, names: Mapping[str, str]) -> str:
    """Grants as the audit log keeps them (`ID: search,play; ID: all`), each under the name of its service."""
    shown = []
    for grant in filter(None, grants.split("; ")):
        tenant_id, _, granted = grant.partition(": ")
        may = actions(granted.split(",")) or languages.said(message("all that the role allows"))
        shown.append(f"{languages.said(in_names(tenant_id, names))}: {may}")
    return "; ".join(shown) or message("none")


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
    "judged": judged,
    "weekday": weekday,
    "inside": inside,
    "browser": browser,
    "fingerprint": fingerprint,
    "in_names": in_names,
    "actions": actions,
    "by_service": by_service,
}
