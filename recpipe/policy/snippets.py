"""What a PBX is configured with: how it asks whether to record, and its rules where it should not ask.

Nothing in these texts was typed by a caller, and nothing by a tenant but numbers and extensions, which are letters,
digits and a few marks (`values.is_subject`): no dialplan, XML or shell can be broken out of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from recpipe.access import tokens
from recpipe.errors import InputInvalid
from recpipe.messages import message
from recpipe.model import CallPolicy, Verdict
from recpipe.policy import values


class Target(StrEnum):
    """A kind of PBX."""

    FREEPBX = "freepbx"  # 17 and later
    FREEPBX16 = "freepbx16"  # 16 and older, which have macros
    ASTERISK = "asterisk"
    FUSIONPBX = "fusionpbx"  # and FreeSWITCH
    KAMAILIO = "kamailio"  # with rtpengine
    KAZOO = "kazoo"
    JSON = "json"


ASKING = (Target.FREEPBX, Target.FREEPBX16, Target.ASTERISK, Target.FUSIONPBX, Target.KAMAILIO)

_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(?:/[A-Za-z0-9._/-]*)?")
_TENANT = re.compile(r"[A-Za-z0-9._-]{1,100}")


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a PBX asks, and as whom.

    Attributes:
        url: where recpipe is reached from the PBX, without a path of ours.
        unanswered: what is done without an answer in time.
    """

    url: str
    tenant: str
    token: str
    unanswered: Verdict

    def __post_init__(self) -> None:
        """Refuse what would break out of a configuration.

        Raises:
            InputInvalid: the URL, the tenant or the token is none.
        """
        if _URL.fullmatch(self.url) is None:
            raise InputInvalid(
                "url", "Give the address at which the PBX reaches recpipe, such as https://rec.example.com"
            )
        if _TENANT.fullmatch(self.tenant) is None:
            raise InputInvalid("tenant", "This is no name of a tenant.")
        if not tokens.well_formed(self.token):
            raise InputInvalid("token", "This is no API token. Make one: recpipe token create USER --scope decide")

    @property
    def decision(self) -> str:
        return f"{self.url.rstrip('/')}/api/v1/policy/decision?tenant={self.tenant}"

    @property
    def with_password(self) -> str:
        """The same address with the token in it, for programs that send no headers of ours."""
        scheme, rest = self.decision.split("://", 1)
        return f"{scheme}://pbx:{self.token}@{rest}"


def asking(target: Target, asked: Asked) -> str:
    """The configuration with which a PBX asks at each call.

    Raises:
        InputInvalid: this kind of PBX cannot ask.
    """
    made = {
        Target.FREEPBX: lambda: _freepbx(asked, end="Return()"),
        Target.FREEPBX16: lambda: _freepbx(asked, end="MacroExit()"),
        Target.ASTERISK: lambda: _asterisk(asked),
        Target.FUSIONPBX: lambda: _fusionpbx(asked),
        Target.KAMAILIO: lambda: _kamailio(asked),
    }
    if target not in made:
        raise InputInvalid(
            "for", message("{target} does not ask at call time. Give it the rules themselves.", target=target.value)
        )
    return made[target]()


def _curl(asked: Asked, comment: str = ";") -> str:
    """Ask from a dialplan of Asterisk. Source: funcs/func_curl.c, funcs/func_strings.c (REGEX)."""
    query = (
        "&direction=${ARG1}&route=${URIENCODE(${ARG2})}&extension=${URIENCODE(${ARG3})}"
        "&call_id=${URIENCODE(${UNIQUEID})}&linked_id=${URIENCODE(${CHANNEL(linkedid)})}"
    )
    return f"""\
{comment} Whether to record, asked of recpipe for {asked.tenant}. Keep this file to yourself: it holds a token.
[recpipe-ask]
{comment} Gosub(recpipe-ask,s,1(direction,number called,extension)): RECPIPE is then record, skip or default.
{comment} Without an answer within a second it is {asked.unanswered.value}; an error page is no answer.
exten => s,1,Set(RECPIPE={asked.unanswered.value})
 same => n,Set(CURLOPT(conntimeout)=0.5)
 same => n,Set(CURLOPT(httptimeout)=1)
 same => n,Set(CURLOPT(userpwd)=pbx:{asked.token})
 same => n,Set(RECPIPE_ANSWER=${{CURL({asked.decision}{query})}})
 same => n,GotoIf($[${{REGEX("^(record|skip|default)$" ${{RECPIPE_ANSWER}})}}]?:done)
 same => n,Set(RECPIPE=${{RECPIPE_ANSWER}})
 same => n(done),Return()
"""


