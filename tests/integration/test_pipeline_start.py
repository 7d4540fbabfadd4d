"""What is away when recpipe starts is waited for, and stops nothing else."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from recpipe import metrics
from recpipe.catalogue import Catalogue
from recpipe.cli import serve
from recpipe.cli.roles import RoleName
from recpipe.errors import SpoolLocked, SpoolRefused
from recpipe.model import Node
from recpipe.settings import Settings, Spool
from recpipe.spool.folder import SpoolFolder
from recpipe.spool.mount import SpoolMount, mount_of
from tests.integration.pipeline_rig import Rig, until


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig.make(tmp_path, rescan_seconds=0.1)
    yield made
    made.catalogue.close()


def test_a_spool_is_shown_once_whoever_served_it_before(rig: Rig) -> None:
    before = Node("a-host-that-is-gone:4711", "ingest", "spool", started_at=rig.now, seen_at=rig.now, files_waiting=285)
    with rig.catalogue.begin() as work:
        work.nodes.beat(before)
        work.nodes.beat(replace(before, spool="of-another-machine"))
    for _ in range(2):
        ingest = rig.ingest()
        ingest.start()
        until(lambda: len(nodes(rig)) == 2 and before.name not in {n.name for n in nodes(rig) if n.spool == "spool"})
        ingest.stop()


def nodes(rig: Rig) -> Sequence[Node]:
    with rig.catalogue.read() as work:
        return work.nodes.list()


def other(rig: Rig, path: Path) -> Spool:
    return rig.spool.model_copy(update={"path": path, "name": "other"})


def test_a_spool_that_is_not_there_keeps_no_other_from_being_served(rig: Rig) -> None:
    late = rig.root / "late/spool"
    late.parent.write_bytes(b"a file where the mount point should be")
    ingest = rig.ingest(spools=(other(rig, late), rig.spool))
    ingest.start()
    rig.drop(number=1)
    until(lambda: ingest.counts.stored == 1)
    assert str(late) in ingest.troubles()["spool other"] and ingest.troubles()["spool spool"] == ""
    until(lambda: (is_away("other"), is_away("spool")) == (1, 0))

    # When it comes, it is served without a word from anybody
    late.parent.unlink()
    late.mkdir(parents=True)
    rig.drop(number=2).rename(late / "out-0301234-201-20260901-092502-1790000002.2.wav")
    until(lambda: ingest.counts.stored == 2)
    assert not any(ingest.troubles().values())
    until(lambda: is_away("other") == 0)
    ingest.stop()


def is_away(spool: str) -> float | None:
    return metrics.REGISTRY.get_sample_value("recpipe_spool_away", {"spool": spool})


def test_draining_takes_the_spools_that_are_there_and_says_that_one_is_not(rig: Rig) -> None:
    (rig.root / "late").write_bytes(b"")
    rig.drop()
    ingest = rig.ingest(spools=(other(rig, rig.root / "late/spool"), rig.spool))
    assert not ingest.drain(patience_seconds=5)
    assert ingest.counts.stored == 1


def test_a_spool_of_another_process_is_waited_for_where_there_is_other_work(rig: Rig) -> None:
    owner = SpoolFolder(rig.spool)
    owner.lock()
    with pytest.raises(SpoolLocked):
        rig.ingest().start()
    ingest = rig.ingest()
    ingest.start(patient=True)
    assert "already served by process" in ingest.troubles()["spool spool"]
    rig.drop()
    owner.unlock()
    until(lambda: ingest.counts.stored == 1)
    ingest.stop()


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    point = tmp_path / "mounted"
    point.mkdir()
    yield point
    while subprocess.run(["umount", "-l", str(point)], capture_output=True).returncode == 0:
        pass


def mounted(point: Path, source: Path) -> None:
    source.mkdir(exist_ok=True)
    if subprocess.run(["mount", "--bind", str(source), str(point)], capture_output=True).returncode:
        pytest.skip("needs the right to mount")


def test_nothing_is_made_below_a_mount_point_whose_spool_is_not_mounted(rig: Rig, mount: Path) -> None:
    # Given a spool on a mount, served once
    mounted(mount, rig.root / "share")
    spool = other(rig, mount)
    assert rig.ingest(spools=(spool,)).drain()
    # When recpipe starts before the mount
    subprocess.run(["umount", str(mount)], check=True)
    ingest = rig.ingest(spools=(spool,))
    ingest.start()
    assert "is not mounted" in ingest.troubles()["spool other"] and list(mount.iterdir()) == []
    # Then it is served once it is mounted
    rig.drop().rename(rig.root / "share/out-0301234-201-20260901-092500-1790000000.0.wav")
    mounted(mount, rig.root / "share")
    until(lambda: ingest.counts.stored == 1)
    ingest.stop()


def test_a_mount_that_comes_over_a_spool_is_served_in_its_place(rig: Rig, mount: Path) -> None:
    # Given a spool that was never mounted before, so that nobody can know that it will be
    share = rig.root / "share"
    share.mkdir()
    rig.drop().rename(share / "out-0301234-201-20260901-092500-1790000000.0.wav")
    ingest = rig.ingest(spools=(other(rig, mount),))
    ingest.start()
    until(lambda: (mount / ".recpipe/lock").exists())
    assert SpoolFolder(other(rig, mount)).spool_id
    mounted(mount, share)
    until(lambda: ingest.counts.stored == 1)
    assert not any(ingest.troubles().values())
    ingest.stop()


def test_a_spool_that_was_made_anew_on_its_disk_is_used_and_one_on_another_mount_is_missed(tmp_path: Path) -> None:
    root, notes = tmp_path / "spool", tmp_path / "notes"
    place = SpoolMount(root, root / ".recpipe/id", notes)
    place.check()
    assert place.note() == mount_of(tmp_path)
    place.check()
    (note,) = notes.iterdir()
    note.write_bytes(bytes(root))
    with pytest.raises(SpoolRefused, match=f"not mounted: it lay on {root}"):
        place.check()


def test_serve_waits_for_a_database_that_is_away_and_may_be_stopped_meanwhile(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url="postgresql+psycopg://nobody@127.0.0.1:1/none")  # type: ignore[arg-type]
    running = serve.Running()
    stopping = threading.Timer(0.5, running.stopping.set)
    stopping.start()
    started_at = time.monotonic()
    with pytest.raises(serve._StoppedBefore), serve.started(settings, [RoleName.INGEST], running):
        pass
    assert time.monotonic() - started_at >= 0.4


def test_serve_begins_once_the_store_is_there(tmp_path: Path) -> None:
    (tmp_path / "mount").write_bytes(b"a file where the mount point should be")
    settings = Settings(data_dir=tmp_path / "data", store_url=f"file://{tmp_path}/mount/objects")
    running = serve.Running()

    def mount() -> None:
        (tmp_path / "mount").unlink()
        (tmp_path / "mount").mkdir()

    threading.Timer(0.3, mount).start()
    with serve.started(settings, [RoleName.INGEST], running) as parts:
        assert isinstance(parts.catalogue, Catalogue) and running.ingest is not None
