"""One run, in namespaces of its own: `python -m tests.lab.run PLAN FOLDER PROCSINK`. Its result: FOLDER/result.json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.lab.calls import PLANS, Call, People, calls_of_proxy, verdicts_of_proxy
from tests.lab.chain import RECORDERS, Chain, until
from tests.lab.office import Office

_RECORDER_CLOSES_SECONDS = 60.0  # 10 s after the hang-up, on a quiet machine


@dataclass(slots=True)
class Result:
    """What a run found. It passed when it has no faults."""

    plan: str
    calls: int = 0
    files: int = 0  # that the recorder wrote
    stored: int = 0
    whole: int = 0  # stored once, with every sample that the recorder wrote
    described: int = 0  # with both parties, the name, the direction, the extension and the start of the call
    waiting: int = 0  # in quarantine, or held
    slowest_ms: int = 0  # from the recorder's last write until it had left the spool
    ruled: list[list[str]] = field(default_factory=list)  # call and rule, told, recordings, sealed
    opened_after_s: float = 0.0  # from the hang-up until OpenSSL had opened the recording
    timed: dict[str, list[float]] = field(default_factory=dict)  # from INVITE to 180: median, p95, worst in ms
    faults: list[str] = field(default_factory=list)


class Truth(threading.Thread):
    """Keeps a link to every file that the recorder makes: what it wrote in the end, whoever took the file away."""

    def __init__(self, spool: Path, folder: Path) -> None:
        super().__init__(daemon=True)
        self._spool = spool
        self._folder = folder
        self._gone_at: dict[Path, float] = {}
        folder.mkdir()

    def run(self) -> None:
        while True:
            there = {link for name in os.listdir(self._spool) if (link := self._kept(name))}  # noqa: PTH208
            for link in set(self.files()) - there:
                self._gone_at.setdefault(link, time.time())
            time.sleep(0.1)

    def files(self) -> list[Path]:
        """What the recorder wrote, under INODE~NAME: a name may come again as another recording."""
        return sorted(self._folder.iterdir())

    def slowest_seconds(self) -> float:
        """The longest that a file lay in the spool after its last write."""
        return max((at - link.stat().st_mtime for link, at in self._gone_at.items()), default=0.0)

    def _kept(self, name: str) -> Path | None:
        if not name.endswith((".wav", ".mp3")):
            return None
        file = self._spool / name
        try:
            link = self._folder / f"{file.stat().st_ino}~{name}"
            if not link.exists():
                link.hardlink_to(file)
        except FileNotFoundError:
            return None
        return link


def run(plan_name: str, folder: Path, sink: Path, recpipe: list[str]) -> Result:
    """Make the calls, and compare what recpipe has with what the recorder wrote."""
    plan, result = PLANS[plan_name], Result(plan_name)
    chain = Chain(folder, sink, recpipe, RECORDERS[plan.recorder])
    chain.begin(plan.prepare)
    truth = Truth(chain.spool, folder / "truth")
    truth.start()
    people = People(chain)
    try:
        plan.happens(people, plan.files)
        chain.note("calls over")
        until("every file has left the spool", lambda: not chain.left(), _RECORDER_CLOSES_SECONDS)
    except TimeoutError as error:
        result.faults.append(str(error))
    result.timed, result.opened_after_s = people.timed, people.opened_after_s
    _judge(result, chain, people.calls, truth)
    chain.end()
    return result


def _judge(result: Result, chain: Chain, calls: list[Call], truth: Truth) -> None:
    written = truth.files()
    found = _json(chain, "recordings", "search", "--tenant", "acme", "--limit", "1000", "--json")["items"]
    waiting = _json(chain, "quarantine", "list", "--json")["items"]
    result.calls, result.files, result.stored, result.waiting = len(calls), len(written), len(found), len(waiting)
    exported = chain.folder / "exported"
    chain.run_recpipe("recordings", "export", "--tenant", "acme", "--out", str(exported))
    for sealed in exported.rglob("*.enc"):
        Office(chain).open(sealed, sealed.with_suffix(""))
    stored = Counter(_samples(path) for path in exported.rglob("*") if path.suffix in (".wav", ".mp3"))
    for file in written:
        if (times := stored[_samples(file)]) == 1:
            result.whole += 1
        else:
            result.faults.append(f"{file.name}: {file.stat().st_size} bytes, stored whole {times} times")
    if result.stored != result.files:
        result.faults.append(f"{result.stored} recordings of {result.files} files")
    result.faults += [f"waits: {one.get('reason')}" for one in waiting]
    _judge_calls(result, chain, calls, found)
    result.slowest_ms = round(1000 * truth.slowest_seconds())
    if (verified := chain.run_recpipe("verify")).returncode:
        result.faults.append(f"recpipe verify: {verified.stdout[-300:]}")


def _judge_calls(result: Result, chain: Chain, calls: list[Call], found: list[dict[str, Any]]) -> None:
    seen = calls_of_proxy(chain)
    if len(seen) != len(calls):
        result.faults.append(f"the proxy saw {len(seen)} calls of {len(calls)}")
    told = verdicts_of_proxy(chain)
    for call, (call_id, began_at) in zip(calls, seen, strict=False):
        of_call = [one for one in found if one["call_id"] == call_id]
        if len(of_call) != call.recordings and not (call.recordings < 0 and of_call):
            result.faults.append(f"{len(of_call)} recordings of a call that has {call.recordings}")
        if call.rule:
            said, sealed = told.get(call_id, "nothing"), sum(bool(one["sealed"]) for one in of_call)
            result.ruled.append([call.rule, said, str(len(of_call)), f"{sealed} of {len(of_call)}"])
            if not call.rule.endswith(f" {said}"):
                result.faults.append(f"{call.rule}, but the proxy was told {said}")
            if sealed != len(of_call):
                result.faults.append(f"{call.rule}: stored, and not sealed")
        for one in of_call:
            wrong = _wrong(one, call, began_at)
            result.described += not wrong
            result.faults += [f"{one['name']}: {text}" for text in wrong]


def _wrong(one: dict[str, Any], call: Call, began_at: int) -> list[str]:
    expected = {
        "caller": call.caller,
        "callee": call.callee,
        "caller_name": call.caller_name,
        "direction": call.direction,
        "extension": call.callee if call.direction == "inbound" else call.caller,
        "linked_id": one["call_id"],
    }
    wrong = [f"{key} is {one[key]!r}, not {right!r}" for key, right in expected.items() if one[key] != right]
    if abs(datetime.fromisoformat(one["started_at"]).timestamp() - began_at) > 1:
        wrong.append(f"started_at is {one['started_at']}, not {began_at}")
    return wrong


def _samples(path: Path) -> str:
    """What a player hears of a file, as a checksum: told by sox, which knows nothing of recpipe."""
    heard = subprocess.run(
        ["bash", "-c", 'set -o pipefail; sox -V1 "$0" -t s16 - | sha256sum', path],
        capture_output=True,
        text=True,
        check=False,
    )
    return heard.stdout if heard.returncode == 0 else f"nothing: {heard.stderr.strip()}"


def _json(chain: Chain, *words: str) -> Any:
    answer = chain.run_recpipe(*words)
    try:
        return json.loads(answer.stdout)
    except ValueError:
        raise RuntimeError(f"recpipe {' '.join(words)}: {answer.stdout}{answer.stderr}") from None


def main(plan: str, folder: Path, sink: Path) -> None:
    try:
        result = run(plan, folder, sink, [str(Path(sys.executable).with_name("recpipe"))])
    except Exception:
        result = Result(plan, faults=[traceback.format_exc()])
    (folder / "result.json").write_text(json.dumps({name: getattr(result, name) for name in Result.__slots__}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
