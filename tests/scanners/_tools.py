"""The scanners: what each is told, and how what it says is read."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import httpx

from tests.integration.test_api_fuzz import HELD
from tests.integration.test_ftp_testssl import ABOUT_ITSELF
from tests.scanners._instance import Instance

SEVERITIES = ("low", "medium", "high", "critical")
MOST_REQUESTS = 25_000  # of one run
_FAILURES = frozenset({500, 501, 502, 504})  # 503 is an answer of ours, with Retry-After


@dataclass(frozen=True, slots=True)
class Finding:
    """What a scanner says."""

    severity: str
    what: str
    where: str = ""
    judged: str = ""  # why it is false, as was shown by asking

    def __str__(self) -> str:
        return f"{self.severity}: {self.what} {self.where}" + (f" (false: {self.judged})" if self.judged else "")


@dataclass(slots=True)
class Said:
    """One row of the table."""

    scanner: str
    version: str
    at: str
    who: str
    requests: int = 0
    seconds: float = 0.0
    failures: int = 0  # answers of the kind 5xx
    findings: list[Finding] = field(default_factory=list)
    note: str = ""

    def count(self, *severities: str) -> int:
        return sum(1 for one in self.findings if one.severity in severities and not one.judged)

    @property
    def false(self) -> int:
        return sum(1 for one in self.findings if one.judged)

    @property
    def holds(self) -> bool:
        """Whether it was asked at all, and there is nothing at medium or above."""
        return self.requests > 0 and not self.failures and not self.count(*SEVERITIES[1:])


@dataclass(frozen=True, slots=True)
class Scan:
    """One run of a scanner, against an instance of its own."""

    scanner: str
    at: str
    who: str
    run: Callable[[Instance, Said, Path, float], None]


def scan(one: Scan, instance: Instance, tools: Path, seconds: float) -> Said:
    """Run it, and note what the front saw of it."""
    said = Said(one.scanner, _version(one.scanner, tools), one.at, one.who)
    requests, began = instance.front.requests, time.monotonic()
    instance.front.statuses.clear()
    one.run(instance, said, tools, seconds)
    said.seconds = time.monotonic() - began
    said.requests = said.requests or instance.front.requests - requests
    said.failures = sum(n for status, n in instance.front.statuses.items() if status in _FAILURES)
    if not instance.knows(one.who):
        said.note += "what it signed in with ended on the way; "
    return said


def _ran(instance: Instance, said: Said, command: Sequence[str], seconds: float, typed: str = "") -> str:
    """Run to its end, to that of its time, or until it asked enough; what it printed.

    Args:
        typed: the answer to what it asks.
    """
    out, answers = instance.folder / "printed.txt", instance.folder / "typed.txt"
    answers.write_text(typed)
    begun, until = instance.front.requests, time.monotonic() + seconds
    with out.open("wb") as told, answers.open("rb") as keyboard:
        process = subprocess.Popen(
            command,
            stdout=told,
            stderr=subprocess.STDOUT,
            stdin=keyboard,
            cwd=instance.folder,
            env=os.environ | {"HOME": str(instance.folder), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
            start_new_session=True,
        )
        for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            while process.poll() is None and time.monotonic() < until:
                if instance.front.requests - begun > MOST_REQUESTS:
                    break
                time.sleep(0.2)
            if process.poll() is not None:
                break
            if sent is signal.SIGINT:
                said.note += "ended by its limit; "
            os.killpg(process.pid, sent)
            begun, until = instance.front.requests, time.monotonic() + 30
        process.wait()
    return out.read_text(errors="replace")


def _version(scanner: str, tools: Path) -> str:
    command = {
        "sqlmap": [str(tools / "sqlmap"), "--version"],
        "wapiti": [str(tools / "wapiti"), "--version"],
        "schemathesis": [sys.executable, "-m", "schemathesis.cli", "--version"],
        "testssl.sh": ["testssl", "--version"],
    }[scanner]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    found = re.search(r"\d+\.\d+(\.\d+)?", re.sub(r"\x1b\[[0-9;]*m", "", done.stdout))
    return found[0] if found else "?"


# --- sqlmap ---------------------------------------------------------------------------------------------------


# A search that is refused attacks nothing: tests ask for each of these.
_SEARCH = {
    "from": "2025-01-01",
    "to": "2026-01-01",
    "direction": "inbound",
    "route": "in",
    "tag": "new",
    "hour": "9",
    "weekday": "thu",
}
_BY_PROGRAMS = {
    "extension": "201",
    "number": "0207946",
    "number_match": "containing",
    "duration_min": "1",
    "text": "erin",
    "noted": "asked",
    "call_id": "call-one",
    "limit": "50",
}
_BY_PEOPLE = {"service": "acme", "find": "erin 0207946", "match": "containing", "shortest": "1", "size": "50"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where SQL might be injected. `*` marks the place where it is no parameter."""

    path: str
    who: str  # by token
    session: str = ""  # by cookie, in its place
    data: str = ""
    options: tuple[str, ...] = ()


