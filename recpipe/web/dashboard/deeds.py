"""The audit log as sentences: what was done, in words, and to which call, user or service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from recpipe.languages import said, written
from recpipe.messages import message
from recpipe.model import AuditEvent, Outcome, Recording

# By action: what somebody did, and what somebody could not do. {} is what it was done to.
DEEDS: Mapping[str, tuple[str, str]] = {
    "login": (message("signed in"), message("sign in")),
    "logout": (message("signed out"), message("sign out")),
    "session.end-others": (message("ended all other sessions"), message("end all other sessions")),
    "password.confirm": (message("confirmed the password"), message("confirm the password")),
    "search": (message("searched"), message("search")),
    "play": (message("played {}"), message("play {}")),
    "download": (message("downloaded {}"), message("download {}")),
    "export": (message("exported {}"), message("export {}")),
    "delete": (message("deleted {}"), message("delete {}")),
    "delete.versions-remain": (
        message("deleted {}, of which the bucket keeps versions"),
        message("delete all versions of {}"),
    ),
    "call.told": (
        message("told what was done to the recording of {}"),
        message("tell what was done to the recording of {}"),
    ),
    "recording.masked": (message("noted which parts of {} are masked"), message("note which parts of {} are masked")),
    "link.create": (message("made a link to {}"), message("make a link to {}")),
    "link.open": (message("opened a link to {}"), message("open a link to {}")),
    "link.revoke": (message("revoked a link to {}"), message("revoke a link to {}")),
    "call.mark": (message("marked {}"), message("mark {}")),
    "share": (message("shared {}"), message("share {}")),
    "annotate": (message("wrote a note of {}"), message("write a note of {}")),
    "upload": (message("uploaded {}"), message("upload {}")),
    "repair": (message("repaired {}"), message("repair {}")),
    "recover": (message("took {} back into the catalogue"), message("take {} back into the catalogue")),
    "recovery-key.reseal": (
        message("sealed anew under the recovery key {}"),
        message("seal anew under the recovery key {}"),
    ),
    "recovery-key.drop": (message("dropped the recovery key {}"), message("drop the recovery key {}")),
    "user.create": (message("made the user {}"), message("make the user {}")),
    "user.invite": (message("invited {}"), message("invite {}")),
    "user.accept": (message("accepted an invitation"), message("accept an invitation")),
    "user.register": (message("registered"), message("register")),
    "user.recover": (
        message("asked for a link to choose a new password"),
        message("get a link to choose a new password"),
    ),
    "user.reset": (message("chose a new password by a link"), message("choose a new password by a link")),
    "user.change": (message("changed the user {}"), message("change the user {}")),
    "user.email": (message("confirmed an e-mail address"), message("confirm an e-mail address")),
    "user.keep-email": (message("kept the e-mail address of {}"), message("keep the e-mail address of {}")),
    "user.password": (message("set a new password of {}"), message("set a new password of {}")),
    "user.end-sessions": (message("ended all sessions of {}"), message("end all sessions of {}")),
    "user.second-factor-on": (message("switched two-factor sign-in on"), message("switch two-factor sign-in on")),
    "user.second-factor-off": (
        message("switched two-factor sign-in of {} off"),
        message("switch two-factor sign-in of {} off"),
    ),
    "user.recovery-codes": (message("made new recovery codes"), message("make new recovery codes")),
    "passkey.add": (message("added a passkey"), message("add a passkey")),
    "passkey.remove": (message("removed a passkey"), message("remove a passkey")),
    "identity.link": (message("linked a sign-in elsewhere"), message("link a sign-in elsewhere")),
    "identity.unlink": (message("unlinked a sign-in elsewhere"), message("unlink a sign-in elsewhere")),
    "identity-provider.set": (message("set up an identity provider"), message("set up an identity provider")),
    "identity-provider.remove": (message("removed an identity provider"), message("remove an identity provider")),
    "user.remove": (message("deleted the user {}"), message("delete the user {}")),
    "token.create": (message("made an API token"), message("make an API token")),
    "token.revoke": (message("ended an API token"), message("end an API token")),
    "ftp-account.create": (message("made the FTP account {}"), message("make the FTP account {}")),
    "ftp-account.change": (message("changed the FTP account {}"), message("change the FTP account {}")),
    "ftp-account.password": (
        message("made a new password of the FTP account {}"),
        message("make a new password of the FTP account {}"),
    ),
    "ftp-account.remove": (message("removed the FTP account {}"), message("remove the FTP account {}")),
    "certificate.add": (message("added a certificate"), message("add a certificate")),
    "certificate.vouch": (message("added a certificate and vouched for it"), message("vouch for a certificate")),
    "certificate.challenge": (
        message("fetched the challenge of a certificate"),
        message("fetch the challenge of a certificate"),
    ),
    "certificate.prove": (message("proved a private key"), message("prove a private key")),
    "certificate.retire": (message("retired a certificate"), message("retire a certificate")),
    "statistics.sent": (message("sent the figures of a month"), message("send the figures of a month")),
    "certificate.reminded": (
        message("was reminded that a certificate expires"),
        message("be reminded that a certificate expires"),
    ),
    "tenant.create": (message("made the service {}"), message("make a service")),
    "tenant.change": (message("changed the service"), message("change the service")),
    "tenant.recording": (message("switched the call recording add-on"), message("switch the call recording add-on")),
    "tenant.encryption": (message("switched encryption"), message("switch encryption")),
    "disclaimer.agree": (message("agreed to the disclaimer"), message("agree to the disclaimer")),
    "change.save": (message("saved a change"), message("save a change")),
    "change.apply": (message("applied a change"), message("apply a change")),
    "change.discard": (message("discarded a change"), message("discard a change")),
    "policy.service": (message("changed what is recorded"), message("change what is recorded")),
    "policy.route": (message("changed what is recorded of routes"), message("change what is recorded of routes")),
    "policy.extension": (
        message("changed what is recorded of extensions"),
        message("change what is recorded of extensions"),
    ),
    "completeness.found": (message("compared calls with recordings"), message("compare calls with recordings")),
    "quarantine.retry": (message("had a file tried again"), message("have a file tried again")),
    "quarantine.take": (
        message("said of which call a file in quarantine is"),
        message("say of which call a file in quarantine is"),
    ),
    "quarantine.download": (message("downloaded a file in quarantine"), message("download a file in quarantine")),
    "quarantine.discard": (message("deleted a file in quarantine"), message("delete a file in quarantine")),
    "quarantine.reason": (message("said why a file in quarantine goes"), message("say why a file in quarantine goes")),
    "completeness.reminded": (
        message("was told of calls that were not recorded as they should be"),
        message("be told of calls that were not recorded as they should be"),
    ),
    "completeness.month": (message("was sent the report of a month"), message("be sent the report of a month")),
    "quarantine.reminded": (
        message("was reminded of files in quarantine"),
        message("be reminded of files in quarantine"),
    ),
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
_DOORS = {"http": message("at the dashboard"), "api": message("at the API"), "ftp": message("over FTP")}
# What the sentence has said, so that the details need not.
_SAID = frozenset({"door", "second_factor", "username", "name", "fingerprint", "kind"})
_SWITCHES = frozenset({"tenant.recording", "tenant.encryption"})
_KINDS = {
    "call-recording": message("the call recording add-on"),
    "encryption": message("encryption"),
    "service-policy": message("what is recorded"),
    "inbound-route": message("what is recorded of routes"),
    "extension": message("what is recorded of extensions"),
}
_TOLD = {
    "not-allowed": message("not allowed"),
    "not-found": message("there is none"),
    "second-factor": message("the code was wrong"),
    "wrong": message("the password or code was wrong"),
    "wrong-password": message("the password was wrong"),
    "missing": message("no password was given"),
    "unknown": message("there is no such account"),
    "unknown-token": message("there is no such token"),
    "expired": message("it is too old"),
    "revoked": message("it was revoked"),
    "used-up": message("it was opened as often as it may be"),
    "maker": message("who made it may not share any more"),
    "passphrase": message("the passphrase was wrong"),
    "deleted": message("the recordings are gone"),
    "links-off": message("links are switched off"),
    "ended": message("the token was ended"),
    "too-many": message("too many tries"),
    "locked-out": message("locked out after too many tries"),
    "inactive": message("the account is switched off"),
    "pending": message("the invitation was not accepted yet"),
    "registered": message("the account waits for approval"),
    "no-password": message("the account has no password yet"),
    "token-only": message("the account is for programs"),
    "second-factor-needed": message("the account has two-factor sign-in"),
    "taken": message("there is such an account already"),
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
    sentence = done if event.outcome is Outcome.OK else message("could not {deed}", deed=could)
    before, _, behind = said(sentence).partition("{}")
    subject = call = ""
    if event.action in _SWITCHES and "new" in detail:
        before += f" {said(message('on') if detail['new'] is True else message('off'))}"
        rest = {name: value for name, value in rest.items() if name not in ("old", "new")}
    if (kind := str(detail.get("kind", ""))) and event.action.startswith("change."):
        behind = f" {said(message('of {what}', what=_KINDS.get(kind, kind)))}"
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
    return said(
        message(
            "the call of {at}, {caller} to {callee}",
            at=written(at, "%-d %b %Y %H:%M"),
            caller=_short(facts.caller),
            callee=_short(facts.callee),
        )
    )


def _short(number: str) -> str:
    """An extension whole, of a number its last digits: the log is read by more people than the calls are."""
    text = number.strip()
    if not text:
        return message("unknown")
    digits = "".join(c for c in text if c.isdecimal())
    return f"…{digits[-4:]}" if len(digits) > 6 else text[:20]


def _unseen(event: AuditEvent) -> str:
    if event.action == "export" and not event.subject:
        return said(message("a search as {format}", format=str(event.detail.get("format", "file")).upper()))
    return said(message("a call"))


def _how(event: AuditEvent) -> str:
    door = said(_DOORS.get(str(event.detail.get("door", "")), ""))
    code = f" {said(message('with a code'))}" if event.detail.get("second_factor") is True else ""
    return f"{' ' if door else ''}{door}{code}"
