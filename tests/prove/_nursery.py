"""A process that has imported recpipe once and forks a real `recpipe` for each line it is told.

A line is a JSON list of arguments, variables, working folder and log file; the answer is a process id, of a process
that stands still (SIGSTOP) until somebody lets it go on. Another line, a process id, asks how that process ended.
Arguments that begin with `!` name a function of the tests, which gets the others in place of a command.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib
import json
import os
import pkgutil
import random
import signal
import sys

import boto3
import botocore.session
from rich import get_console

import ftp
import recpipe

_PR_SET_PDEATHSIG = 1


def _import_all() -> None:
    for package in (recpipe, ftp):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            # Alembic loads its own scripts; the rest is what any role would load.
            if not any(part in found.name for part in (".migrations", "__main__", ".samples")):
                importlib.import_module(found.name)
    import psycopg  # noqa: F401
    import uvicorn.protocols.http.h11_impl  # noqa: F401

    get_console()
    # What botocore reads about S3 is most of what making a client takes.
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)  # type: ignore[attr-defined]
    boto3.session.Session().client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")


def _be(arguments: list[str], variables: dict[str, str], folder: str, log: str) -> None:
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # however a proof ends, nothing of it goes on
    os.chdir(folder)
    os.environ.update(variables)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for fd in (1, 2):
        os.dup2(out, fd)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(out)
    random.seed()
    sys.argv = ["recpipe", *arguments]
    os.kill(os.getpid(), signal.SIGSTOP)
    from recpipe.__main__ import main

    status = 0
    try:
        if arguments[0].startswith("!"):
            module, _, name = arguments[0][1:].partition(":")
            getattr(importlib.import_module(module), name)(*arguments[1:])
        else:
            main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Until its standard input ends."""
    _import_all()
    gc.collect()
    gc.freeze()  # or each child copies the pages of all that was imported
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    print("ready", file=answers)
    for line in sys.stdin:
        wanted = json.loads(line)
        if isinstance(wanted, int):
            ended, status = os.waitpid(wanted, os.WNOHANG)
            print(os.waitstatus_to_exitcode(status) if ended else "null", file=answers)
            continue
        if (child := os.fork()) == 0:
            try:
                _be(*wanted)
            finally:
                os._exit(99)
        os.waitpid(child, os.WUNTRACED)
        print(child, file=answers)


if __name__ == "__main__":
    main()