SQL: dict[str, Target] = {
    "search, API": Target("/api/v1/recordings?" + urlencode(_SEARCH | _BY_PROGRAMS), "client"),
    "search, dashboard": Target("/recordings?" + urlencode(_SEARCH | _BY_PEOPLE), "", "client"),
    "calls, statistics": Target("/api/v1/statistics?tenant=acme&from=2025-01-01&to=2025-12-31&limit=5", "client"),
    "path of a recording": Target("/api/v1/recordings/ID*", "client"),
    "audit log": Target(
        "/api/v1/audit?tenant=acme&actor=ann&action=login&outcome=ok&subject=x&limit=5", "administrator"
    ),
    "policy": Target("/api/v1/policy/acme/routes?find=2079&limit=5", "administrator"),
    "change by JSON": Target(
        "/api/v1/calls/ID", "client", data='{"starred":true,"tags":["new"],"note":"asked"}', options=("--method=PATCH",)
    ),
    "sign-in": Target("/sign-in", "", data="username=ann@acme.example&password=guessed-word&next=/", options=()),
    "recovery": Target("/recover", "", data="name=ann@acme.example", options=()),
    "bearer token": Target("/api/v1/me", "", options=("--headers=Authorization: Bearer rp_abc*",)),
    "cookie": Target("/api/v1/me", "", options=("--cookie=recpipe_session=abc*",)),
}
_INJECTABLE = re.compile(r"^Parameter: (.+)$", re.MULTILINE)


def _sqlmap(name: str, backend: str) -> Scan:
    target = SQL[name]
    who = target.session or target.who or "nobody"

    def run(instance: Instance, said: Said, tools: Path, seconds: float) -> None:
        url = instance.url + target.path.replace("ID", instance.recording)
        command = [str(tools / "sqlmap"), "-u", url, "--batch", "--flush-session", "--disable-coloring", "--risk=1"]
        command += ["--technique=BEUSQ", f"--dbms={backend}", "--ignore-code=*", "--timeout=30", "--retries=1"]
        command += [f"--output-dir={instance.folder / 'sqlmap'}", *target.options]
        command += [] if any(one.startswith("--level") for one in target.options) else ["--level=2"]
        command += [f"--data={target.data}"] if target.data else []
        if target.session:
            command += [f"--cookie=recpipe_session={instance.sign_in(target.session)}", "--skip=Cookie"]
        elif target.who:
            command += [f"--headers=Authorization: Bearer {instance.tokens[target.who]}"]
        printed = _ran(instance, said, command, seconds)
        said.findings += [Finding("high", "SQL injection", one) for one in _INJECTABLE.findall(printed)]
        if "all tested parameters do not appear to be injectable" not in printed and not said.findings:
            last = [line for line in printed.splitlines() if "[CRITICAL]" in line or "[ERROR]" in line]
            said.note += "" if "ended by" in said.note else f"did not come to an end: {' '.join(last)[:200]}; "

    return Scan("sqlmap", name, who, run)


# --- wapiti ---------------------------------------------------------------------------------------------------


# All that need no server elsewhere: ssrf, xxe and log4shell ask one of the makers' to be called back.
_MODULES = (
    "backup,cookieflags,crlf,csp,csrf,exec,file,htaccess,http_headers,ldap,methods,permanentxss,redirect,shellshock,sql,"
    "timesql,upload,xss"
)
# What would end the session that it came with.
_NOT_ASKED = ("/sign-out", "/account/sessions/*", "/account/password", "/account/second-factor*", "/users/*")
_BOUNDS = {"depth": 6, "max-links-per-page": 60, "max-files-per-dir": 40, "tasks": 4, "timeout": 20}
_LEVELS = {0: "info", 1: "low", 2: "medium", 3: "high", 4: "critical"}


def _wapiti(who: str) -> Scan:
    def run(instance: Instance, said: Said, tools: Path, seconds: float) -> None:
        report = instance.folder / f"wapiti-{who}.json"
        command = [str(tools / "wapiti"), "-u", f"{instance.url}/", "-m", _MODULES, "-f", "json", "-o", str(report)]
        command += [
            "--flush-session",
            "--store-session",
            str(instance.folder / f"wapiti-{who}"),
            "--no-bugreport",
            "-v",
            "1",
        ]
        # A quarter of the time to look around, the rest in equal parts to attack.
        part = seconds * 0.7 / len(_MODULES.split(","))
        command += [f"--max-scan-time={seconds / 4:.0f}", f"--max-attack-time={max(5, part):.0f}"]
        for option, value in _BOUNDS.items():
            command += [f"--{option}", str(value)]
        if who == "nobody":
            for page in ("sign-in", "register", "recover", "recover/link", "welcome", "sign-in/elsewhere", "api/v1/me"):
                command += ["-s", f"{instance.url}/{page}"]
        else:
            instance.front.cookie = f"recpipe_session={instance.sign_in(who)}"
            command += [word for path in _NOT_ASKED for word in ("-x", instance.url + path)]
        _ran(instance, said, command, seconds, typed="r\n")  # what it asks where it is stopped: report
        instance.front.cookie = ""
        if not report.exists():
            said.note += "wrote no report; "
            return
        told = json.loads(report.read_text())
        said.at = f"{told['infos']['crawled_pages_nbr']} pages and forms"
        said.findings += _wapiti_says(told, instance)

    return Scan("wapiti", "dashboard", who, run)


