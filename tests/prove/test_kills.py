"""The short forms of what scripts/prove injects; each is real processes, so they are few."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.prove import kills  # noqa: F401 - enters its rows
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
