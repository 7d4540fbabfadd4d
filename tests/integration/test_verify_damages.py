"""Every damage is found, nothing else is; what needs no guess is mended, and a look that was cut short goes on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from recpipe.errors import SettingsInvalid
from recpipe.recordings import checkpoint, verify
from recpipe.recordings.verify import Checkpoint
from tests.damage import damaged, found, later


def test_every_damage_is_found_and_nothing_else(tmp_path: Path) -> None:
    with damaged(tmp_path, seed=1, recordings=120, damages=48) as here:
        report = here.look()
        assert found(report) == here.expected
        assert set(here.times.values()) == {3}, "every kind of damage was done"
        outcome = here.repair(report)
        left = Counter((one.kind, one.object_key) for one in outcome.left)
        assert left == here.expected - here.mended
        # What was mended stays so, and the next repair has nothing to do
        again = here.look()
        assert found(again) == left
        assert here.repair(again).mended == []


def test_a_sound_installation_raises_no_alarm(tmp_path: Path) -> None:
    with damaged(tmp_path, seed=2, recordings=20, damages=0) as here:
        assert here.look().problems == []


class Cut(Exception):
    """The process ended."""


@pytest.mark.parametrize("places", [1, 4, 7, 9])
def test_a_look_that_was_cut_short_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: int
) -> None:
    monkeypatch.setattr(verify, "_BATCH", 5)
    looked: list[int] = []

    def cut(kept: Checkpoint) -> None:
        checkpoint.save(tmp_path, kept)
        looked.append(1)
        if len(looked) == places:
            raise Cut

    with damaged(tmp_path, seed=places, recordings=20, damages=12) as here:
        whole = here.look()
        with pytest.raises(Cut):
            here.look(on_checkpoint=cut)
        read: list[int] = []
        kept = checkpoint.load(tmp_path)
        assert kept is not None
        done = kept.report.read
        report = here.look(checkpoint=kept, on_read=read.append)
        assert found(report) == here.expected
        assert (report.recordings, report.objects, report.read) == (whole.recordings, whole.objects, whole.read)
        assert len(read) == whole.read - done < whole.read
        checkpoint.clear(tmp_path)
        assert checkpoint.load(tmp_path) is None


@pytest.mark.parametrize("kept", ["", "{}", '{"version": 0}', '{"version": 1, "report": {}}', "[]"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, kept: str) -> None:
    (tmp_path / checkpoint.FILE).write_text(kept)
    with pytest.raises(SettingsInvalid, match="without --resume"):
        checkpoint.load(tmp_path)


def test_only_what_was_stored_since_is_looked_at(tmp_path: Path) -> None:
    with damaged(tmp_path, seed=3, recordings=6, damages=0) as here:
        old, new = here.recordings[:3], here.recordings[3:]
        since = later()
        for one in new:
            here._set(one, ingested_at=since)
        for one in (old[0], new[0]):
            here._file(one).unlink()
        report = here.look(since=since)
        assert (report.recordings, [one.recording_id for one in report.problems]) == (3, [new[0].id])
        assert verify.total(here.catalogue, since) == 3


def test_a_repair_leaves_alone_what_has_changed_since_the_look(tmp_path: Path) -> None:
    with damaged(tmp_path, seed=4, recordings=4, damages=0) as here:
        here.do_upload_twice()
        [problem] = (report := here.look()).problems
        # Given that the row's own object came to harm after the look
        with here.catalogue.read() as work:
            kept = work.of(here.tenants[0].id).recordings if problem.tenant == "acme" else None
            kept = kept or work.of(here.tenants[1].id).recordings
            own = kept.get(problem.recording_id)
        here._change(own, lambda content: content[:-1])
        assert here.repair(report).mended == []
        assert here._file(own).parent.joinpath(Path(problem.object_key).name).exists()


def test_a_repair_of_a_damaged_recording_draws_no_waveform(tmp_path: Path) -> None:
    with damaged(tmp_path, seed=5, recordings=4, damages=0) as here:
        here.do_lose_waveform()
        report = here.look()
        [wanted] = report.problems
        path = here.folder / "objects" / wanted.object_key
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        [left] = here.repair(report).left
        assert "is not what was stored" in left.message
