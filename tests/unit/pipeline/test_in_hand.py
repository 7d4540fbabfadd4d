"""A worker that does not get on is seen; a large file is given its time."""

from __future__ import annotations

from pathlib import Path

import pytest

from recpipe import metrics
from recpipe.model import Settled
from recpipe.pipeline import in_hand
from recpipe.pipeline.in_hand import InHand
from recpipe.pipeline.stages import Job, ServedSpool
from recpipe.settings import Spool
from recpipe.spool.describe import Describer
from recpipe.spool.folder import SpoolFolder
from recpipe.times import utc_now


def test_a_worker_is_stuck_when_the_size_of_its_file_no_longer_explains_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool, now = Spool(path=tmp_path, name="pbx", tenant="acme"), 1000.0
    monkeypatch.setattr(in_hand.time, "monotonic", lambda: now)
    line = ServedSpool(spool, SpoolFolder(spool), Describer(spool, utc_now))
    held = InHand()
    assert not held and held.trouble() == ""
    with held.taken(Job(line, Settled(tmp_path / "a.wav", "a.wav", 25_000_000, 0, 1))):
        now += 155
        assert held and held.trouble() == ""
        now += 10
        held.look()
        held.look()
        assert "1 worker(s)" in held.trouble() and "in pbx" in held.trouble()
        assert metrics.REGISTRY.get_sample_value("recpipe_ingest_workers_stuck") == 1
    held.look()
    assert metrics.REGISTRY.get_sample_value("recpipe_ingest_workers_stuck") == 0
    assert [record.msg["event"] for record in caplog.records] == ["worker is stuck"]
