"""Sealing, files to files, beside the raw speed of AES-256-CBC and beside other tools.

The limit, 1.00, is `openssl speed -elapsed -evp aes-256-cbc -bytes 16384` in the same round: the cipher alone, one
core, no file, no hash. Rounds are interleaved, so that a machine which is slower for a minute is so for
everybody, and the median of the rounds is shown. Files lie in /dev/shm where there is one.

Our own envelopes overwrite one file in place, so that the ratio shows sealing and copying and not how fast the kernel
finds and clears pages for a new file; the column `fresh` includes that, and it is what the other tools (which
truncate their output) are compared with.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import pkcs7

from keys.envelope import Sealer

BUFFER_BYTES = 256 * 1024


@dataclass(frozen=True)
class Size:
    label: str
    bytes: int
    goal: float | None = None  # of the raw limit, hashes off
    goal_hashed: float | None = None
    times_smime: float | None = None
    two_workers: float | None = None


SIZES = (
    Size("50 KB", 50_000),
    Size("600 KB", 600_336, 0.65, 0.35, 7, 1.7),
    Size("4.8 MB", 4_800_044, 0.65, 0.35, None, 1.7),
    Size("230 MB", 230_400_044, 0.60, 0.33, 3, 1.7),
)
MEMORY_GOAL_BYTES = 64_000_000


def seal_files(sealer: Sealer, source: Path, out: Path, times: int, *, hashes_on: bool, fresh: bool = False) -> None:
    """What a worker does: open, seal, write, close; one buffer for all files."""
    buffer = memoryview(bytearray(BUFFER_BYTES))
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if fresh else 0)
    for _ in range(times):
        with source.open("rb", buffering=0) as plain, os.fdopen(os.open(out, flags), "wb", buffering=0) as sealed:
            reader = sealer.begin(os.fstat(plain.fileno()).st_size).open(plain, hashes=hashes_on)
            while taken := reader.readinto(buffer):
                sealed.write(buffer[:taken])


def rate(work: Callable[[int], None], size: int, times: int) -> float:
    """Bytes a second."""
    started = time.perf_counter()
    work(times)
    return size * times / (time.perf_counter() - started)


def raw_limit(seconds: int) -> float:
    done = subprocess.run(
        ["openssl", "speed", "-elapsed", "-evp", "aes-256-cbc", "-bytes", "16384", "-seconds", str(seconds)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"AES-256-CBC\s+([\d.]+)k", done.stdout, re.IGNORECASE)
    assert found, done.stdout
    return float(found[1]) * 1000


def make_certificate(folder: Path) -> tuple[Path, bytes]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    made = builder.sign(key, hashes.SHA256())
    path = folder / "bench.crt"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path, made.public_bytes(serialization.Encoding.DER)


def two_threads(work: Callable[[int, int], None], times: int) -> None:
    threads = [threading.Thread(target=work, args=(number, times)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(size: Size, rounds: int, seconds: float, folder: Path) -> dict[str, list[float]]:
    """Rates of every contender, one entry a round; `raw` first."""
    certificate_path, der = make_certificate(folder)
    source = folder / "plain"
    with source.open("wb") as out:
        left = size.bytes
        while left:
            left -= out.write(os.urandom(min(left, 1 << 20)))
    sealer = Sealer([der])
    certificate = x509.load_der_x509_certificate(der)

    def ours(hashes_on: bool, *, fresh: bool = False) -> Callable[[int], None]:
        work = functools.partial(seal_files, sealer, source, folder / "ours", hashes_on=hashes_on, fresh=fresh)
        work(times=1)
        return work

    def builder(times: int) -> None:
        for _ in range(times):
            made = pkcs7.PKCS7EnvelopeBuilder().set_data(source.read_bytes()).add_recipient(certificate)
            made = made.set_content_encryption_algorithm(AES256)
            (folder / "builder").write_bytes(made.encrypt(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary]))

    def smime(times: int) -> None:
        command = ["openssl", "smime", "-encrypt", "-binary", "-aes256", "-in", str(source), "-outform", "DER"]
        for _ in range(times):
            subprocess.run([*command, "-out", str(folder / "smime"), str(certificate_path)], check=True)

    def two(hashes_on: bool) -> Callable[[int], None]:
        return lambda times: two_threads(
            lambda number, each: seal_files(sealer, source, folder / f"two{number}", each, hashes_on=hashes_on), times
        )

    def enough(expected_rate: float) -> int:
        return max(1, int(seconds * expected_rate / size.bytes))

    measured: dict[str, list[float]] = {}
    for _ in range(rounds):
        limit = raw_limit(1)
        measured.setdefault("raw", []).append(limit)
        contenders: tuple[tuple[str, Callable[[int], None], int, int], ...] = (
            ("off", ours(False), enough(limit / 2), 1),
            ("fresh", ours(False, fresh=True), enough(limit / 2), 1),
            ("two off", two(False), enough(limit / 2), 2),
            ("on", ours(True), enough(limit / 3), 1),
            ("two on", two(True), enough(limit / 3), 2),
            ("builder", builder, enough(limit / 4), 1),
            ("smime", smime, enough(limit / 12), 1),
        )
        for name, work, times, workers in contenders:
            measured.setdefault(name, []).append(rate(work, size.bytes, times) * workers)
    return measured


_ONE = """
import sys
from pathlib import Path
from keys.envelope import Sealer
folder, hashes_on = Path(sys.argv[1]), sys.argv[2] == "True"
buffer = memoryview(bytearray(262144))
with (folder / "sparse").open("rb", buffering=0) as plain, (folder / "one").open("wb", buffering=0) as sealed:
    size = (folder / "sparse").stat().st_size
    reader = Sealer([(folder / "one.der").read_bytes()]).begin(size).open(plain, hashes=hashes_on)
    while taken := reader.readinto(buffer):
        sealed.write(buffer[:taken])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def peak_memory(size: Size, folder: Path, hashes_on: bool) -> int:
    """Peak resident bytes of a fresh process that seals one file of this size.

    Read from VmHWM: getrusage's ru_maxrss survives exec and would show the size of this process.
    """
    _, der = make_certificate(folder)
    (folder / "one.der").write_bytes(der)
    with (folder / "sparse").open("wb") as out:
        out.truncate(size.bytes)
    done = subprocess.run(
        [sys.executable, "-c", _ONE, str(folder), str(hashes_on)], capture_output=True, text=True, check=True
    )
    return int(done.stdout) * 1024