def _called(variable: str) -> str:
    """Take what was dialled without what would end an argument: whoever calls writes it.

    Source: Asterisk, README-SERIOUSLY.bestpractices.md; funcs/func_strings.c (FILTER).
    """
    return rf"Set(RECPIPE_CALLED=${{FILTER(0-9A-Za-z+*#._@\-,${{{variable}}})}})"


def _freepbx(asked: Asked, *, end: str) -> str:
    mode = '${IF($["${RECPIPE}" = "record"]?force:${IF($["${RECPIPE}" = "skip"]?never:dontcare)})}'
    return f"""\
{_curl(asked)}
; For /etc/asterisk/extensions_custom.conf. Inbound: let the trunks' context be from-trunk-recpipe.
[from-trunk-recpipe]
exten => _[0-9A-Za-z+].,1,{_called("EXTEN")}
 same => n,Gosub(recpipe-ask,s,1(inbound,${{RECPIPE_CALLED}},))
 same => n,Gosub(sub-record-check,s,1(in,${{RECPIPE_CALLED}},{mode}))
 same => n,Goto(from-trunk,${{RECPIPE_CALLED}},1)

; Outbound: FreePBX calls this before it dials a trunk.
[macro-dialout-trunk-predial-hook]
exten => s,1,Gosub(recpipe-ask,s,1(outbound,,${{AMPUSER}}))
 same => n,{_called("OUTNUM")}
 same => n,Gosub(sub-record-check,s,1(out,${{RECPIPE_CALLED}},{mode}))
 same => n,{end}
"""


def _asterisk(asked: Asked) -> str:
    return f"""\
{_curl(asked)}
; Gosub(recpipe-record,s,1) where the call is about to be connected, once it was asked.
[recpipe-record]
exten => s,1,GotoIf($["${{RECPIPE}}" = "record"]?record)
 same => n,ExecIf($["${{RECPIPE}}" = "skip"]?StopMixMonitor())
 same => n,Return()
 same => n(record),MixMonitor(${{UNIQUEID}}.wav,b)
 same => n,Return()

; An example: let your trunk's context be recpipe-inbound, and put the name of your own context in place of from-trunk.
[recpipe-inbound]
exten => _[0-9+].,1,{_called("EXTEN")}
 same => n,Gosub(recpipe-ask,s,1(inbound,${{RECPIPE_CALLED}},))
 same => n,Gosub(recpipe-record,s,1)
 same => n,Goto(from-trunk,${{RECPIPE_CALLED}},1)
"""


def _fusionpbx(asked: Asked) -> str:
    """Source: FreeSWITCH mod_curl.c; FusionPBX dialplan 050_user_record.xml."""
    ask = asked.with_password + (
        "&direction=${recpipe_direction}&route=${url_encode(${destination_number})}"
        "&extension=${url_encode(${recpipe_extension})}&call_id=${uuid}&linked_id=${call_uuid}"
    )
    ask = ask.replace("&", "&amp;")
    tenant = re.sub("-(?=-)", "- ", asked.tenant)  # two hyphens end a comment, or the whole document
    return f"""\
<!-- Whether to record, asked of recpipe for {tenant}. Order 45, before user_record. It holds a token.
     Without an answer within a second: {asked.unanswered.value}. An error page is no answer. -->
<extension name="recpipe-ask" continue="true">
  <condition field="${{call_direction}}" expression="^(inbound|outbound)$" break="never">
    <action application="set" data="recpipe_direction=$1" inline="true"/>
    <anti-action application="set" data="recpipe_direction=internal" inline="true"/>
  </condition>
  <condition field="${{call_direction}}" expression="^inbound$" break="never">
    <action application="set" data="recpipe_extension=" inline="true"/>
    <anti-action application="set" data="recpipe_extension=${{sip_from_user}}" inline="true"/>
  </condition>
  <condition>
    <action application="set" data="recpipe={asked.unanswered.value}" inline="true"/>
    <action application="set" data="curl_connect_timeout=1" inline="true"/>
    <action application="set" data="curl_timeout=1" inline="true"/>
    <action application="curl" data="{ask}" inline="true"/>
  </condition>
  <condition field="${{curl_response_data}}" expression="^(record|skip|default)$">
    <action application="set" data="recpipe=$1" inline="true"/>
  </condition>
</extension>
<extension name="recpipe-record" continue="true">
  <condition field="${{recpipe}}" expression="^record$">
    <action application="set" data="record_session=true" inline="true"/>
  </condition>
</extension>
<!-- Order 51, after user_record, which knows no "never": what it has begun is stopped at once, and FreeSWITCH
     deletes what is shorter than RECORD_MIN_SEC (3 seconds by default). -->
<extension name="recpipe-skip" continue="true">
  <condition field="${{recpipe}}" expression="^skip$">
    <action application="stop_record_session" data="all"/>
  </condition>
</extension>
"""


