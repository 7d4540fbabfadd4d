"""Another user of the machine, who may write to a spool and to nothing else, races recpipe on purpose.

The attacker is a process of its own without rights. It swaps what recpipe looks at as fast as it can, so that each
system call of ours is a chance for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recpipe.errors import RecpipeError, SourceChanged
from recpipe.model import Settled
from recpipe.settings import Spool
from recpipe.spool.folder import SpoolFolder
from recpipe.spool.tree import Tree

NOBODY = 65534
TRIES = 200
SECRET = b"a recording of another tenant"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process as another user")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """spool/ is the attacker's, victim/ and data/ are ours and closed to everybody else."""
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_uid == 0 and folder != Path("/tmp"):  # the attacker must get as far as its spool
            folder.chmod(folder.stat().st_mode | 0o011)
    spool = tmp_path / "spool"
    (spool / "s").mkdir(parents=True)
    (spool / "s/NAME.wav").write_bytes(b"a recording of its own")
    for name in ("victim", "data"):
        (tmp_path / name).mkdir(mode=0o700)
    for path in (tmp_path / "victim/NAME.wav", tmp_path / "data/recpipe.sqlite3"):
        path.write_bytes(SECRET)
        path.chmod(0o600)
    for path in (spool, spool / "s", spool / "s/NAME.wav"):
        os.chown(path, NOBODY, NOBODY)
    return tmp_path


@contextmanager
def attacker(world: Path, moves: str) -> Iterator[None]:
    """Repeat `moves` as another user until the context ends."""
    program = (
        f"import os, sys\nos.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); os.chdir(sys.argv[1])\n"
        "spool, victim, data = './spool', sys.argv[1] + '/victim', sys.argv[1] + '/data'\n"
        f"print('ready', flush=True)\nwhile True:\n{textwrap.indent(textwrap.dedent(moves), '    ')}"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(world)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        yield
        assert process.poll() is None, "the attacker gave up"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def settled(tree: Tree, spool: Path, relative: str) -> Settled | None:
    status = tree.status(relative)
    if not isinstance(status, os.stat_result):
        return None
    return Settled(spool / relative, relative, status.st_size, status.st_mtime_ns, status.st_ino)


def test_a_folder_that_becomes_a_link_leads_to_nobody_elses_recording(world: Path) -> None:
    spool = world / "spool"
    served = Spool(path=spool, tenant="acme")
    folder, tree = SpoolFolder(served), Tree(spool, spool / "id", served)
    moves = """
        os.rename(spool + '/s', spool + '/.x'); os.symlink(victim, spool + '/s')
        os.unlink(spool + '/s'); os.rename(spool + '/.x', spool + '/s')
    """
    own = looks = 0
    with attacker(world, moves):
        while looks < TRIES or own < 20:
            looks += 1
            file = settled(tree, spool, "s/NAME.wav")
            if file is None:
                continue
            assert file.size_bytes != len(SECRET), "the status of the victim's file"
            try:
                with folder.opened(file) as source:
                    assert source.read_bytes() != SECRET
                own += 1
            except SourceChanged:
                pass


def test_a_fifo_under_a_settled_name_stops_nobody(world: Path) -> None:
    spool = world / "spool"
    served = Spool(path=spool, tenant="acme")
    folder, tree = SpoolFolder(served), Tree(spool, spool / "id", served)
    moves = """
        os.rename(spool + '/s/NAME.wav', spool + '/.x'); os.mkfifo(spool + '/s/NAME.wav')
        os.unlink(spool + '/s/NAME.wav'); os.rename(spool + '/.x', spool + '/s/NAME.wav')
    """
    began, looks, own = time.monotonic(), 0, 0
    with attacker(world, moves):
        while looks < TRIES or own < 20:
            looks += 1
            file = settled(tree, spool, "s/NAME.wav")
            if file is None:
                continue
            try:
                with folder.opened(file) as source:
                    own += bool(source.read_bytes())
            except SourceChanged:
                pass
    assert time.monotonic() - began < 60  # a FIFO is waited for without an end


@pytest.mark.parametrize("ours", ["scratch", "removing", "incoming", "quarantine", "aside"])
def test_a_control_folder_of_somebody_else_is_not_ours(ours: str, world: Path) -> None:
    spool, data = world / "spool", world / "data"
    os.utime(data / "recpipe.sqlite3", (0, 0))  # old enough to be tidied away
    plant = f"""
        import os
        os.setgid({NOBODY}); os.setuid({NOBODY}); os.umask(0)
        control = {str(spool / ".recpipe")!r}
        os.mkdir(control, 0o777)
        for name in {{"scratch", "removing", "incoming", "quarantine", "aside"}} - {{{ours!r}}}:
            os.mkdir(control + "/" + name, 0o777)
        os.symlink({str(data)!r}, control + "/" + {ours!r})
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(plant)], check=True)
    with pytest.raises(RecpipeError, match="belongs to"):
        SpoolFolder(Spool(path=spool, tenant="acme")).lock()
    assert (data / "recpipe.sqlite3").read_bytes() == SECRET
    assert [path.name for path in data.iterdir()] == ["recpipe.sqlite3"]


def test_a_control_folder_that_is_swapped_while_we_start_leads_nowhere_else(world: Path) -> None:
    spool, data = world / "spool", world / "data"
    os.utime(data / "recpipe.sqlite3", (0, 0))
    control = Spool(path=spool, tenant="acme")
    first = SpoolFolder(control)
    first.lock()
    first.unlock()
    moves = """
        def quietly(do, *paths):
            try:
                do(*paths)
            except OSError:
                pass
        names = ('scratch', 'removing', 'incoming', 'quarantine', 'aside')
        old, planted = spool + '/.old' + os.urandom(4).hex(), spool + '/.planted' + os.urandom(4).hex()
        quietly(os.rename, spool + '/.recpipe', old)
        quietly(os.mkdir, planted)
        for name in names:
            quietly(os.symlink, data, planted + '/' + name)
        quietly(os.rename, planted, spool + '/.recpipe')
        quietly(os.rename, spool + '/.recpipe', planted)
        quietly(os.rename, old, spool + '/.recpipe')
    """
    locked = tries = 0
    with attacker(world, moves):
        while tries < TRIES or not locked:
            tries += 1
            folder = SpoolFolder(control)
            try:
                folder.lock()
                locked += 1
                folder.scratch()
            except (RecpipeError, OSError):
                pass
            finally:
                folder.unlock()
            assert [path.name for path in data.iterdir()] == ["recpipe.sqlite3"]
    assert (data / "recpipe.sqlite3").read_bytes() == SECRET
    assert locked
