"""What PBXs are configured with: judged by linters of Asterisk and FreeSWITCH, and by what does as CURL() does."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import httpx
import pytest

from recpipe.access.tokens import new_token
from recpipe.errors import InputInvalid
from recpipe.model import CallPolicy, Extension, InboundRoute, ServicePolicy, Verdict
from recpipe.policy.snippets import ASKING, Asked, Target, asking, rules
from tests.integration.test_api_decision import NUMBER, made_in

RECORD, SKIP, DEFAULT = Verdict
ASKED = Asked("https://rec.example.com", "acme", new_token(), SKIP)
POLICY = CallPolicy(
    "a" * 32,
    7,
    None,
    ServicePolicy(SKIP, RECORD, 15),
    {NUMBER: InboundRoute(NUMBER, "Sales'; --", "", RECORD, True)},
    {
        "201": Extension("201", "Ann", "Berlin", RECORD, SKIP, DEFAULT, locked=True),
        "202": Extension("202", "Ben", "Berlin", RECORD, RECORD, DEFAULT),
    },
)
# What belongs to the PBX itself.
AROUND = """[general]
[globals]
[from-trunk]
exten => _[0-9A-Za-z+].,1,NoOp()
[sub-record-check]
exten => s,1,Return()
"""


def tool(name: str, *arguments: str | Path) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name(name), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("target", [Target.FREEPBX, Target.FREEPBX16, Target.ASTERISK])
def test_asterisklint_finds_nothing_in_a_dialplan(tmp_path: Path, target: Target) -> None:
    dialplan = tmp_path / "extensions.conf"
    dialplan.write_text(AROUND + asking(target, ASKED))
    assert tool("asterisklint", "dialplan-check", dialplan) == ""
    last = {Target.FREEPBX: "Return()", Target.FREEPBX16: "MacroExit()"}.get(target)
    assert last is None or asking(target, ASKED).rstrip().endswith(f"same => n,{last}")


@pytest.mark.parametrize("tenant", ["acme", "acme--berlin-"])  # in a comment, two hyphens are an error of XML
def test_frslint_finds_nothing_in_the_xml(tmp_path: Path, tenant: str) -> None:
    text = asking(Target.FUSIONPBX, replace(ASKED, tenant=tenant))
    path, context = tmp_path / "freeswitch.xml", f'<context name="public">{text}</context>'
    path.write_text(f'<document type="freeswitch/xml"><section name="dialplan">{context}</section></document>')
    assert "No issues found" in tool("frslint", "analyze", path)
    ElementTree.parse(path)


@pytest.mark.parametrize("target", ASKING)
def test_every_configuration_waits_a_second_at_most_compares_whole_words_and_knows_what_to_do_without_an_answer(
    target: Target,
) -> None:
    text = asking(target, ASKED)
    assert "^(record|skip|default)$" in text and ASKED.token in text and "tenant=acme" in text
    limits = {
        Target.FUSIONPBX: ("curl_connect_timeout=1", "curl_timeout=1"),
        Target.KAMAILIO: ('"connection_timeout", 1)',),
    }.get(target, ("CURLOPT(conntimeout)=0.5", "CURLOPT(httptimeout)=1"))
    assert all(limit in text for limit in limits)
    for verdict in Verdict:
        other = asking(target, replace(ASKED, unanswered=verdict))
        assert re.search(rf'(RECPIPE|recpipe)={verdict.value}|= "{verdict.value}";', other)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "https://x/;exten"},
        {"url": "ftp://x"},
        {"url": "https://x y"},
        {"url": 'https://x"'},
        {"url": "https://user:password@x"},
        {"tenant": "a)b"},
        {"token": "rp_guess"},
        {"token": ASKED.token + "\n"},
    ],
)
def test_nothing_breaks_out_of_a_configuration(wrong: dict[str, str]) -> None:
    with pytest.raises(InputInvalid):
        replace(ASKED, **wrong)


@pytest.mark.parametrize("target", [Target.FREEPBX, Target.FREEPBX16, Target.ASTERISK])
def test_what_a_caller_dials_adds_no_argument_to_what_a_dialplan_runs(target: Target) -> None:
    text = asking(target, ASKED)
    dialled = re.findall(r"[^\n]*\$\{(?:EXTEN|OUTNUM)\}[^\n]*", text)
    filtered = re.compile(r".*Set\(RECPIPE_CALLED=\$\{FILTER\(([^,()]+),\$\{(?:EXTEN|OUTNUM)\}\)\}\)")
    assert dialled and all(filtered.fullmatch(line) for line in dialled)
    assert text.count("${RECPIPE_CALLED}") >= len(dialled)


@pytest.mark.parametrize("target", [Target.FREEPBX, Target.FREEPBX16, Target.ASTERISK])
def test_what_answers_names_no_application_that_a_dialplan_runs(target: Target) -> None:
    """`x):System(...` within ExecIf(...?...) would be its other branch. Source: Asterisk apps/app_exec.c."""
    text = asking(target, ASKED)
    used = [line for line in text.splitlines() if "${RECPIPE_ANSWER}" in line]
    (looked, taken) = used
    assert re.fullmatch(r' same => n,GotoIf\(\$\[\$\{REGEX\("[^"]+" \$\{RECPIPE_ANSWER\}\)\}\]\?:done\)', looked)
    assert taken == " same => n,Set(RECPIPE=${RECPIPE_ANSWER})"


# --- as Asterisk would ----------------------------------------------------------------------------------------------


def as_asterisk(dialplan: str, direction: str, route: str, extension: str) -> str:
    """What RECPIPE is after `Gosub(recpipe-ask,s,1(...))`: CURL() gives the body of whatever came, and nothing when it
    failed; without time-outs set it waits for 180 seconds. Source: Asterisk funcs/func_curl.c.
    """
    said = re.search(r"Set\(RECPIPE=(\w+)\)", dialplan)
    options = dict(re.findall(r"Set\(CURLOPT\((\w+)\)=([^)]*)\)", dialplan))
    url = re.search(r"\$\{CURL\((.*)\)\}\)$", dialplan, re.MULTILINE)
    test = re.search(r'REGEX\("([^"]*)" ', dialplan)
    assert said and url and test
    values = {"URIENCODE(${ARG2})": quote(route), "URIENCODE(${ARG3})": quote(extension), "ARG1": direction}
    values |= {"URIENCODE(${UNIQUEID})": "1.2", "URIENCODE(${CHANNEL(linkedid)})": "1.1"}
    filled = url[1]
    for name, value in values.items():
        filled = filled.replace(f"${{{name}}}", value)
    assert "$" not in filled
    user, _, password = options.get("userpwd", "").partition(":")
    timeout = httpx.Timeout(float(options.get("httptimeout", 180)), connect=float(options.get("conntimeout", 180)))
    try:
        body = httpx.get(filled, auth=(user, password), timeout=timeout, trust_env=False).text
    except httpx.HTTPError:
        body = ""
    return body if re.search(test[1], body) else said[1]


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that says this to everybody and then nothing more; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            held = []
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    for one in held:
                        one.close()
                    return
                held.append(connection)
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def page(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize("unanswered", [RECORD, SKIP])
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        page("500 Internal Server Error", "<h1>do not record</h1>"),
        page("200 OK", "<title>Sign in to record</title>"),
        page("200 OK", "record\nskip"),
        page("200 OK", "record skip"),
        page("502 Bad Gateway", '{"decision": "record"}'),
        page("200 OK", ""),
    ],
)
def test_what_is_no_answer_is_none_and_costs_a_call_a_second_at_most(answer: bytes, unanswered: Verdict) -> None:
    with answering(answer) as url:
        dialplan = asking(Target.ASTERISK, replace(ASKED, url=url, unanswered=unanswered))
        began = time.monotonic()
        assert as_asterisk(dialplan, "inbound", NUMBER, "") == unanswered.value
        assert time.monotonic() - began < 5


def test_asterisk_is_told_by_recpipe_itself(tmp_path: Path) -> None:
    with made_in(tmp_path) as there:
        right = Asked(there.url, "acme", there.tokens["pbx1"], DEFAULT)
        dialplan = asking(Target.FREEPBX, right)
        assert as_asterisk(dialplan, "inbound", NUMBER, "") == "record"
        assert as_asterisk(dialplan, "internal", "", "201") == "skip"
        wrong = asking(Target.FREEPBX, replace(right, token=new_token(), unanswered=SKIP))
        assert as_asterisk(wrong, "inbound", NUMBER, "") == "skip"


# --- rules for who does not ask -----------------------------------------------------------------------------------


def test_rules_are_given_in_the_words_of_each_pbx() -> None:
    given = {target: rules(target, "acme", POLICY) for target in Target}
    assert "database put AMPUSER 201/recording/out/external force" in given[Target.FREEPBX]
    assert "database put AMPUSER 201/recording/in/external never" in given[Target.FREEPBX]
    assert "database put AMPUSER 202/recording/in/external yes" in given[Target.FREEPBX]
    assert f"database put recpipe route/{NUMBER} record" in given[Target.ASTERISK]
    assert "htable.sets recpipe acme:inbound:201 skip" in given[Target.KAMAILIO]
    assert "user_record = 'all' WHERE extension = '202'" in given[Target.FUSIONPBX]
    assert "records more than was asked for" in given[Target.FUSIONPBX]
    users = json.loads(given[Target.KAZOO])["users"]
    assert users["201"]["call_recording"]["inbound"] == {"offnet": {"enabled": False}}
    whole = json.loads(given[Target.JSON])
    assert (whole["policy_version"], whole["otherwise"], whole["unanswered"]) == (7, "skip", "record")
    assert whole["routes"][0]["recording"] == "record" and whole["extensions"][0]["locked"] is True
    for target in (Target.FREEPBX, Target.ASTERISK, Target.KAMAILIO, Target.FUSIONPBX):
        assert "Sales" not in given[target]


@pytest.mark.parametrize("target", Target)
def test_nobody_is_recorded_by_rules_while_the_add_on_is_off(target: Target) -> None:
    text = rules(target, "acme", replace(POLICY, enabled=False))
    assert not re.search(r"\b(force|yes|all|outbound')$|record'?$|\"(record|enabled)\": true", text, re.MULTILINE)
    if target is Target.JSON:
        assert {one["outbound"] for one in json.loads(text)["extensions"]} == {"default"}
