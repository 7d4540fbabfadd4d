"""`scripts/bench ingest [--quick]`: sealed 600 KB files from the spool to committed rows, beside what people use today.

Peers, interleaved in every round, all against the same S3 server on tmpfs: SeaweedFS, which keeps checksums and refuses
to overwrite; or with `--server rclone` the quicker `rclone serve s3`, which does neither, so that recpipe looks before
and reads back after every put:

    recpipe     spool, describe, tag, seal, put, verify, row committed (SQLite, every fsync kept), source removed
    shell       `inotifywait`, `openssl smime -encrypt`, `aws s3 cp`, source removed; no tags, rows or checks
    curl        the same with `curl --aws-sigv4 -T` in place of `aws`, which saves starting Python for every file
    boto3       `put_object` of the same bytes from memory by the same number of threads; nothing else

Goals: at least 20 times the shell pipeline and 0.5 times the bare boto3 loop. The last line compares CPU time, which a
machine that does other work at the same time changes least; where it goes is in decision 37.
"""

from __future__ import annotations

import argparse
import os
import resource
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from keys import certificate
from recpipe import log
from recpipe.catalogue import Catalogue
from recpipe.model import CertificateState, StoreFormat, Tenant, TenantCertificate
from recpipe.pipeline.ingest import Ingest
from recpipe.settings import Settings, Spool
from recpipe.store.opening import open_store
from recpipe.times import utc_now
from tests.services.s3 import S3Server, rclone_s3, seaweedfs

FILE_BYTES = 600_000
GOALS = {"shell": 20.0, "curl": 20.0, "boto3": 0.5}

