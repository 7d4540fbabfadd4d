"""The audit log as sentences: what was done, in words, and to which call, user or service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from recpipe.model import AuditEvent, Outcome, Recording

# By action: what somebody did, and what somebody could not do. {} is what it was done to.
DEEDS: Mapping[str, tuple[str, str]] = {
    "login": ("signed in", "sign in"),
    "logout": ("signed out", "sign out"),
    "session.end-others": ("ended all other sessions", "end all other sessions"),
    "password.confirm": ("confirmed the password", "confirm the password"),
    "search": ("searched", "search"),
    "play": ("played {}", "play {}"),
    "download": ("downloaded {}", "download {}"),
    "export": ("exported {}", "export {}"),
    "delete": ("deleted {}", "delete {}"),
    "delete.versions-remain": ("deleted {}, of which the bucket keeps versions", "delete all versions of {}"),
    "call.told": ("told what was done to the recording of {}", "tell what was done to the recording of {}"),
    "recording.masked": ("noted which parts of {} are masked", "note which parts of {} are masked"),
    "link.create": ("made a link to {}", "make a link to {}"),
    "link.open": ("opened a link to {}", "open a link to {}"),
    "link.revoke": ("revoked a link to {}", "revoke a link to {}"),
    "call.mark": ("marked {}", "mark {}"),
    "share": ("shared {}", "share {}"),
    "annotate": ("wrote a note of {}", "write a note of {}"),
    "upload": ("uploaded {}", "upload {}"),
    "repair": ("repaired {}", "repair {}"),
    "recover": ("took {} back into the catalogue", "take {} back into the catalogue"),
    "recovery-key.reseal": ("sealed anew under the recovery key {}", "seal anew under the recovery key {}"),
    "recovery-key.drop": ("dropped the recovery key {}", "drop the recovery key {}"),
    "user.create": ("made the user {}", "make the user {}"),
    "user.invite": ("invited {}", "invite {}"),
    "user.accept": ("accepted an invitation", "accept an invitation"),
    "user.register": ("registered", "register"),
    "user.recover": ("asked for a link to choose a new password", "get a link to choose a new password"),
    "user.reset": ("chose a new password by a link", "choose a new password by a link"),
    "user.change": ("changed the user {}", "change the user {}"),
    "user.email": ("confirmed an e-mail address", "confirm an e-mail address"),
    "user.keep-email": ("kept the e-mail address of {}", "keep the e-mail address of {}"),
    "user.password": ("set a new password of {}", "set a new password of {}"),
    "user.end-sessions": ("ended all sessions of {}", "end all sessions of {}"),
    "user.second-factor-on": ("switched two-factor sign-in on", "switch two-factor sign-in on"),
    "user.second-factor-off": ("switched two-factor sign-in of {} off", "switch two-factor sign-in of {} off"),
    "user.recovery-codes": ("made new recovery codes", "make new recovery codes"),
    "passkey.add": ("added a passkey", "add a passkey"),
    "passkey.remove": ("removed a passkey", "remove a passkey"),
    "identity.link": ("linked a sign-in elsewhere", "link a sign-in elsewhere"),
    "identity.unlink": ("unlinked a sign-in elsewhere", "unlink a sign-in elsewhere"),
    "identity-provider.set": ("set up an identity provider", "set up an identity provider"),
    "identity-provider.remove": ("removed an identity provider", "remove an identity provider"),
    "user.remove": ("deleted the user {}", "delete the user {}"),
    "token.create": ("made an API token", "make an API token"),
    "token.revoke": ("ended an API token", "end an API token"),
    "ftp-account.create": ("made the FTP account {}", "make the FTP account {}"),
    "ftp-account.change": ("changed the FTP account {}", "change the FTP account {}"),
    "ftp-account.password": ("made a new password of the FTP account {}", "make a new password of the FTP account {}"),
    "ftp-account.remove": ("removed the FTP account {}", "remove the FTP account {}"),
    "certificate.add": ("added a certificate", "add a certificate"),
    "certificate.vouch": ("added a certificate and vouched for it", "vouch for a certificate"),
    "certificate.challenge": ("fetched the challenge of a certificate", "fetch the challenge of a certificate"),
    "certificate.prove": ("proved a private key", "prove a private key"),
    "certificate.retire": ("retired a certificate", "retire a certificate"),
    "statistics.sent": ("sent the figures of a month", "send the figures of a month"),
    "certificate.reminded": ("was reminded that a certificate expires", "be reminded that a certificate expires"),
    "tenant.create": ("made the service {}", "make a service"),
    "tenant.change": ("changed the service", "change the service"),
    "tenant.recording": ("switched the call recording add-on", "switch the call recording add-on"),
    "tenant.encryption": ("switched encryption", "switch encryption"),
    "disclaimer.agree": ("agreed to the disclaimer", "agree to the disclaimer"),
    "change.save": ("saved a change", "save a change"),
    "change.apply": ("applied a change", "apply a change"),
    "change.discard": ("discarded a change", "discard a change"),
    "policy.service": ("changed what is recorded", "change what is recorded"),
    "policy.route": ("changed what is recorded of routes", "change what is recorded of routes"),
    "policy.extension": ("changed what is recorded of extensions", "change what is recorded of extensions"),
    "completeness.found": ("compared calls with recordings", "compare calls with recordings"),
    "quarantine.retry": ("had a file tried again", "have a file tried again"),
    "quarantine.take": ("said of which call a file in quarantine is", "say of which call a file in quarantine is"),
    "quarantine.download": ("downloaded a file in quarantine", "download a file in quarantine"),
    "quarantine.discard": ("deleted a file in quarantine", "delete a file in quarantine"),
    "quarantine.reason": ("said why a file in quarantine goes", "say why a file in quarantine goes"),
    "completeness.reminded": (
        "was told of calls that were not recorded as they should be",
        "be told of calls that were not recorded as they should be",
    ),
    "completeness.month": ("was sent the report of a month", "be sent the report of a month"),
    "quarantine.reminded": ("was reminded of files in quarantine", "be reminded of files in quarantine"),
}
OF_CALLS = frozenset(
    {
        "play",
        "download",
        "export",
        "annotate",
        "share",
        "link.create",
        "link.open",
        "link.revoke",
        "call.mark",
        "call.told",
        "recording.masked",
        "delete",
        "delete.versions-remain",
        "upload",
        "repair",
        "recover",
    }
)
_DOORS = {"http": "at the dashboard", "api": "at the API", "ftp": "over FTP"}
# What the sentence has said, so that the details need not.
_SAID = frozenset({"door", "second_factor", "username", "name", "fingerprint", "kind"})
_SWITCHES = frozenset({"tenant.recording", "tenant.encryption"})
_KINDS = {
    "call-recording": "the call recording add-on",
    "encryption": "encryption",
    "service-policy": "what is recorded",
    "inbound-route": "what is recorded of routes",
    "extension": "what is recorded of extensions",
}
_TOLD = {
    "not-allowed": "not allowed",
    "not-found": "there is none",
    "second-factor": "the code was wrong",
    "wrong": "the password or code was wrong",
    "wrong-password": "the password was wrong",
    "missing": "no password was given",
    "unknown": "there is no such account",
    "unknown-token": "there is no such token",
    "expired": "it is too old",
    "revoked": "it was revoked",
    "used-up": "it was opened as often as it may be",
    "maker": "who made it may not share any more",
    "passphrase": "the passphrase was wrong",
    "deleted": "the recordings are gone",
    "links-off": "links are switched off",
    "ended": "the token was ended",
    "too-many": "too many tries",
    "locked-out": "locked out after too many tries",
    "inactive": "the account is switched off",
    "pending": "the invitation was not accepted yet",
    "registered": "the account waits for approval",
    "no-password": "the account has no password yet",
    "token-only": "the account is for programs",
    "second-factor-needed": "the account has two-factor sign-in",
    "taken": "there is such an account already",
}


@dataclass(frozen=True, slots=True)
class Deed:
    """One event in words; `before` and `behind` stand around `subject`, which may lead to the call."""

    before: str
    subject: str
    behind: str
    call: str  # id of a call that whoever reads may look at; else ""
    rest: Mapping[str, object]  # details that the sentence does not tell
    known: bool  # False: the action itself is all there is to say


def told(event: AuditEvent, calls: Mapping[str, Recording], zones: Mapping[str, str], users: Mapping[str, str]) -> Deed:
    """Say what happened.

    Args:
        calls: those that the reader may find, by id.
        zones: of the services, by id.
        users: names by id, of those that the reader manages.
    """
    detail = event.detail
    rest = {name: value for name, value in detail.items() if name not in _SAID and value not in ("", None)}
    if "reason" in rest and event.outcome is not Outcome.OK:
        rest["reason"] = _TOLD.get(str(rest["reason"]), rest["reason"])
    words = DEEDS.get(event.action)
    if words is None:
        return Deed(event.action, "", "", "", rest, False)
    done, could = words
    sentence = done if event.outcome is Outcome.OK else f"could not {could}"
    before, _, behind = sentence.partition("{}")
    subject = call = ""
    if event.action in _SWITCHES and "new" in detail:
        before += " on" if detail["new"] is True else " off"
        rest = {name: value for name, value in rest.items() if name not in ("old", "new")}
    if (kind := str(detail.get("kind", ""))) and event.action.startswith("change."):
        behind = f" of {_KINDS.get(kind, kind)}"
    if "{}" in sentence and event.action in OF_CALLS:
        found = calls.get(event.subject)
        call = found.id if found else ""
        subject = of_call(found, zones.get(found.tenant_id, "UTC")) if found else _unseen(event)
    elif "{}" in sentence:
        subject = str(detail.get("username") or detail.get("name") or users.get(event.subject, ""))
    return Deed(before, subject, behind + _how(event), call, rest, True)


def of_call(recording: Recording, zone: str) -> str:
    """A call as people speak of it: when, and who to whom."""
    facts = recording.facts
    at = recording.started_at.astimezone(ZoneInfo(zone))
    return f"the call of {_day(at)}, {_short(facts.caller)} to {_short(facts.callee)}"


def _day(at: datetime) -> str:
    return f"{at:%-d %b %Y %H:%M}"


def _short(number: str) -> str:
    """An extension whole, of a number its last digits: the log is read by more people than the calls are."""
    text = number.strip()
    if not text:
        return "unknown"
    digits = "".join(c for c in text if c.isdecimal())
    return f"…{digits[-4:]}" if len(digits) > 6 else text[:20]


def _unseen(event: AuditEvent) -> str:
    if event.action == "export" and not event.subject:
        return f"a search as {str(event.detail.get('format', 'file')).upper()}"
    return "a call"


def _how(event: AuditEvent) -> str:
    door = _DOORS.get(str(event.detail.get("door", "")), "")
    code = " with a code" if event.detail.get("second_factor") is True else ""
    return f"{' ' if door else ''}{door}{code}"
