"""`recpipe` killed at the Nth system call of a kind, and again while it recovers from that; then a normal start.

What must hold after it: no file is lost or doubled, no row is without its object, no object without its row, no
words of a sealed call are outside its spool, and nothing lies where nobody will look at it again.
"""

from __future__ import annotations

import atexit
import contextlib
import ftplib
import io
import json
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache

import httpx

from recpipe.jobs import upkeep
from recpipe.jobs.job import Tick
from recpipe.spool import sent_sidecars
from tests.prove import _served
from tests.prove._processes import HANGS, KILLED, Nursery, Process, calls_of, kill_at, nursery
from tests.prove._world import Backend, Dropped, World, Worlds, rows_of, self_signed, wait_for, wav
from tests.prove.table import Row, Run, proof

FILES = ("rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "link", "linkat")
DISK = ("fsync", "fdatasync", "openat", "write", "pwrite64", "ftruncate", "flock", "close")
NETWORK = ("connect", "sendto", "recvfrom")
SECONDS = 60.0
AT_ONCE = 3


@dataclass(frozen=True, slots=True)
class Story:
    """What is killed, and what somebody does then.

    Attributes:
        command: what is killed.
        prepare: what is there before.
        recover: the command of a normal start; what is killed the second and third time.
        drive: what somebody does to the process until it is to be stopped; None: it ends by itself.
        settle: what is done after it so that everything comes to its end.
        stored: the recordings of `World.fill` are stored already.
        judge: what must hold then.
        calls: the system calls to be killed at.
    """

    command: Callable[[World], list[str]]
    prepare: Callable[[World], None]
    recover: Callable[[World], list[str]]
    judge: Callable[[World, Row, str], None] = World.judge
    drive: Callable[[World, Process], None] | None = None
    settle: Callable[[World], None] = lambda world: None
    calls: tuple[str, ...] = (*FILES, *DISK)
    stored: bool = False


@contextlib.contextmanager
def shared_nursery() -> Iterator[Nursery]:
    """One for all rows of a run: what it imports takes seconds. It ends with this process."""
    yield _nursery()


@cache
def _nursery() -> Nursery:
    return _kept.enter_context(nursery())


_kept = contextlib.ExitStack()
atexit.register(_kept.close)


def kill(run: Run, story: Story, backend: Backend | None = None, row: Row | None = None) -> Row:
    """Kill until it was killed `run.times` times."""
    row = row or Row(run.name)
    with shared_nursery() as forks:
        worlds = Worlds.of(run.folder, forks, backend, stored=story.stored)
        first = _points(worlds, story, story.command)
        again = _points(worlds, story, story.recover)
        turns = iter(range(2 * run.times + 8))
        lock, stop = threading.Lock(), threading.Event()

        def labour() -> None:
            while not stop.is_set():
                with lock:
                    turn = next(turns, None)
                if turn is None or row.injected >= run.times or (row.injected and run.is_over):
                    return
                _one(run, row, worlds, story, first, again, random.Random(f"{run.name} {run.seed} {turn}"))

        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                for done in [pool.submit(labour) for _ in range(AT_ONCE)]:
                    done.result()
            finally:  # Ctrl-C, or one that failed
                stop.set()
    return row


def _points(worlds: Worlds, story: Story, command: Callable[[World], list[str]]) -> dict[str, int]:
    """How often the busiest thread makes each call when nothing goes wrong."""
    with worlds.one() as world:
        return points(world, story, command)


def points(world: World, story: Story, command: Callable[[World], list[str]] | None = None) -> dict[str, int]:
    """How often the busiest thread makes each call in this installation, which is used up by that."""
    story.prepare(world)
    process = world.fork(*(command or story.command)(world))
    return calls_of(process, story.calls, world.folder / "calls", lambda: _through(story, world, process))


def _through(story: Story, world: World, process: Process) -> int:
    """Have it do what it is for, to its end; how it ended."""
    if story.drive is None:
        return process.wait(SECONDS)
    wait_for(lambda: process.ended() is not None or "ingest started" in process.said(), SECONDS)
    story.drive(world, process)
    return process.stop(SECONDS)


def _one(
    run: Run,
    row: Row,
    worlds: Worlds,
    story: Story,
    first: dict[str, int],
    again: dict[str, int],
    dice: random.Random,
) -> None:
    with worlds.one() as world:
        story.prepare(world)
        told = []
        for turn in range(dice.choice((1, 1, 1, 2, 2, 3))):
            points = again if turn else first
            call = dice.choice(sorted(points))
            # A recovery does its own work first: what comes later is the work of any start.
            number = min(dice.randint(1, points[call]) for _ in range(1 + bool(turn)))
            process = world.fork(*(story.recover if turn else story.command)(world))
            kill_at(process, call, number)
            status = _through(story, world, process)
            told.append(f"{call} {number}{'' if status == KILLED else f' (ended by itself: {status})'}")
            if status == KILLED:
                row.came()
                run.step()
            elif status == HANGS:
                row.add(f"seed {run.seed}, {', '.join(told)}: hangs\n{world.log()[-2000:]}", stuck=1)
            for name in world.leaks():
                row.add(f"seed {run.seed}, {', '.join(told)}: words of a sealed call in {name}", leaked=1)
        words = f"seed {run.seed}, killed at {', '.join(told)}"
        process = world.fork(*story.recover(world))
        process.go()
        if (status := _through(story, world, process)) not in (0, 1, 2):
            row.add(f"{words}: the start after it ends with {status}\n{world.log()[-2000:]}", stuck=1)
        story.settle(world)
        found = len(row.seen)
        story.judge(world, row, f"{words}; the start after it ended with {status}")
        if len(row.seen) > found:
            row.tell(f"what its processes said:\n{world.log()[-4000:]}")


# --- ingest -------------------------------------------------------------------------------------------------


def _drain(_world: World) -> list[str]:
    return ["ingest", "--once"]


INGEST = Story(_drain, lambda world: world.fill(2), _drain)


@proof("kill -9: ingest, directory + SQLite", quick=24, long=900)
def ingest_embedded(run: Run) -> Row:
    return kill(run, INGEST)


@proof("kill -9: ingest, S3 + PostgreSQL", quick=8, long=400)
def ingest_served(run: Run) -> Row:
    row = Row(run.name)
    with _served.served(row) as backend:
        return kill(run, replace(INGEST, calls=(*FILES, *NETWORK, "openat", "write")), backend, row)


def _serve_ingest(_world: World) -> list[str]:
    return ["serve", "--role", "ingest"]


def _fill_while_it_runs(world: World, process: Process) -> None:
    """Files come while it runs; those that an earlier run has seen are there already."""
    if not world.dropped:
        world.fill(2)
    wait_for(lambda: process.ended() is not None or world.is_drained())


@proof("kill -9: serve while files come", quick=4, long=160)
def serving(run: Run) -> Row:
    return kill(run, Story(_serve_ingest, lambda world: None, _serve_ingest, drive=_fill_while_it_runs))


@proof("kill -9: serve while files come, S3 + PostgreSQL", quick=0, long=80)
def serving_served(run: Run) -> Row:
    row = Row(run.name)
    with _served.served(row) as backend:
        calls = (*FILES, *NETWORK, "openat", "write")
        story = Story(_serve_ingest, lambda world: None, _serve_ingest, drive=_fill_while_it_runs, calls=calls)
        return kill(run, story, backend, row)


# --- deletion -----------------------------------------------------------------------------------------------

NUMBER = "3012340000"  # of the first recording of `World.fill`


def _to_delete(world: World) -> None:
    with world.parts() as parts:
        (found,) = (one for one in rows_of(parts) if one.source_name == world.dropped[0].relative)
    world.marks |= {"recording": found.id, "object": found.object_key}


def _delete(world: World) -> list[str]:
    return ["recordings", "delete", world.marks["recording"], "--tenant", "plain", "--reason", "erasure 4711", "--yes"]


def _nightly_look(world: World) -> None:
    """What the role `jobs` does at night, an hour from now."""
    with world.parts() as parts:
        in_an_hour = lambda: parts.clock() + timedelta(hours=1)  # noqa: E731
        upkeep.look(parts.catalogue, parts.store, parts.trail, in_an_hour, Tick(in_an_hour(), threading.Event()))


def _judge_deletion(world: World, row: Row, words: str) -> None:
    gone = world.dropped.pop(0)
    with world.parts() as parts:
        if any(one.source_name == gone.relative for one in rows_of(parts)):
            row.add(f"{words}: the deleted recording is still there", stuck=1)
        if any(one.key == world.marks["object"] for one in parts.store.list()):
            row.add(f"{words}: the object of the deleted recording is still there", leaked=1)
    world.judge(row, words)
    for number in (NUMBER, NUMBER[::-1]):
        for name in world.holding(number.encode()):
            row.add(f"{words}: a number of the deleted call is in {name}", leaked=1)


DELETION = Story(_delete, _to_delete, _delete, settle=_nightly_look, judge=_judge_deletion, stored=True)


@proof("kill -9: deletion of a recording", quick=4, long=120)
def deletion(run: Run) -> Row:
    return kill(run, DELETION)


@proof("kill -9: deletion, S3 + PostgreSQL", quick=0, long=60)
def deletion_served(run: Run) -> Row:
    row = Row(run.name)

    def prepare(world: World) -> None:
        world.fill(2, bad=False)
        world.must("ingest", "--once")
        _to_delete(world)

    with _served.served(row) as backend:

        def judge(world: World, row: Row, words: str) -> None:
            _judge_deletion(world, row, words)
            for number in (NUMBER, NUMBER[::-1]):
                for table in backend.holds(world.folder, number):
                    row.add(f"{words}: a number of the deleted call is in {table}", leaked=1)

        story = replace(DELETION, prepare=prepare, judge=judge, stored=False, calls=NETWORK)
        return kill(run, story, backend, row)


# --- changes of settings and keys ---------------------------------------------------------------------------


def _save(world: World) -> None:
    world.must("!tests.prove._acts:save", "sealed")


def _judge_changes(world: World, row: Row, words: str) -> None:
    with world.parts() as parts, parts.catalogue.read() as work:
        tenant = work.tenants.named("sealed")
        changes = work.of(tenant.id).changes
        pending, applied = len(changes.pending()), len(changes.history(None, 50).items)
        if (tenant.recording_enabled, tenant.encryption, pending, applied) != (True, False, 0, 2):
            row.add(f"{words}: {pending} pending, {applied} applied, {tenant}", stuck=1)
        audited = [e.action for e in work.audit.list().items]
        for action in ("tenant.recording", "tenant.encryption"):
            if audited.count(action) != 1 + (action == "tenant.encryption"):  # it was switched on before
                row.add(f"{words}: {audited.count(action)} audit events {action}", doubled=1)
    world.judge(row, words)


@proof("kill -9: changes applied (View PBX Changes)", quick=3, long=80)
def applying(run: Run) -> Row:
    def apply(_world: World) -> list[str]:
        return ["!tests.prove._acts:apply", "sealed"]

    return kill(run, Story(apply, _save, apply, judge=_judge_changes, stored=True))


@proof("kill -9: a tenant's key replaced", quick=3, long=80)
def rotation(run: Run) -> Row:
    pem, key = run.folder / "new.pem", run.folder / "new-key.pem"
    self_signed(key, pem)

    def rotate(_world: World) -> list[str]:
        return ["!tests.prove._acts:rotate", "sealed", str(pem)]

    def judge(world: World, row: Row, words: str) -> None:
        after = world.drop("sealed", "after.wav", sidecar={"caller": "201"})
        world.must("ingest", "--once")
        with world.parts() as parts:
            (stored,) = (one for one in rows_of(parts) if one.source_name == after.relative)
            with parts.store.read(stored.object_key) as stream:
                envelope = stream.read()
        if after.content[44:] not in world.opened(envelope, key):
            row.add(f"{words}: what came after it cannot be opened with the new key", lost=1)
        if after.content[44:] in world.opened(envelope):
            row.add(f"{words}: what came after it can be opened with the retired key", leaked=1)
        world.keys.append(key)
        world.judge(row, words)

    return kill(run, Story(rotate, lambda world: None, rotate, judge=judge, stored=True))


# --- uploads ------------------------------------------------------------------------------------------------


def _uploads(world: World) -> list[Dropped]:
    """What a media server has to send; known as `dropped` from the beginning."""
    if not world.dropped:
        for one in range(3):
            content = wav(b"WORDS-OF-A-PLAIN-CALL-" + secrets.token_hex(8).encode())
            name = f"out-0301234{one:04}-201-20260901-0925{one:02}-{1_790_000_000 + one}.{one}.wav"
            world.dropped.append(Dropped("plain", name, content))
    return [one for one in world.dropped if one.relative not in world.marks]


def _upload(world: World, process: Process, send: Callable[[World, Dropped], None]) -> None:
    """Send everything that was not acknowledged, as long as the process lives; then wait until all is stored."""
    deadline = time.monotonic() + SECONDS
    for one in _uploads(world):
        while process.ended() is None and time.monotonic() < deadline:
            try:
                send(world, one)
                world.marks[one.relative] = "acknowledged"
                break
            except (OSError, EOFError, ftplib.Error, httpx.HTTPError):
                time.sleep(0.05)
    wait_for(lambda: process.ended() is not None or world.is_drained())


def _over_ftp(world: World, one: Dropped) -> None:
    with ftplib.FTP(timeout=10) as client:
        client.connect("127.0.0.1", int(world.marks["port"]))
        client.login("pbx", world.marks["password"])
        client.storbinary(f"STOR {one.relative}", io.BytesIO(one.content))


def _over_http(world: World, one: Dropped) -> None:
    url = f"http://127.0.0.1:{world.marks['port']}/api/v1/uploads/plain/{one.relative}"
    answer = httpx.put(
        url, content=one.content, headers={"Authorization": f"Bearer {world.marks['token']}"}, timeout=10
    )
    if answer.status_code not in (200, 201, 202, 204):
        raise OSError(f"{answer.status_code} {answer.text}")


def _port(world: World, variable: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    world.marks["port"] = str(port)
    world.more[variable] = f"127.0.0.1:{port}"


def _shown(world: World, *command: str) -> dict[str, str]:
    """What a command prints with --json."""
    world.must(*command, "--json")
    text = world.logs[-1].read_text()
    found: dict[str, str] = json.loads(text[text.index("{") :])
    return found


def _ftp_account(world: World) -> None:
    _port(world, "RECPIPE_FTP_LISTEN")
    world.marks["password"] = _shown(world, "ftp-account", "set", "-", "pbx", "--uploader", "plain")["password"]


@proof("kill -9: FTP upload", quick=3, long=120)
def ftp_upload(run: Run) -> Row:
    def serve(_world: World) -> list[str]:
        return ["serve", "--role", "ingest", "--role", "ftp"]

    def drive(world: World, process: Process) -> None:
        _upload(world, process, _over_ftp)

    return kill(run, Story(serve, _ftp_account, serve, drive=drive))


@proof("kill -9: HTTP upload", quick=3, long=120)
def http_upload(run: Run) -> Row:
    def prepare(world: World) -> None:
        _port(world, "RECPIPE_HTTP_LISTEN")
        world.must("user", "create", "pbx", "--role", "api", "--grant", "plain:upload")
        world.marks["token"] = _shown(world, "token", "create", "pbx", "--scope", "upload", "--spool", "plain")[
            "secret"
        ]

    def serve(_world: World) -> list[str]:
        return ["serve", "--role", "ingest", "--role", "web"]

    def drive(world: World, process: Process) -> None:
        _upload(world, process, _over_http)

    return kill(run, Story(serve, prepare, serve, drive=drive))


# --- descriptions without their recording ---------------------------------------------------------------------


def _send_alone(world: World, process: Process) -> None:
    """Send descriptions whose recordings never come, each until it was acknowledged or the process is gone."""
    deadline = time.monotonic() + SECONDS
    for number in range(3):
        one = Dropped("plain", f"alone-{number}.wav.json", json.dumps({"caller": f"+4930111{number}"}).encode())
        while one.relative not in world.marks and process.ended() is None and time.monotonic() < deadline:
            try:
                _over_ftp(world, one)
                world.marks[one.relative] = one.content.decode()
            except (OSError, EOFError, ftplib.Error):
                time.sleep(0.05)


def _judge_alone(world: World, row: Row, words: str) -> None:
    """What was acknowledged is there, whole, and known to be somebody's; a week later nothing of it is left."""
    spool = world.folder / "plain"
    notes = spool / ".recpipe" / "sidecars"
    sent = {name: said for name, said in world.marks.items() if name.startswith("alone-")}
    there = {path.name: path for path in world.files("plain")}
    for name, said in sent.items():
        if name not in there or there[name].read_text() != said:
            row.add(f"{words}: {name} was acknowledged and is {'not whole' if name in there else 'gone'}", lost=1)
    known = {tuple(note.name.split("-")[:2]) for note in notes.iterdir() if not note.name.startswith(".")}
    for name, path in there.items():
        status = path.stat()
        if (str(status.st_size), str(status.st_mtime_ns)) not in known:
            row.add(f"{words}: nobody knows who sent {name}", dangling=1)
    long_ago = time.time() - 2 * sent_sidecars.KEPT_SECONDS
    for note in notes.iterdir():
        os.utime(note, (long_ago, long_ago))
    world.must("ingest", "--once")  # its owner looks at its start
    for note in notes.iterdir():
        row.add(f"{words}: the note {note.name} stays", dangling=1)
    world.judge(row, words)


@proof("kill -9: FTP upload of a description alone", quick=2, long=120)
def lone_sidecar(run: Run) -> Row:
    def serve(_world: World) -> list[str]:
        return ["serve", "--role", "ingest", "--role", "ftp"]

    return kill(run, Story(serve, _ftp_account, serve, drive=_send_alone, judge=_judge_alone))
