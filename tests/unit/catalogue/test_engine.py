from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from recpipe.catalogue import Catalogue, engine
from recpipe.errors import CatalogueError, CatalogueUnavailable, Conflict
from tests.contracts.catalogue_samples import NOW, a_certificate, a_recording, a_tenant, keep, kept_tenant


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recpipe.sqlite3"


@pytest.fixture
def catalogue(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.2)
    catalogue = Catalogue.open(f"sqlite:///{path}")
    yield catalogue
    catalogue.close()


def test_a_database_locked_by_another_process_is_unavailable_and_usable_again(catalogue: Catalogue, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CatalogueUnavailable, match="locked"):
        kept_tenant(catalogue)
    with catalogue.read() as work:  # readers go on
        assert not work.tenants.list()
    other.rollback()
    other.close()
    kept_tenant(catalogue)


def test_a_writer_that_takes_too_long_makes_others_unavailable_not_wrong(catalogue: Catalogue) -> None:
    entered, leave = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with catalogue.begin() as work:
            work.tenants.add(a_tenant(name="slow"))
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=write_slowly)
    thread.start()
    entered.wait(10)
    with pytest.raises(CatalogueUnavailable, match="busy"):
        kept_tenant(catalogue)
    leave.set()
    thread.join()
    with catalogue.read() as work:
        assert [tenant.name for tenant in work.tenants.list()] == ["slow"]


def test_a_write_inside_a_write_of_the_same_thread_is_a_programming_error(catalogue: Catalogue) -> None:
    with catalogue.begin(), pytest.raises(RuntimeError, match="already inside"), catalogue.begin():
        pass
    kept_tenant(catalogue)


def test_a_commit_that_fails_keeps_nothing_and_lets_the_next_writer_in(catalogue: Catalogue) -> None:
    with pytest.raises(Conflict), catalogue.begin() as work:
        work._connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")  # the database looks when it commits
        work.of("f" * 32).certificates.add(a_certificate("f" * 32))
    tenant = kept_tenant(catalogue)
    with catalogue.read() as work:
        assert work.tenants.list() == [tenant]
        assert not work.of("f" * 32).certificates.list()


def test_errors_of_the_driver_itself_are_the_catalogues_too(catalogue: Catalogue) -> None:
    with pytest.raises(CatalogueError, match="no such table") as refused, catalogue.begin() as work:
        work._connection.connection.cursor().execute("DELETE FROM no_table")
    assert isinstance(refused.value.__cause__, sqlite3.Error)
    kept_tenant(catalogue)


def test_a_file_that_is_no_database_is_refused_and_not_touched(path: Path) -> None:
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(CatalogueError):
        Catalogue.open(f"sqlite:///{path}")
    assert path.read_bytes() == b"not a database" * 100


def test_an_error_text_holds_no_values(catalogue: Catalogue) -> None:
    with pytest.raises(CatalogueError) as refused, catalogue.read() as work:
        work.tenants.add(a_tenant(name="+4930901820"))
    assert "4930901820" not in str(refused.value) + str(refused.value.__cause__)


def test_a_file_that_cannot_be_made_says_which(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CatalogueError, match="data_dir"):
        Catalogue.open(f"sqlite:///{tmp_path / 'file' / 'recpipe.sqlite3'}")


def test_nothing_of_a_deleted_call_stays_in_the_file(path: Path) -> None:
    catalogue = Catalogue.open(f"sqlite:///{path}")
    tenant = kept_tenant(catalogue)
    others = [a_recording(tenant, caller=f"0309{number:05}") for number in range(200)]
    secret = a_recording(tenant, caller="0301712345678", facts={"caller_name": "Fortescue"})
    keep(catalogue, *others[:100], secret, *others[100:])
    traces = [b"0301712345678", b"+49301712345678"[1:], b"876543217103", b"Fortescue", b"fortescue"]
    catalogue.close()
    assert all(trace in path.read_bytes() for trace in traces)

    catalogue = Catalogue.open(f"sqlite:///{path}")
    with catalogue.begin() as work:
        work.of(tenant.id).recordings.delete(secret.id, NOW, "erin")
        trigrams = "SELECT count(*) FROM phone_number_trigram WHERE phone_number_trigram MATCH '\"345\"'"
        assert work._connection.exec_driver_sql(trigrams).scalar_one() == 0
    catalogue.close()  # the write-ahead log is gone with the last connection
    assert not [trace for trace in traces if trace in path.read_bytes()]