UPLOADS = {
    "shell": 'aws --endpoint-url "$ENDPOINT" s3 cp --quiet "$WORK/$name.enc" "s3://$BUCKET/shell-$ROUND/$name.enc"',
    "curl": 'curl -sf --aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" '
    '-T "$WORK/$name.enc" "$ENDPOINT/$BUCKET/curl-$ROUND/$name.enc"',
}
SHELL_PIPELINE = """
set -euo pipefail
cd "$SPOOL"
count=0
while [ "$count" -lt "$FILES" ] && read -r name; do
  openssl smime -encrypt -binary -aes256 -in "$name" -outform DER -out "$WORK/$name.enc" "$CERTIFICATE"
  {upload}
  rm "$name" "$WORK/$name.enc"
  count=$((count + 1))
done < <(inotifywait -q -m -e close_write -e moved_to --format '%f' . & echo $! > "$WORK/inotify.pid"; wait)
kill "$(cat "$WORK/inotify.pid")"
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench ingest", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer files and rounds")
    parser.add_argument("--threads", type=int, default=4, help="workers of recpipe, and threads of the boto3 loop")
    parser.add_argument("--server", choices=("rclone", "seaweedfs"), default="seaweedfs")
    parser.add_argument(
        "--dir", type=Path, help="where spool and database lie (default: the system's temporary folder)"
    )
    options = parser.parse_args(arguments)
    files, shell_files, rounds = (150, 20, 2) if options.quick else (400, 40, 5)

    log.set_up("json", "warning")
    with ExitStack() as stack:
        memory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        disk = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.dir)))
        start = rclone_s3 if options.server == "rclone" else seaweedfs
        server = stack.enter_context(start(memory / "s3"))
        bench = Bench(server, disk, options.threads)
        print(f"600 KB files, {options.threads} threads, {options.server}; spool and SQLite in {disk.parent}\n")
        shells = [peer for peer in UPLOADS if peer != "shell" or shutil.which("aws")]
        peers = ["recpipe", *shells, "boto3"]
        print(f"{'round':>5} " + " ".join(f"{peer:>10}" for peer in peers) + "   files/s")
        rates: dict[str, list[float]] = {peer: [] for peer in peers}
        for number in range(rounds):
            rates["recpipe"].append(bench.recpipe(number, files))
            for peer in shells:
                rates[peer].append(bench.shell(peer, number, shell_files if peer == "curl" else shell_files // 4))
            rates["boto3"].append(bench.boto3(number, files))
            print(f"{number + 1:>5} " + " ".join(f"{rates[peer][-1]:>10.1f}" for peer in rates), flush=True)
        met = True
        print()
        for peer in peers[1:]:
            goal = GOALS[peer]
            ratios = [ours / theirs for ours, theirs in zip(rates["recpipe"], rates[peer], strict=True)]
            ratio = statistics.median(ratios)
            met &= ratio >= goal
            print(
                f"recpipe / {peer:<6} {ratio:6.2f}  (rounds {min(ratios):.2f} to {max(ratios):.2f}), goal {goal}: "
                f"{'met' if ratio >= goal else 'MISSED'}"
            )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        ours, theirs = (spent * 1000 for spent in (bench.cpu_seconds / bench.stored, bench.boto3_cpu / bench.put))
        print(
            f"CPU a file: recpipe {ours:.2f} ms, boto3 {theirs:.2f} ms, recpipe / boto3 {ours / theirs:.2f}; "
            f"peak memory {peak:.0f} MB"
        )
    return 0 if met else 1


class Bench:
    def __init__(self, server: S3Server, disk: Path, threads: int) -> None:
        self._server = server
        self._disk = disk
        self._threads = threads
        self.cpu_seconds = 0.0
        self.stored = 0
        self.boto3_cpu = 0.0
        self.put = 0
        self._key, self._certificate = disk / "key.pem", disk / "certificate.pem"
        made = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-x509", "-days", "30", "-subj", "/CN=bench"]
        subprocess.run([*made, "-keyout", self._key, "-out", self._certificate], check=True, capture_output=True)
        spool = Spool(path=disk / "spool", tenant="acme", layout="freepbx", settle_seconds=0, rescan_seconds=1)
        spool.path.mkdir()
        self._spool = spool
        self._settings: Settings = server.settings(
            "recpipe", data_dir=disk / "data", spool=(spool,), ingest_workers=threads
        )
        self._settings.data_dir.mkdir()
        self._catalogue = Catalogue.open(self._settings.database)
        self._store = open_store(self._settings)
        self._make_tenant()

    def _make_tenant(self) -> None:
        now = datetime.now(UTC)
        vetted = certificate.vet(self._certificate.read_bytes(), now=now)
        tenant = Tenant(secrets.token_hex(16), "acme", "Acme", "UTC", "DE", False, StoreFormat.SOURCE, now)
        with self._catalogue.begin() as work:
            work.tenants.add(tenant)
            work.of(tenant.id).certificates.add(
                TenantCertificate(
                    id=secrets.token_hex(16),
                    tenant_id=tenant.id,
                    label="",
                    der=vetted.der,
                    fingerprint=vetted.fingerprint,
                    subject=vetted.subject,
                    serial=vetted.serial,
                    key_bits=vetted.key_bits,
                    not_before=vetted.not_before,
                    not_after=vetted.not_after,
                    synthesised=False,
                    state=CertificateState.VOUCHED,
                    added_at=now,
                )
            )
            work.tenants.update(replace(tenant, encryption=True))

    def recpipe(self, number: int, files: int) -> float:
        """Files a second from the moment the spool is full until it is empty and every row is committed."""
        for index in range(files):
            name = f"out-0301234{index % 10000:04}-201-20260901-092517-{1_790_000_000 + index}.{number}.wav"
            _recording(self._spool.path / name)
        ingest = Ingest(self._settings, self._catalogue, self._store, clock=utc_now)
        before = time.process_time()
        began = time.perf_counter()
        complete = ingest.drain()
        seconds = time.perf_counter() - began
        self.cpu_seconds += time.process_time() - before
        self.stored += ingest.counts.stored
        assert complete and ingest.counts.stored == files, ingest.counts
        return files / seconds

    def shell(self, peer: str, number: int, files: int) -> float:
        """The same by a pipeline of shell tools, which gets its files by rename as they are ready."""
        work = self._disk / peer
        spool, ready = work / "spool", work / "ready"
        shutil.rmtree(work, ignore_errors=True)
        spool.mkdir(parents=True)
        ready.mkdir()
        names = [f"call-{index}.wav" for index in range(files)]
        for name in names:
            _recording(ready / name)
        environment = os.environ | {
            "SPOOL": str(spool),
            "WORK": str(work),
            "FILES": str(files),
            "CERTIFICATE": str(self._certificate),
            "AWS_ACCESS_KEY_ID": self._server.access_key,
            "AWS_SECRET_ACCESS_KEY": self._server.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "ENDPOINT": self._server.endpoint,
            "BUCKET": self._server.bucket,
            "ROUND": str(number),
        }
        process = subprocess.Popen(
            ["bash", "-c", SHELL_PIPELINE.replace("{upload}", UPLOADS[peer])], env=environment, stderr=sys.stderr
        )
        while not (work / "inotify.pid").exists():
            time.sleep(0.01)
        time.sleep(0.3)  # inotifywait sets its watches up
        began = time.perf_counter()
        for name in names:
            (ready / name).rename(spool / name)
        code = process.wait(timeout=300)
        seconds = time.perf_counter() - began
        assert code == 0, "the shell pipeline failed"
        return files / seconds

    def boto3(self, number: int, files: int) -> float:
        """Bare `put_object` of as many bytes, from memory."""
        client = self._server.client(max_pool_connections=self._threads)
        body = secrets.token_bytes(FILE_BYTES)

        def put(index: int) -> None:
            client.put_object(Bucket=self._server.bucket, Key=f"boto3-{number}/{index}", Body=body)

        with ThreadPoolExecutor(self._threads) as pool:
            put(-1)
            before = time.process_time()
            began = time.perf_counter()
            list(pool.map(put, range(files)))
            seconds = time.perf_counter() - began
            self.boto3_cpu += time.process_time() - before
            self.put += files
        client.close()
        return files / seconds


def _recording(path: Path) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(secrets.token_bytes(FILE_BYTES - 44))
