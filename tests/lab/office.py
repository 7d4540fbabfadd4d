"""The tenant's side of a run in which the proxy asks recpipe: its key, and its rules, in the dashboard's own forms."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import httpx

from tests.lab.chain import HTTP, Chain, until

NUMBER = "+493055501"  # rings at 201: see kamailio.cfg
EXTENSION = "201"
_PASSWORD = "correct horse battery staple"


def begin(chain: Chain) -> None:
    """Sealing, a first set of rules, and `policy.cfg`, as `recpipe policy export` prints it for the proxy."""
    office = Office(chain)
    office.make_key()
    office.recpipe("tenant", "set", "acme", "--encryption", "on", "--recording", "on", "--disclaimer-agreed")
    office.make_people()
    office.decide(inbound="skip", outbound="record")
    ask = ("--for", "kamailio", "--ask", f"http://{HTTP}", "--token-file", str(office.token_file))
    (chain.folder / "policy.cfg").write_text(office.recpipe("policy", "export", "--tenant", "acme", *ask))


class Office:
    """Whoever looks after the tenant."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.key = chain.folder / "myprivatekey.pem"
        self.token_file = chain.folder / "pbx1.token"

    def recpipe(self, *words: str, said: str | None = None) -> str:
        done = self.chain.run_recpipe(*words, said=said)
        if done.returncode:
            raise RuntimeError(f"recpipe {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def make_key(self) -> None:
        """A key pair, proven as its owner proves it: with what is in the challenge."""
        folder = self.chain.folder
        public, challenge, answer = (folder / name for name in ("mypublickey.pem", "challenge.enc", "challenge.txt"))
        pair = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=acme", "-days", "2"]
        subprocess.run([*pair, "-keyout", self.key, "-out", public], check=True, capture_output=True)
        self.recpipe("certificate", "add", "acme", str(public), "--challenge-out", str(challenge))
        self.open(challenge, answer)
        self.recpipe("certificate", "verify", "acme", "--answer-file", str(answer))

    def make_people(self) -> None:
        self.recpipe("user", "create", "pbx1", "--role", "api", "--grant", "acme:decide")
        made = json.loads(self.recpipe("token", "create", "pbx1", "--scope", "decide", "--json"))
        self.token_file.write_text(made["secret"])
        person = ("user", "create", "bea", "--role", "service", "--grant", "acme:policy", "--password-stdin")
        self.recpipe(*person, said=_PASSWORD)

    def decide(self, *, inbound: str, outbound: str) -> None:
        """Save both rules as somebody does in a browser, apply them, and wait until they are in force."""
        headers = {"sec-fetch-site": "same-origin"}
        at = f"http://{HTTP}"
        with httpx.Client(base_url=at, headers=headers, follow_redirects=True, trust_env=False, timeout=60) as browser:
            _sent(browser, "/sign-in", username="bea", password=_PASSWORD)
            _sent(browser, "/routing/one", service="acme", number=NUMBER, recording=inbound)
            _sent(browser, "/extensions/one", service="acme", extension=EXTENSION, outbound=outbound)
            waiting = re.search(r'name="changes" value="([0-9a-f ]+)"', browser.get("/changes").text)
            if waiting is None:
                raise RuntimeError("the dashboard shows no pending changes")
            applied = _sent(browser, "/changes/apply", service="acme", changes=waiting[1])
            if "Applied." not in applied:
                raise RuntimeError("the changes were not applied")
        self.chain.note(f"applied: {NUMBER} {inbound}, {EXTENSION} outbound {outbound}")
        until("the new rules are in force", lambda: self._told("outbound", extension=EXTENSION) == outbound)
        self.chain.note("in force")

    def open_all(self, recordings: int) -> None:
        """Wait for so many recordings to be stored, take them out and open each."""
        until("the recorder has closed its files, and recpipe has taken them", lambda: not self.chain.left())
        out = self.chain.folder / "opened"
        self.recpipe("recordings", "export", "--tenant", "acme", "--out", str(out))
        found = list(out.rglob("*.wav.enc"))
        if len(found) != recordings:
            raise RuntimeError(f"{len(found)} sealed recordings are stored, not {recordings}")
        for sealed in found:
            self.open(sealed, sealed.with_suffix(""))

    def open(self, sealed: Path, out: Path) -> None:
        """With OpenSSL alone, as docs/tenants.md tells.

        Raises:
            RuntimeError: it cannot be opened so.
        """
        words = ["openssl", "smime", "-decrypt", "-binary", "-in", str(sealed), "-inform", "DER", "-out", str(out)]
        done = subprocess.run([*words, "-inkey", str(self.key)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"OpenSSL does not open {sealed.name}: {done.stderr}")

    def _told(self, direction: str, **of_call: str) -> str:
        headers = {"authorization": f"Bearer {self.token_file.read_text()}"}
        params = {"tenant": "acme", "direction": direction, **of_call}
        answer = httpx.get(
            f"http://{HTTP}/api/v1/policy/decision", params=params, headers=headers, trust_env=False, timeout=10
        )
        return answer.text


def _sent(browser: httpx.Client, path: str, **fields: str) -> str:
    answer = browser.post(path, data=fields)
    if answer.status_code != httpx.codes.OK:
        raise RuntimeError(f"POST {path}: {answer.status_code} {answer.text[:300]}")
    return answer.text