def _kamailio(asked: Asked) -> str:
    """Source: Kamailio 5.6 modules http_client and async."""
    host = urlsplit(asked.url).hostname or ""
    return f"""\
# Whether to record, asked of recpipe ({host}) for {asked.tenant}. It holds a token.
# An answer is 200 and one word; 28 is curl's number for a time-out, 7 for nobody there.
loadmodule "http_client.so"
modparam("http_client", "connection_timeout", 1)
modparam("http_client", "keep_connections", 1)

# Before: $avp(way) is inbound, outbound or internal, $avp(called) the number called, $avp(extension) who of the PBX.
# After: $avp(record) is record, skip or default. Call it from async_task_route(...), so that no SIP worker waits.
# Then: rtpengine_offer("... record-call=on") where it is record.
route[RECPIPE] {{
    $avp(record) = "{asked.unanswered.value}";
    $var(asked) = "{asked.decision}&direction=" + $avp(way) + "&route=" + $(avp(called){{s.escape.param}})
        + "&extension=" + $(avp(extension){{s.escape.param}}) + "&call_id=" + $(ci{{s.escape.param}});
    $var(status) = http_client_query("$var(asked)", "", "Authorization: Bearer {asked.token}", "$var(answer)");
    if ($var(status) == 200 && $var(answer) =~ "^(record|skip|default)$") $avp(record) = $var(answer);
}}
"""


# --- rules for who does not ask -----------------------------------------------------------------------------------


def rules(target: Target, tenant: str, policy: CallPolicy) -> str:
    """The rules themselves, as they were applied last, for a PBX that should not ask; to be fetched now and then."""
    made = {
        Target.FREEPBX: _astdb_of_freepbx,
        Target.FREEPBX16: _astdb_of_freepbx,
        Target.ASTERISK: _astdb,
        Target.FUSIONPBX: _sql,
        Target.KAMAILIO: _htable,
        Target.KAZOO: _kazoo,
        Target.JSON: _json,
    }
    return made[target](tenant, policy)


def _said(policy: CallPolicy, verdict: Verdict) -> Verdict:
    """What a rule comes to: nobody is recorded while the add-on is off."""
    return Verdict.DEFAULT if verdict is Verdict.RECORD and not policy.enabled else verdict


def _by_extension(policy: CallPolicy) -> Iterator[tuple[str, str, Verdict, bool]]:
    for name, one in sorted(policy.extensions.items()):
        for direction in ("outbound", "inbound", "internal"):
            yield name, direction, _said(policy, getattr(one, direction)), one.locked


_OF_FREEPBX = {
    (Verdict.RECORD, True): "force",
    (Verdict.RECORD, False): "yes",
    (Verdict.SKIP, True): "never",
    (Verdict.SKIP, False): "no",
}
_AMPUSER = {"outbound": ("out/external",), "inbound": ("in/external",), "internal": ("out/internal", "in/internal")}


def _astdb_of_freepbx(tenant: str, policy: CallPolicy) -> str:
    """Read at each call, without a reload. Source: FreePBX callrecording module."""
    lines = [f"# Rules of {tenant}, version {policy.version}, for asterisk -rx; numbers are set in FreePBX itself"]
    for name, direction, verdict, locked in _by_extension(policy):
        word = _OF_FREEPBX.get((verdict, locked), "dontcare")
        lines += [f"database put AMPUSER {name}/recording/{key} {word}" for key in _AMPUSER[direction]]
    return "\n".join(lines) + "\n"


