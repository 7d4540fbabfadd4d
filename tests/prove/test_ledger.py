"""Runs of scripts/prove add up, and what a kill took away is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.prove import __main__ as prove
from tests.prove._ledger import Ledger
from tests.prove.table import PROOFS, Proof, Row, Run

FAULT = "a fault of this test"
CROWD = "a crowd of this test"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Two rows that inject three at a time; what they were asked: (name, times, seed)."""
    asked: list[tuple[str, int, int]] = []

    def inject(run: Run) -> Row:
        asked.append((run.name, run.times, run.seed))
        row = Row(run.name)
        row.came(min(3, run.times) if run.name == FAULT else run.times)
        return row

    monkeypatch.setattr(prove, "collect_logs", lambda: None)
    monkeypatch.setitem(PROOFS, FAULT, Proof(FAULT, 1, 8, inject))
    monkeypatch.setitem(PROOFS, CROWD, Proof(CROWD, 1, 5, inject, at_once=True))
    return asked


def test_a_run_goes_on_with_what_each_row_lacks(
    given: list[tuple[str, int, int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: a run that was ended after one part of the first row, and half of the other's
    path = tmp_path / "ledger"
    assert prove.main(["--only", FAULT, "--times", "3", "--seed", "40", "--into", str(path)]) == 0
    with path.open("a") as out:
        out.write(
            json.dumps({"begins": "0" * 16, "fault": CROWD, "seed": 1, "asked": 5, "began": ""}) + '\n{"ends": "0'
        )
    # When
    both = ["--only", FAULT, "--only", CROWD, "--into", str(path)]
    assert prove.main([*both, "--seed", "40", "--resume"]) == 0
    # Then: no seed is had twice, what belongs to one fault is injected at once, and the part that was cut off is told
    assert given == [(FAULT, 3, 40), (FAULT, 5, 43), (FAULT, 2, 46), (CROWD, 5, 40)]
    told = capsys.readouterr().out.splitlines()
    assert [row.injected for row in Ledger(path).rows([PROOFS[FAULT], PROOFS[CROWD]])] == [8, 5]
    assert any("cut off" in line and CROWD in line for line in told)
    # And: nothing is lacking any more
    assert prove.main([*both, "--resume"]) == 0
    assert len(given) == 4


def test_what_was_found_once_stays_found(
    given: list[tuple[str, int, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(run: Run) -> Row:
        if run.seed == 7:
            raise RuntimeError("the harness gave up")
        row = Row(run.name)
        row.came(run.times)
        return row

    monkeypatch.setitem(PROOFS, FAULT, Proof(FAULT, 1, 8, fails))
    run = ["--only", FAULT, "--into", str(tmp_path / "ledger")]
    assert prove.main([*run, "--seed", "7", "--times", "2"]) == 1
    assert prove.main([*run, "--seed", "8", "--times", "2"]) == 1
    (row,) = Ledger(tmp_path / "ledger").rows([PROOFS[FAULT]])
    assert (row.injected, row.stuck) == (2, 1) and "the harness gave up" in row.seen[0]
    assert prove.main([*run, "--summary"]) == 1


def test_two_halves_of_a_crowd_are_no_crowd(tmp_path: Path) -> None:
    ledger, crowd = Ledger(tmp_path / "ledger"), Proof(CROWD, 1, 5, lambda run: Row(run.name), at_once=True)
    for injected in (2, 3):
        row = Row(CROWD, injected)
        ledger.end(ledger.begin(crowd, 1, 5), row, 1, 5)
    assert [row.injected for row in ledger.rows([crowd])] == [3]


def test_faults_that_are_logged_can_be_seen_by_a_proof() -> None:
    # In a process of its own: pytest has given the logs their form already.
    code = (
        "from tests.prove.__main__ import collect_logs; collect_logs()\n"
        "from recpipe import log; from tests.services.logs import captured\n"
        "with captured() as logs: log.get('ftp.server').error('session failed')\n"
        "assert [one['event'] for one in logs] == ['session failed'], logs"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
