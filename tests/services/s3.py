"""Real S3 servers: SeaweedFS (one a test worker), and `rclone serve s3` as a second opinion. Loopback only.

Tests use the fixtures; benchmarks use the context managers.
"""

from __future__ import annotations

import copy
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import botocore.session
import pytest

from recpipe import settings as recpipe_settings
from recpipe.store.base import Store
from recpipe.store.s3 import S3Store
from tests.services.need import missing

BUCKET = "acme"
START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server and how to reach it."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    pid: int

    def settings(self, prefix: str = "", **overrides: Any) -> recpipe_settings.Settings:
        """Settings of a recpipe that stores here, below `prefix`."""
        return recpipe_settings.load(
            **{
                "store_url": f"s3://{self.bucket}/{prefix}",
                "s3_endpoint": self.endpoint,
                "s3_access_key": self.access_key,
                "s3_secret_key": self.secret_key,
                "s3_addressing": "path",
            }
            | overrides
        )

    def client(self, **config: Any) -> Any:
        """A bare boto3 client: the outside view, and the peer in benchmarks. Without `config` it is a shared one."""
        return _client(self) if not config else _new_client(self, **config)


@cache
def _client(server: S3Server) -> Any:
    return _new_client(server)


def _new_client(server: S3Server, **config: Any) -> Any:
    loopback = {"s3": {"addressing_style": "path"}, "proxies": {}, "connect_timeout": 5, "read_timeout": 30}
    return boto3.session.Session().client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        config=botocore.config.Config(**(loopback | config)),
    )


def below(opened: Store, prefix: str) -> S3Store:
    """The same store below another prefix, knowing nothing yet: a client takes half a second to make, this nothing."""
    assert isinstance(opened, S3Store)
    fresh = copy.copy(opened)
    fresh._prefix = f"{prefix}/"
    fresh._heeds_conditions = None
    fresh._learning = threading.Lock()
    return fresh


@contextmanager
def seaweedfs(root: Path, bucket: str = BUCKET) -> Iterator[S3Server]:
    """Run SeaweedFS with its data below `root` (made when missing) and one bucket.

    Raises:
        FileNotFoundError: the weed program is not installed.
    """
    weed = _program("weed")
    root.mkdir(parents=True, exist_ok=True)
    port = _free_ports(count=6, grpc_offset=10_000)
    access, secret = "recpipe" + secrets.token_hex(4), secrets.token_hex(16)
    actions = [f"{verb}:{bucket}" for verb in ("Read", "List", "Write")]
    config = root / "s3.json"
    config.write_text(
        json.dumps(
            {
                "identities": [
                    {"name": bucket, "credentials": [{"accessKey": access, "secretKey": secret}], "actions": actions},
                    {"name": "root", "credentials": [{"accessKey": "root", "secretKey": secret}], "actions": ["Admin"]},
                ]
            }
        )
    )
    data = root / "data"
    data.mkdir(exist_ok=True)
    # Unix socket paths are short: the test run's own folders may be too deep for them.
    sockets = f"/tmp/weed-{os.getpid()}-{port}"
    command = [weed, "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={data}", "-master.telemetry=false"]
    command += [f"-s3.port={port}", f"-master.port={port + 1}", f"-volume.port={port + 2}", f"-filer.port={port + 3}"]
    command += [f"-admin.port={port + 4}", f"-s3.localSocket={sockets}-s3", f"-filer.localSocket={sockets}-filer"]
    command += ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += ["-s3.allowDeleteBucketNotEmpty=false", "-s3.autoCreateBucket=false", f"-s3.config={config}"]
    endpoint = f"http://127.0.0.1:{port}"
    try:
        with _running(command, root / "weed.log", {"WEED_S3_SSE_KEY": "any"}, cwd=root) as process:
            admin = S3Server(endpoint, "root", secret, bucket, process.pid)
            _until_it_stores(process, admin, root / "weed.log")
            yield S3Server(endpoint, access, secret, bucket, process.pid)
    finally:
        for leftover in (Path(f"{sockets}-s3"), Path(f"{sockets}-filer")):
            leftover.unlink(missing_ok=True)


