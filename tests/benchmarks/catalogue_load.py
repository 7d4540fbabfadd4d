"""Fills a catalogue with made-up calls, fast, for benchmarks; and, run by itself, times adding and searching.

python -m tests.benchmarks.catalogue_load [--rows 200000] [--postgresql] [--folder /dev/shm]
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert, text

from recpipe.catalogue import Catalogue
from recpipe.catalogue.adding import link_numbers, write_extensions, write_texts
from recpipe.catalogue.engine import transaction
from recpipe.catalogue.figure_counts import count_added, linked_calls
from recpipe.catalogue.repository import new_id
from recpipe.catalogue.rows import values_of
from recpipe.catalogue.tables import day_total, recording
from recpipe.catalogue.tally import Tally
from recpipe.model import (
    AudioFacts,
    CallFacts,
    Container,
    Direction,
    Envelope,
    NumberMatch,
    Recording,
    RecordingKind,
    RecordingQuery,
    StoreFormat,
    Tenant,
)

LATEST = datetime(2026, 3, 14, 18, 0, tzinfo=UTC)
_CHUNK = 2000
AUDIO = AudioFacts(Container.WAV, "pcm_s16le", 8000, 1, 60_000, 480_000, 44, 960_000)


def calls(tenant_ids: Sequence[str], rows: int, seed: int) -> Iterator[Recording]:
    """Calls of a year, newest first: a tenth as many numbers as calls, a few of them busy, sixty extensions."""
    random_ = random.Random(seed)
    step = timedelta(days=365) / max(rows, 1)
    for number in range(rows):
        tenant_id = tenant_ids[number % len(tenant_ids)]
        digest = hashlib.sha256(f"{seed}-{number}".encode()).hexdigest()
        started_at = LATEST - step * number
        national = f"30{int(random_.paretovariate(0.3) * 7919) % max(rows // 10, 1000):08}"
        extension = str(200 + random_.randrange(60))
        inbound = random_.random() < 0.5
        caller, callee = ("0" + national, extension) if inbound else (extension, "0" + national)
        sealed = random_.random() < 0.5
        yield Recording(
            id=digest[:32],
            tenant_id=tenant_id,
            name=f"call-{number:08}-{extension}.mp3{'.enc' if sealed else ''}",
            day=started_at.date().isoformat(),
            started_at=started_at,
            timezone="Europe/Berlin",
            duration_ms=random_.randrange(600_000),
            facts=CallFacts(
                started_at=started_at,
                timezone="Europe/Berlin",
                direction=Direction.INBOUND if inbound else Direction.OUTBOUND,
                caller=caller,
                callee=callee,
                caller_name=f"Caller {random_.randrange(5000)}",
                extension=extension,
                # Few of them: indexes for what is no call are worth their while for that alone.
                kind=RecordingKind.CALL if number % 100 else RecordingKind.VOICEMAIL,
                call_id=f"{1_700_000_000 + number}.{number}",
            ),
            audio=AUDIO,
            caller_e164="+49" + national if inbound else "",
            callee_e164="" if inbound else "+49" + national,
            source_name=f"2026/call-{number}.wav",
            source_sha256=digest,
            content_bytes=600_000,
            content_sha256=digest,
            object_key=f"{tenant_id}/{digest[:2]}/{digest[:32]}-1",
            stored_bytes=600_528,
            stored_sha256=digest,
            envelope=Envelope(500, 600_016, bytes.fromhex(digest[:32]), (digest,)) if sealed else None,
            spool="berlin",
            ingested_at=started_at + timedelta(minutes=1),
        )


def load(catalogue: Catalogue, tenant_ids: Sequence[str], rows: int, seed: int) -> None:
    """Fill an empty catalogue with `calls`, without the checks of `add_many`, and let the planner look at them."""
    totals: dict[tuple[str, str], list[int]] = {}
    made = calls(tenant_ids, rows, seed)
    while chunk := [given for _, given in zip(range(_CHUNK), made, strict=False)]:
        with transaction(catalogue._engine, None, reads=False) as connection:
            connection.execute(insert(recording), [values_of(given) for given in chunk])
            for tenant_id in tenant_ids:
                mine = [given for given in chunk if given.tenant_id == tenant_id]
                link_numbers(connection, tenant_id, mine)
                write_texts(connection, tenant_id, mine)
                write_extensions(connection, tenant_id, mine)
                count_added(connection, tenant_id, mine, linked_calls(mine), Tally())
        for given in chunk:
            total = totals.setdefault((given.tenant_id, given.day), [0, 0, 0])
            total[0] += 1
            total[1] += given.stored_bytes
            total[2] += given.duration_ms
    with transaction(catalogue._engine, None, reads=False) as connection:
        connection.execute(
            insert(day_total),
            [
                {"tenant_id": tenant_id, "day": day, "recordings": n, "stored_bytes": size, "duration_ms": length}
                for (tenant_id, day), (n, size, length) in totals.items()
            ],
        )
        connection.execute(text("ANALYZE"))


def a_tenant(name: str) -> Tenant:
    return Tenant(new_id(), name, name, "Europe/Berlin", "DE", False, StoreFormat.SOURCE, LATEST)


@contextlib.contextmanager
def _url(postgresql: bool, folder: str | None) -> Iterator[str]:
    if postgresql:
        from tests.services.postgres import running

        with running(durable=True) as server:
            yield server.url(server.create())
    else:
        with tempfile.TemporaryDirectory(dir=folder) as made:
            yield f"sqlite:///{Path(made) / 'recpipe.sqlite3'}"


def _time_adding(catalogue: Catalogue, tenant: Tenant, size: int, batches: int, seed: int) -> None:
    made = [replace(given, id=new_id()) for given in calls([tenant.id], size * batches, seed)]
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(made), size):
        with catalogue.begin() as work:
            assert all(added.new for added in work.add_recordings(made[start : start + size]))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"  add_many, batches of {size:3}: {len(made) / took:7.0f} rows/s, {cpu / len(made) * 1e6:6.0f} us CPU a row")


def _time_searching(catalogue: Catalogue, tenant_ids: Sequence[str], rounds: int) -> None:
    searches = {
        "latest page": RecordingQuery(),
        "one extension": RecordingQuery(extension="203"),
        "exact number": RecordingQuery(number="030 00000042"),
        "busy number": RecordingQuery(number="203"),
        "last 4 digits": RecordingQuery(number="0042", number_match=NumberMatch.ENDING),
        "5 digits inside": RecordingQuery(number="30000", number_match=NumberMatch.CONTAINING),
        "6 digits inside": RecordingQuery(number="300004", number_match=NumberMatch.CONTAINING),
    }
    for name, query in searches.items():
        for count in (1, len(tenant_ids)):
            times, answer = [], ""
            for _ in range(rounds):
                began = time.perf_counter()
                try:
                    with catalogue.read() as work:
                        answer = f"{len(work.search(tenant_ids[:count], query).items)} rows"
                except Exception as error:
                    answer = type(error).__name__
                times.append(time.perf_counter() - began)
            p50, p99 = statistics.median(times) * 1000, sorted(times)[int(rounds * 0.99)] * 1000
            print(f"  {name:16} {count:2} tenants: p50 {p50:6.2f} ms, p99 {p99:6.2f} ms ({answer})")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=200_000)
    arguments.add_argument("--postgresql", action="store_true")
    arguments.add_argument("--folder", help="where the SQLite file is made")
    arguments.add_argument("--rounds", type=int, default=50)
    given = arguments.parse_args()
    with _url(given.postgresql, given.folder) as url:
        catalogue = Catalogue.open(url)
        tenants = [a_tenant(f"tenant-{number}") for number in range(5)]
        extra = a_tenant("adding")
        with catalogue.begin() as work:
            for tenant in (*tenants, extra):
                work.tenants.add(tenant)
        began = time.perf_counter()
        load(catalogue, [tenant.id for tenant in tenants], given.rows, seed=1)
        print(f"{url.split(':')[0]}: {given.rows:,} rows loaded in {time.perf_counter() - began:.1f} s")
        _time_searching(catalogue, [tenant.id for tenant in tenants], given.rounds)
        for size, batches in ((1, 200), (32, 60)):
            _time_adding(catalogue, extra, size, batches, seed=size)
        catalogue.close()


if __name__ == "__main__":
    main()
