"""The short forms of what scripts/prove injects; each is real processes, so they are few."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.prove import kills  # noqa: F401 - enters its rows
from tests.prove._processes import Nursery
from tests.prove.table import PROOFS, Run, told
from tests.services.need import tool


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("kill -9: ingest, directory + SQLite", 8),
        pytest.param("kill -9: ingest, directory + SQLite", 40, marks=pytest.mark.long),
        ("kill -9: deletion of a recording", 2),
        ("kill -9: changes applied (View PBX Changes)", 2),
        ("kill -9: a tenant's key replaced", 2),
    ],
)
def test_a_killed_recpipe_loses_doubles_and_leaves_nothing(name: str, times: int, tmp_path: Path) -> None:
    tool("strace")
    row = PROOFS[name].prove(Run(name, times, 1, tmp_path))
    assert row.holds, "\n".join(told([row]))


def test_a_process_has_not_ended_as_an_earlier_one_of_its_number_did(tmp_path: Path) -> None:
    # Given: a kernel that gives the number 7 again and again, once to a process that was killed
    answers = "while read line; do case $line in 7) echo -9;; *) echo 7;; esac; done"
    with subprocess.Popen(["sh", "-c", answers], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        nursery = Nursery(process)
        killed = nursery.fork(["ingest"], {}, tmp_path, tmp_path / "log")
        assert (killed.pid, killed.ended()) == (7, -9)
        again = nursery.fork(["ingest"], {}, tmp_path, tmp_path / "log")
        assert again.pid == 7 and 7 not in nursery._known
        assert process.stdin is not None
        process.stdin.close()