@contextmanager
def rclone_s3(root: Path, bucket: str = BUCKET, tls: tuple[Path, Path] | None = None) -> Iterator[S3Server]:
    """Run `rclone serve s3` over the folder `root`: fast small puts, keeps no checksums, ignores conditions.

    Args:
        tls: certificate and key; then AWS_CA_BUNDLE must name the certificate.

    Raises:
        FileNotFoundError: rclone is not installed.
    """
    rclone = _program("rclone")
    (root / "data" / bucket).mkdir(parents=True, exist_ok=True)
    port = _free_ports(count=1)
    access, secret = "recpipe", secrets.token_hex(16)
    command = [rclone, "--config", "", "serve", "s3", str(root / "data"), f"--addr=127.0.0.1:{port}"]
    command += [f"--auth-key={access},{secret}", "--no-modtime"]
    command += [f"--cert={tls[0]}", f"--key={tls[1]}"] if tls else []
    with _running(command, root / "rclone.log", {}, cwd=root) as process:
        server = S3Server(f"{'https' if tls else 'http'}://127.0.0.1:{port}", access, secret, bucket, process.pid)
        _until_it_stores(process, server, root / "rclone.log")
        yield server


@pytest.fixture(scope="session", autouse=True)
def _services_read_once() -> Iterator[None]:
    """Clients share what botocore reads about S3, which is five sixths of what making one takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS, one for this test worker. Do not stop it: take `seaweedfs(tmp_path)` for that."""
    with _or_missing(seaweedfs, tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """`rclone serve s3`, one for this test worker."""
    with _or_missing(rclone_s3, tmp_path_factory.mktemp("rclone")) as server:
        yield server


@contextmanager
def _or_missing(start: Callable[[Path], Any], root: Path) -> Iterator[S3Server]:
    try:
        context = start(root)
        server = context.__enter__()
    except FileNotFoundError as error:
        missing(str(error))
        raise
    try:
        yield server
    finally:
        context.__exit__(None, None, None)


def _program(name: str) -> str:
    beside_python = Path(sys.executable).parent / name
    found = str(beside_python) if beside_python.exists() else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed; scripts/setup installs it")
    return found


def _free_ports(count: int, grpc_offset: int = 0) -> int:
    """The first of `count` neighbouring free ports, those `grpc_offset` above them free too."""
    for _ in range(200):
        # Below the range that the kernel gives to outgoing connections, which could take one in between.
        first = 12_000 + secrets.randbelow(9_000)
        wanted = [first + n for n in range(count)]
        wanted += [port + grpc_offset for port in wanted] if grpc_offset else []
        if all(_is_free(port) for port in wanted):
            return first
    raise RuntimeError("no free ports on 127.0.0.1")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def _running(command: list[str], log: Path, env: dict[str, str], cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=os.environ | env,
            start_new_session=True,  # Ctrl-C in a terminal is for the test run, which then stops it
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_it_stores(process: subprocess.Popen[bytes], server: S3Server, log: Path) -> None:
    """Make the bucket and wait for a first put: ports open long before the volumes behind them do."""
    client = server.client(
        retries={"total_max_attempts": 1},
        connect_timeout=1,
        read_timeout=5,
        request_checksum_calculation="when_required",  # over TLS it would be sent at the end, which rclone refuses
    )
    deadline = time.monotonic() + START_SECONDS
    last: Exception | None = None
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
                client.create_bucket(Bucket=server.bucket)
            client.put_object(Bucket=server.bucket, Key="started", Body=b"yes")
            client.delete_object(Bucket=server.bucket, Key="started")
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            last = error
            time.sleep(0.05)
        else:
            return
        finally:
            client.close()
    raise RuntimeError(f"the S3 server did not start ({last}):\n{log.read_text(errors='replace')[-4000:]}")
