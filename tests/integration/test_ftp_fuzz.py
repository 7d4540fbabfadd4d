"""Whatever lines a client sends, the gateway answers or ends the session, without a fault of its own."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.ftp_lines import target
from tests.fuzz.targets import fuzz
from tests.integration.ftp_world import ftp_world


def test_changed_lines_are_answered_or_end_the_session(tmp_path: Path) -> None:
    with ftp_world(tmp_path) as world:
        targets = target(world)
        assert [told for seed in range(25) if (told := fuzz("FTP lines", seed, tmp_path, targets))] == []