class Verdicts:
    """Prints each goal beside what was measured."""

    def __init__(self) -> None:
        self.missed = 0

    def say(self, what: str, value: float, goal: float | None, *, at_most: bool = False) -> None:
        if goal is None:
            return
        met = value <= goal if at_most else value >= goal
        self.missed += not met
        print(f"  {what:<40} {value:8.2f}   goal {'<=' if at_most else '>='} {goal:<6g} {'met' if met else 'MISSED'}")


def main(arguments: list[str]) -> int:
    """Print the table and the goals; 1 when one was missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench seal", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, no 230 MB")
    options = parser.parse_args(arguments)
    if shutil.which("openssl") is None:
        print("openssl is not installed; it is the peer. scripts/setup installs it.", file=sys.stderr)
        return 2
    sizes = SIZES[:3] if options.quick else SIZES
    rounds, seconds = (3, 0.3) if options.quick else (7, 0.8)
    verdicts = Verdicts()
    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(f"The load is {busy:.1f} on {os.cpu_count()} cores: two workers and hashing beside sealing look slow.")
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="recpipe-bench-", dir=shared if shared.is_dir() else None) as name:
        folder = Path(name)
        print("Ratios to raw AES-256-CBC on one core (openssl speed, same round); median of", rounds, "rounds")
        columns = ("raw MB/s", "off", "both", "2w off", "2w both", "fresh", "pkcs7", "smime", "files/s")
        print(f"{'':>8}" + "".join(f"{column:>9}" for column in columns))
        for size in sizes:
            measured = measure(size, rounds, seconds, folder)
            raw = measured["raw"]
            ratio = {
                key: statistics.median(value / limit for value, limit in zip(values, raw, strict=True))
                for key, values in measured.items()
            }
            shown = [f"{statistics.median(raw) / 1e6:.0f}"]
            shown += [f"{ratio[name]:.2f}" for name in ("off", "on", "two off", "two on", "fresh", "builder")]
            shown += [f"{ratio['smime']:.3f}", f"{statistics.median(measured['off']) / size.bytes:.0f}"]
            print(f"{size.label:>8}" + "".join(f"{value:>9}" for value in shown))
            verdicts.say("of the raw limit, hashes off", ratio["off"], size.goal)
            verdicts.say("of the raw limit, both hashes", ratio["on"], size.goal_hashed)
            verdicts.say("times openssl smime (fresh)", ratio["fresh"] / ratio["smime"], size.times_smime)
            verdicts.say("two workers against one, hashes off", ratio["two off"] / ratio["off"], size.two_workers)
        for hashes_on in (False, True):
            peak = peak_memory(SIZES[-1], folder, hashes_on)
            what = f"peak MB at {SIZES[-1].label}, hashes {'both' if hashes_on else 'off'}"
            verdicts.say(what, peak / 1e6, MEMORY_GOAL_BYTES / 1e6, at_most=True)
    print(f"{verdicts.missed} goals missed" if verdicts.missed else "all goals met")
    return 1 if verdicts.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
