"""Sending a letter: to a real server, and not to one that cannot be trusted."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import replace
from email.header import decode_header, make_header
from email.utils import parseaddr
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from recpipe.errors import SettingsInvalid
from recpipe.mail import Mailer, MailNotSent, portal_address
from recpipe.settings import Settings
from tests.acceptance.portal import free_port
from tests.services import need
from tests.services.mail import Mailbox, mail_server


def test_a_letter_arrives_as_it_was_written() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as mailer:
        mailer.send("bea@example.com", "Grüße", "Für Sie: ein Brief.\n")
    ((to, letter),) = mailbox.letters
    assert to == ["bea@example.com"]
    assert letter["Auto-Submitted"] == "auto-generated" and letter["From"] == "portal@example.com"
    body = letter.get_payload(decode=True)
    assert isinstance(body, bytes) and body.decode() == "Für Sie: ein Brief.\r\n"


@pytest.mark.parametrize(
    ("sender", "name", "shown"),
    [
        ("portal@example.com", "Acme Voice", "Acme Voice"),
        ("portal@example.com", "Müller, Söhne", "Müller, Söhne"),
        ("Records <portal@example.com>", "Acme Voice", "Records"),
    ],
)
def test_a_letter_comes_from_the_operator_by_name(sender: str, name: str, shown: str) -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as mailer:
        replace(mailer, sender=sender, name=name).send("bea@example.com", "x", "y")
    ((_, letter),) = mailbox.letters
    named, address = parseaddr(letter["From"])
    assert (str(make_header(decode_header(named))), address) == (shown, "portal@example.com")
    assert letter["Message-ID"].endswith("@example.com>")


def test_an_address_cannot_smuggle_in_another_recipient() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as mailer, pytest.raises(ValueError, match="Header values"):
        mailer.send("bea@example.com\r\nBcc: eve@example.com", "x", "y")
    assert mailbox.letters == []


def test_nothing_is_sent_under_a_certificate_nobody_vouches_for(tmp_path: Path) -> None:
    # Given a server that offers TLS with a certificate of its own making
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = [
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-x509",
        "-subj",
        "/CN=127.0.0.1",
        "-keyout",
        key,
        "-out",
        certificate,
    ]
    subprocess.run([need.tool("openssl"), *map(str, made)], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    mailbox, port = Mailbox(), free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, tls_context=tls)
    controller.start()
    try:
        with pytest.raises(MailNotSent):
            Mailer(f"smtp://127.0.0.1:{port}", "portal@example.com").send("bea@example.com", "x", "y")
    finally:
        controller.stop()
    assert mailbox.letters == []


def test_a_server_that_is_away_is_told_and_the_password_is_not() -> None:
    mailer = Mailer(f"smtp://user:geheim@127.0.0.1:{free_port()}", "portal@example.com")
    with pytest.raises(MailNotSent) as refused:
        mailer.send("bea@example.com", "x", "y")
    assert "geheim" not in str(refused.value) and "geheim" not in repr(mailer)
    assert mailer.try_to_send("bea@example.com", "x", "y") is False


@pytest.mark.parametrize("url", ["", "https://mail.example", "smtp://"])
def test_a_mailer_without_a_server_says_what_to_set(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="RECPIPE_SMTP_URL"):
        Mailer(url, "portal@example.com").send("bea@example.com", "x", "y")


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"http_url": "https://p.example/"}, "https://p.example"),
        ({"http_listen": "[::1]:81"}, "http://[::1]:81"),
        ({"http_listen": ":81"}, "http://127.0.0.1:81"),
    ],
)
def test_links_lead_where_the_settings_say(settings: dict[str, str], address: str) -> None:
    assert portal_address(Settings(**settings)) == address  # type: ignore[arg-type]