def _astdb(tenant: str, policy: CallPolicy) -> str:
    lines = [f"# Rules of {tenant}, version {policy.version}, for asterisk -rx; read by DB(recpipe/...)"]
    lines += [f"database put recpipe {'/'.join(about)} {verdict.value}" for about, verdict in _each(policy)]
    return "\n".join(lines) + "\n"


def _htable(tenant: str, policy: CallPolicy) -> str:
    lines = [f"# Rules of {tenant}, version {policy.version}, for kamcmd; read by $sht(recpipe=>...)"]
    lines += [f"htable.sets recpipe {':'.join((tenant, *about))} {verdict.value}" for about, verdict in _each(policy)]
    return "\n".join(lines) + "\n"


def _each(policy: CallPolicy) -> Iterator[tuple[tuple[str, ...], Verdict]]:
    """What each rule is about, and what it says."""
    yield ("otherwise",), _said(policy, policy.service.otherwise)
    for number, route in sorted(policy.routes.items()):
        yield ("route", number), _said(policy, route.recording)
    for name, direction, verdict, _ in _by_extension(policy):
        yield (direction, name), verdict


def _sql(tenant: str, policy: CallPolicy) -> str:
    """FusionPBX knows one word for an extension, and no "never"."""
    of_domain = "domain_uuid = (SELECT domain_uuid FROM v_domains WHERE domain_name = :'domain')"
    lines = [f"-- Rules of {tenant}, version {policy.version}: psql -v domain=DOMAIN -f FILE"]
    for name, one in sorted(policy.extensions.items()):
        recorded = [
            word
            for word, verdict in (("outbound", one.outbound), ("inbound", one.inbound), ("local", one.internal))
            if _said(policy, verdict) is Verdict.RECORD
        ]
        word = "all" if len(recorded) > 1 else recorded[0] if recorded else ""
        remark = (
            "  -- records more than was asked for: FusionPBX has no pairs of directions" if len(recorded) == 2 else ""
        )
        lines.append(
            f"UPDATE v_extensions SET user_record = '{word}' "  # noqa: S608 - printed, and made of words as above
            f"WHERE extension = '{name}' AND {of_domain};{remark}"
        )
    for number, route in sorted(policy.routes.items()):
        on = "true" if _said(policy, route.recording) is Verdict.RECORD else "false"
        lines.append(
            f"UPDATE v_destinations SET destination_record = '{on}' "  # noqa: S608 - as above
            f"WHERE destination_number = '{number.removeprefix('+')}' AND {of_domain};"
        )
    return "\n".join(lines) + "\n"


def _kazoo(_tenant: str, policy: CallPolicy) -> str:
    """Source: KAZOO, schemas call_recording and call_recording.parameters."""

    def nets(verdict: Verdict, *names: str) -> dict[str, object]:
        if verdict is Verdict.DEFAULT:
            return {}
        return {name: {"enabled": verdict is Verdict.RECORD} for name in names}

    users = {}
    for name, one in sorted(policy.extensions.items()):
        inside = nets(_said(policy, one.internal), "onnet")
        inbound = nets(_said(policy, one.inbound), "offnet") | inside
        outbound = nets(_said(policy, one.outbound), "offnet") | inside
        said = {way: nets_of for way, nets_of in (("inbound", inbound), ("outbound", outbound)) if nets_of}
        users[name] = {"call_recording": said}
    whole = nets(_said(policy, policy.service.otherwise), "any")
    account = {"call_recording": {"account": {"any": whole}} if whole else {}}
    return json.dumps({"account": account, "users": users}, indent=2) + "\n"


def _json(tenant: str, policy: CallPolicy) -> str:
    routes = [
        {"number": number, **values.of_route(route), "recording": _said(policy, route.recording).value}
        for number, route in sorted(policy.routes.items())
    ]
    extensions = []
    for name, one in sorted(policy.extensions.items()):
        said = {way: _said(policy, getattr(one, way)).value for way in ("outbound", "inbound", "internal")}
        extensions.append({"extension": name, **values.of_extension(one), **said})
    whole = {
        "tenant": tenant,
        "policy_version": policy.version,
        "applied_at": policy.applied_at.isoformat() if policy.applied_at else None,
        "add_on": policy.enabled,
        **values.of_service(policy.service),
        "otherwise": _said(policy, policy.service.otherwise).value,
        "routes": routes,
        "extensions": extensions,
    }
    return json.dumps(whole, indent=2) + "\n"