def _wapiti_says(told: dict[str, dict[str, list[dict[str, object]]]], instance: Instance) -> Iterator[Finding]:
    for kind in ("vulnerabilities", "anomalies"):
        for category, found in told[kind].items():
            for one in found:
                severity = _LEVELS[max(int(str(one["level"])), 2 if kind == "anomalies" else 0)]
                if severity == "info":
                    continue
                method, path = str(one["method"]), str(one["path"])
                where = f"{method} {path} {one.get('parameter') or ''} {str(one.get('info', ''))[:120]}"
                judge = _JUDGES.get(category)
                judged = judge(instance, path) if judge else ""
                yield Finding(severity, category, where, judged)


def _refuses_other_sites(instance: Instance, path: str) -> str:
    """Why a form needs no token: a browser that another site makes send it is refused. "" where it is not."""
    for foreign in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://x.example"}):
        session = {"cookie": f"recpipe_session={next(iter(instance.cookies.values()), '')}"}
        answer = httpx.post(instance.url + path, data={"a": "b"}, headers=foreign | session, trust_env=False)
        if answer.status_code != 403 or "another site" not in answer.text.lower():
            return ""
    return "the same form sent from another site gets 403, told by Fetch Metadata and by Origin"


def _knows_no_ldap(instance: Instance, path: str) -> str:
    """Why nothing is sent to a directory. "" where something might be."""
    parts = [*_ROOT.glob("requirements.lock"), *_ROOT.glob("recpipe/**/*.py"), *_ROOT.glob("keys/**/*.py")]
    speaks = [one for one in parts if "ldap" in one.read_text().lower()]
    return "" if speaks else "recpipe and its lock file have no LDAP; a lock-out (429) answered meanwhile"


_ROOT = Path(__file__).parents[2]
_JUDGES: dict[str, Callable[[Instance, str], str]] = {
    "Cross Site Request Forgery": _refuses_other_sites,
    "LDAP Injection": _knows_no_ldap,
}


# --- schemathesis, testssl.sh ---------------------------------------------------------------------------------


def _schemathesis(who: str) -> Scan:
    def run(instance: Instance, said: Said, tools: Path, seconds: float) -> None:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{instance.url}/api/v1/openapi.json"]
        command += [word for name, value in instance.bearer(who).items() for word in ("-H", f"{name}: {value}")]
        command += ["--checks", ",".join(HELD), "--phases", "examples,coverage,fuzzing", "--max-examples", "15"]
        command += ["--no-shrink", "--continue-on-failure", "--seed", "1", "--warnings", "off", "--no-color"]
        command += ["--suppress-health-check", "all"]
        printed = _ran(instance, said, command, seconds)
        for title in re.findall(r"^- (.+)$", printed, re.MULTILINE):
            said.findings.append(Finding("high" if "Server error" in title else "medium", title))
        if found := re.search(r"Operations:\n +Selected: (\d+/\d+)(?:\n +Tested: (\d+))?", printed):
            said.at = f"API, {found[2] or found[1]} operations"

    return Scan("schemathesis", "API", who, run)


def _testssl(implicit: bool) -> Scan:
    def run(instance: Instance, said: Said, tools: Path, seconds: float) -> None:
        report = instance.folder / f"testssl-{implicit}.json"
        at = [f"127.0.0.1:{instance.ftps_port}"] if implicit else ["-t", "ftp", f"127.0.0.1:{instance.ftp_port}"]
        command = ["testssl", "--quiet", "--warnings", "off", "--color", "0", "--protocols", "--std", "--pfs"]
        command += ["--server-preference", "--vulnerable", "--jsonfile", str(report), *at]
        _ran(instance, said, command, seconds)
        found = json.loads(report.read_text()) if report.exists() else []
        said.requests = len(found)
        for one in found:
            severity = one["severity"].lower()
            if one["id"] in ABOUT_ITSELF or severity not in (*SEVERITIES, "warn", "fatal"):
                continue
            said.findings.append(Finding(severity, one["id"], one["finding"]))

    return Scan("testssl.sh", "FTPS, implicit" if implicit else "FTPS, explicit", "nobody", run)


def scans(backend: str) -> list[Scan]:
    """All of them, in their order."""
    return [
        *(_sqlmap(name, backend) for name in SQL),
        *(_testssl(implicit) for implicit in (False, True)),
        *(_schemathesis(who) for who in ("nobody", "api", "service", "client", "administrator")),
        *(_wapiti(who) for who in ("nobody", "client", "administrator")),
    ]
