"""An rtpengine call from its first .meta file to the stored recordings, with recpipe restarted while it lasts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from recpipe import samples
from recpipe.model import Direction
from tests.integration.pipeline_rig import Rig, until

TAG = "e5b7e6aeaec22d38"
METADATA = "caller_hex:2b34393330313233343536|callee:201|direction:inbound|started_at:1788254717"


def test_a_call_keeps_its_parties_over_a_restart_and_its_open_file_is_left_alone(tmp_path: Path) -> None:
    meta_dir = tmp_path / "meta"
    meta_dir.mkdir()
    rig = Rig.make(tmp_path, layout="rtpengine", meta_dir=meta_dir, quiet_seconds=0)
    audio = samples.paths()["order-inquiry.wav"].read_bytes()
    ingest = rig.ingest()
    ingest.start()
    meta = meta_dir / f"call-{TAG}.meta"
    meta.write_text(f"CALL-ID\n4:\ncall\n\nMETADATA\n{len(METADATA)}:\n{METADATA}\n\n")
    until(lambda: any((rig.spool.path / ".recpipe/calls").glob("*")))
    with (rig.spool.path / f"call-{TAG}-mix.wav").open("wb") as recorder:  # 0 bytes until its buffer is full
        ingest.stop()
        meta.unlink()
        ingest = rig.ingest()
        ingest.start()
        until(lambda: ingest.waiting()["spool"] == 1)
        recorder.write(audio)
        assert rig.recordings() == []
    until(lambda: len(rig.recordings()) == 1)
    with (rig.spool.path / f"call-{TAG}-mix-1.wav").open("wb") as recorder:  # the recorder was restarted
        recorder.write(audio + audio[-800:])
    until(lambda: len(rig.recordings()) == 2)
    ingest.stop()
    assert rig.waiting() == [] and rig.files() == []
    for recording in rig.recordings():
        facts = recording.facts
        assert (facts.caller, facts.callee, facts.extension) == ("+4930123456", "201", "201")
        assert (facts.call_id, facts.linked_id, facts.direction) == ("call", "call", Direction.INBOUND)
        assert recording.started_at == datetime.fromtimestamp(1788254717, UTC)
    rig.catalogue.close()
