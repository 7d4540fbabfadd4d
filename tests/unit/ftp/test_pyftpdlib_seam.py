"""Every private name of pyftpdlib is in one file, and is still there in the pyftpdlib that is installed."""

from __future__ import annotations

import ast
import inspect
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyftpdlib.ioloop  # first: it silences the deprecation of asyncore, which the next lines import
import pytest
from pyftpdlib.handlers import TLS_FTPHandler
from pyftpdlib.handlers.ftp.control import FTPHandler
from pyftpdlib.handlers.ftp.dispatchers import ActiveDTP, PassiveDTP
from pyftpdlib.ioloop import Acceptor, IOLoop

from ftp import pyftpdlib_seam as seam
from ftp.loop import Loop
from ftp.passive import Active, Passive
from ftp.session import Session

SEAM = Path(seam.__file__)
# A class of the seam and the stock class below it.
STOCK: dict[type, type] = {
    seam.ControlConnection: TLS_FTPHandler,
    seam.DataAcceptor: PassiveDTP,
    seam.DataConnector: ActiveDTP,
    seam.EventLoop: IOLoop,
}


class Stock(TLS_FTPHandler):  # type: ignore[misc]
    """pyftpdlib's own handler, without the certificate that it wants."""

    @classmethod
    def get_ssl_context(cls) -> None:
        return None


@pytest.fixture(scope="module")
def names() -> Iterator[dict[type, set[str]]]:
    """Stock class -> every name that it, or a living object of it, has."""
    loop = IOLoop()
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as _client,
    ):
        accepted, _ = listening.accept()
        handler: Any = Stock(accepted, seam.Server(), loop)
        found = {
            TLS_FTPHandler: set(dir(handler)),
            PassiveDTP: {*dir(PassiveDTP), *vars(Acceptor(ioloop=loop))},
            ActiveDTP: set(dir(ActiveDTP)),
            IOLoop: set(dir(loop)),
        }
        handler.close()
        loop.close()
    yield found


def private_names(tree: ast.AST) -> set[str]:
    """Private attributes that code reads, sets or calls, and private methods that it defines."""
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


def class_in(path: Path, name: str) -> ast.ClassDef:
    return next(
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef) and node.name == name
    )


@pytest.mark.parametrize("ours", STOCK, ids=lambda ours: ours.__name__)
def test_pyftpdlib_still_has_the_private_names_that_are_used(ours: type, names: dict[type, set[str]]) -> None:
    missing = private_names(class_in(SEAM, ours.__name__)) - names[STOCK[ours]]
    assert not missing, (
        f"pyftpdlib {pyftpdlib.__ver__} has no {', '.join(sorted(missing))} in {STOCK[ours].__name__} any more. "
        f"Look up what replaced it and change {ours.__name__} in ftp/pyftpdlib_seam.py, or pin the version before."
    )


@pytest.mark.parametrize("ours", STOCK, ids=lambda ours: ours.__name__)
def test_pyftpdlib_still_calls_overridden_methods_with_the_same_arguments(ours: type) -> None:
    stock = STOCK[ours]
    for name, method in inspect.getmembers(ours, inspect.isfunction):
        original = getattr(stock, name, None)
        if name == "__init__" or name not in vars(ours) or not inspect.isfunction(original):
            continue
        wanted = list(inspect.signature(original).parameters)
        assert list(inspect.signature(method).parameters) == wanted, (
            f"pyftpdlib {pyftpdlib.__ver__} calls {stock.__name__}.{name} with ({', '.join(wanted)}). "
            f"Take the same in ftp/pyftpdlib_seam.py."
        )


def test_pyftpdlib_asks_no_more_of_a_server() -> None:
    trees = [ast.parse(Path(inspect.getfile(each)).read_text()) for each in (FTPHandler, PassiveDTP)]
    asked = {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self.server", "self.cmd_channel.server")
    }
    # Each listener has a socket of its own; the limits are for pyftpdlib's own server, which is not used.
    missing = asked - {*dir(seam.Server), "socket", "max_cons", "max_cons_per_ip"}
    assert not missing, f"pyftpdlib asks a server for {missing}: give it to Server in ftp/pyftpdlib_seam.py."


def test_an_event_loop_that_is_closed_knows_what_it_watches() -> None:
    loop = IOLoop()
    ends = os.pipe()
    try:
        for end in ends:
            loop.register(end, seam.Watched(end), loop.READ)
        loop.close()
    except AttributeError as error:
        pytest.fail(f"pyftpdlib wants more of what a loop watches ({error}): give it to Watched in the seam.")
    finally:
        for end in ends:
            os.close(end)


@pytest.mark.parametrize("ours", [Session, Passive, Active, Loop], ids=lambda ours: ours.__name__)
def test_no_other_file_uses_a_private_name_of_pyftpdlib(ours: type, names: dict[type, set[str]]) -> None:
    (stock,) = [STOCK[each] for each in ours.__mro__ if each in STOCK]
    for each in ours.__mro__:
        file = Path(inspect.getfile(each)) if each.__module__.startswith("ftp.") else SEAM
        if file != SEAM:
            used = private_names(class_in(file, each.__name__)) & names[stock]
            assert not used, f"{file.name} uses {used} of pyftpdlib: give it a public name in ftp/pyftpdlib_seam.py."
