"""A real mail server, aiosmtpd, on loopback: `mailer` sends to it, `mailbox` is what it received."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from recpipe.mail import Mailer


class Mailbox:
    """What the server received; with `refuse` it takes nothing."""

    def __init__(self) -> None:
        self.letters: list[tuple[list[str], Message]] = []
        self.refuse = False

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse:
            return "451 not now"
        self.letters.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 OK"


@contextmanager
def mail_server(mailbox: Mailbox) -> Iterator[Mailer]:
    with socket.socket() as probe:  # the controller knows no "any port"
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield Mailer(f"smtp://127.0.0.1:{port}", "portal@example.com")
    finally:
        controller.stop()


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def mailer(mailbox: Mailbox) -> Iterator[Mailer]:
    with mail_server(mailbox) as made:
        yield made
