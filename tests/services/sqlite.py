"""New catalogues on SQLite by copying an empty one: the migrations take fifty times as long."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import URL, Engine

from recpipe.catalogue import Catalogue
from recpipe.catalogue import engine as catalogue_engine


def new_catalogue(path: Path) -> str:
    """Put a catalogue of the current schema, with nothing in it, where `path` says; returns its URL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_template(), path)
    return f"sqlite:///{path}"


@functools.cache
def _template() -> Path:
    folder = tempfile.mkdtemp(prefix="recpipe-catalogue-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    Catalogue.open(f"sqlite:///{folder}/template.sqlite3").close()
    return Path(folder) / "template.sqlite3"


@pytest.fixture(scope="session", autouse=True)
def _compiled_once() -> Iterator[None]:
    with statements_compiled_once():
        yield


@contextmanager
def statements_compiled_once() -> Iterator[None]:
    """All engines of a database have one dialect and one cache of statements, as the one engine of a process has: what
    SQLAlchemy learns of a statement is kept by dialect and engine, and each test has an engine of its own.
    """
    shared: dict[str, Engine] = {}

    def create(url: URL, **options: Any) -> Engine:
        engine = sqlalchemy.create_engine(url, **options)
        first = shared.get(url.drivername)
        if first is None or first.dialect.server_version_info is None:  # which it asks as soon as it connects
            shared[url.drivername] = engine
        else:
            engine.dialect = engine.pool._dialect = first.dialect
            engine._compiled_cache = first._compiled_cache
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue_engine, "create_engine", create)
        yield
