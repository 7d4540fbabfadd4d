"""What Prometheus sees of the FTP gateway."""

from __future__ import annotations

import contextlib
import ftplib
import io
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from recpipe import metrics
from tests.integration.ftp_world import DAY, PASSWORD, FtpWorld, barely_read, ftp_world, until
from tests.services.need import tool


@pytest.fixture
def world(tmp_path: Path) -> Iterator[FtpWorld]:
    limits = {"ftp_max_per_account": 2, "ftp_max_per_address": 4}
    with ftp_world(tmp_path, settings=limits) as made:
        yield made


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


class Since:
    """How far counters have gone from here on."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], float] = {}
        self._before = self._all()

    def _all(self) -> dict[tuple[str, str], float]:
        return {
            (sample.name, " ".join(sample.labels.values())): sample.value
            for family in metrics.REGISTRY.collect()
            if family.type == "counter" and family.name.startswith("recpipe_ftp_")
            for sample in family.samples
            if sample.name.endswith("_total")
        }

    def grown(self, name: str) -> dict[str, int]:
        """Label values -> growth, of those that grew."""
        now = self._all()
        found = {
            labels: int(count - self._before.get((n, labels), 0)) for (n, labels), count in now.items() if n == name
        }
        return {labels: count for labels, count in found.items() if count}


def test_transfers_and_bytes_are_counted_by_verb_and_outcome(world: FtpWorld, tmp_path: Path) -> None:
    since = Since()
    large = world.contents[f"{DAY}/large.wav"]
    url = f"ftp://127.0.0.1:{world.port}{DAY}/large.wav"
    curl = (tool("curl"), "-sSf", "--noproxy", "*", "--user", f"acme:{PASSWORD}")
    subprocess.run([*curl, "-o", tmp_path / "whole", url], check=True)
    subprocess.run([*curl, "--ssl-reqd", "--insecure", "-o", tmp_path / "whole", url], check=True)
    with world.login() as client:
        listing = "".join(f"{name}\r\n" for name in client.nlst(DAY))
    with world.login("pbx") as media_server:
        media_server.storbinary("STOR a.wav", io.BytesIO(b"RIFF one"))
    # A transfer is counted a moment after its reply.
    assert until(lambda: world.gateway.status().sessions == 0)
    assert since.grown("recpipe_ftp_transfers_total") == {"RETR complete": 2, "NLST complete": 1, "STOR complete": 1}
    assert since.grown("recpipe_ftp_transfer_bytes_total") == {
        "RETR complete": 2 * len(large),
        "NLST complete": len(listing.encode()),
        "STOR complete": 8,
    }


def test_what_was_broken_off_counts_as_such(world: FtpWorld) -> None:
    since = Since()
    with world.login() as client:
        data = barely_read(client, f"RETR {DAY}/large.wav")
        data.recv(100)
        data.close()
        assert client.getmultiline().startswith("426")
    with world.login("pbx") as media_server:
        media_server.sendcmd("ALLO 5000")
        with contextlib.suppress(ftplib.error_perm):
            media_server.storbinary("STOR short.wav", io.BytesIO(b"RIFF"))
    assert until(lambda: world.gateway.status().sessions == 0)
    assert since.grown("recpipe_ftp_transfers_total") == {"RETR broken": 1, "STOR broken": 1}
    assert since.grown("recpipe_ftp_transfer_bytes_total")["STOR broken"] == 4


def test_a_data_connection_over_which_nothing_was_asked_is_no_transfer(world: FtpWorld) -> None:
    since = Since()
    with world.login() as client:
        host, port = client.makepasv()
        with socket.create_connection((host, port), timeout=10), pytest.raises(ftplib.error_perm):
            client.sendcmd(f"RETR {DAY}/none.wav")
        client.sendcmd("NOOP")
    assert until(lambda: world.gateway.status().sessions == 0)
    assert since.grown("recpipe_ftp_transfers_total") == {}


def test_sessions_are_gauged_while_they_last(world: FtpWorld) -> None:
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(world.login())
        stack.enter_context(socket.create_connection(world.gateway.address, timeout=10)).recv(100)
        assert (value("recpipe_ftp_sessions"), value("recpipe_ftp_sessions_logged_in")) == (2, 1)
        assert value("recpipe_ftp_sessions_transferring") == 0
        with barely_read(client, f"RETR {DAY}/large.wav"):
            assert until(lambda: value("recpipe_ftp_sessions_transferring") == 1)
        client.getmultiline()
    assert until(lambda: value("recpipe_ftp_sessions") == 0)
    assert value("recpipe_ftp_sessions_logged_in") == 0


def test_logins_and_connections_that_are_refused_are_counted_with_the_reason(world: FtpWorld) -> None:
    since = Since()
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(world.login("acme-second"))
        third = stack.enter_context(ftplib.FTP(timeout=10))
        third.connect(*world.gateway.address)
        with pytest.raises(ftplib.error_temp, match="too many sessions"):
            third.login("acme-second", PASSWORD)
        assert until(lambda: world.gateway.status().sessions == 2)
        connected = [stack.enter_context(socket.create_connection(world.gateway.address, timeout=10)) for _ in range(3)]
        assert [one.recv(100)[:3] for one in connected] == [b"220", b"220", b"421"]
    assert until(lambda: world.gateway.status().sessions == 0)
    for _ in range(11):
        with contextlib.suppress(ftplib.error_perm, ftplib.error_temp), ftplib.FTP(timeout=10) as guesser:
            guesser.connect(*world.gateway.address)
            guesser.login("acme", "wrong")
    logins = since.grown("recpipe_ftp_logins_total")
    assert logins == {"ok": 2, "too-many-sessions": 1, "rejected": 10, "locked-out": 1}
    assert since.grown("recpipe_ftp_connections_refused_total") == {"address": 1}


def test_nothing_of_a_tenant_is_in_the_metrics(world: FtpWorld) -> None:
    with world.login("acme-202") as client:
        client.retrbinary(f"RETR {DAY}/large.wav", lambda piece: None)
    assert until(lambda: world.gateway.status().sessions == 0)
    said = "".join(re.findall(r"^recpipe_ftp.*\n", metrics.exposition().decode(), re.MULTILINE))
    assert 'recpipe_ftp_transfers_total{outcome="complete",verb="RETR"}' in said
    assert not re.search(r"acme|202|large|127\.0", re.sub(r" .*", "", said))
