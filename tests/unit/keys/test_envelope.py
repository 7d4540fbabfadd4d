"""Sealing as a stream: exact lengths, retries, sums, sources that lie, threads and forks."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import stat
import threading
from multiprocessing import get_context
from pathlib import Path

import pytest

from keys import profile
from keys.envelope import Sealer, seal_file
from keys.errors import CertificateRejected, MessageTooLarge, SourceSizeMismatch
from keys.hashing import CHUNK_BYTES, OVERLAP_FROM_BYTES
from keys.opening import PrivateKey, inspect, load_private_key, open_envelope
from tests.services.certificates import KeyPair

BOUNDARIES = (0, 1, 15, 16, 17, 4096, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 65_535, 65_537)
SIZES = (*BOUNDARIES, OVERLAP_FROM_BYTES - 1, OVERLAP_FROM_BYTES, 3 * CHUNK_BYTES - 16, 1 << 20)


class Drip(io.RawIOBase):
    """A source that gives a few bytes at a time."""

    def __init__(self, content: bytes, most: int) -> None:
        self._rest = io.BytesIO(content)
        self._most = most

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._rest.readinto(buffer[: self._most])


@pytest.fixture(scope="session")
def sealer(key_pair: KeyPair) -> Sealer:
    return Sealer([key_pair.der])


@pytest.fixture(scope="session")
def private_key(key_pair: KeyPair) -> PrivateKey:
    return load_private_key(key_pair.key_pem)


@pytest.mark.parametrize("size", SIZES)
def test_the_envelope_is_exactly_as_long_as_promised_and_its_sums_are_right(
    size: int, sealer: Sealer, private_key: PrivateKey
) -> None:
    content = os.urandom(size)
    sealing = sealer.begin(size)
    reader = sealing.open(io.BytesIO(content))
    envelope = reader.read()
    assert len(envelope) == sealing.size_bytes == sealing.content_offset + sealing.content_bytes
    assert reader.plain_sha256 == hashlib.sha256(content).hexdigest()
    assert reader.sealed_sha256 == hashlib.sha256(envelope).hexdigest()
    info = inspect(io.BytesIO(envelope))
    assert (info.content_offset, info.content_bytes, info.iv) == (
        sealing.content_offset,
        sealing.content_bytes,
        sealing.iv,
    )
    out = io.BytesIO()
    opened = open_envelope(io.BytesIO(envelope), out, private_key)
    assert out.getvalue() == content
    assert (opened.plain_sha256, opened.sealed_sha256, opened.size_bytes) == (
        reader.plain_sha256,
        reader.sealed_sha256,
        size,
    )


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("size", [0, 17, CHUNK_BYTES + 5, OVERLAP_FROM_BYTES + 77])
def test_a_retry_gives_the_same_bytes_however_they_are_read(size: int, hashes: bool, sealer: Sealer) -> None:
    content = os.urandom(size)
    sealing = sealer.begin(size)
    whole = sealing.open(io.BytesIO(content), hashes=hashes).read()
    tiny = (1, 16, 30, 31, 32) if size < OVERLAP_FROM_BYTES else (31,)  # a second for each of them
    for buffer_bytes in (*tiny, 1000, 65_536, 400_000):
        if size > 1000 and buffer_bytes < 1000:
            source: io.RawIOBase | io.BytesIO = io.BytesIO(content)
        else:
            source = Drip(content, 777)
        reader = sealing.open(source, hashes=hashes)
        buffer = memoryview(bytearray(buffer_bytes))
        parts = []
        while taken := reader.readinto(buffer):
            parts.append(bytes(buffer[:taken]))
            buffer[:] = bytes(buffer_bytes)  # the caller's buffer is the caller's again
        assert b"".join(parts) == whole, buffer_bytes
        if hashes:
            assert reader.sealed_sha256 == hashlib.sha256(whole).hexdigest()


def test_read_returns_what_was_asked_for_until_the_end(sealer: Sealer) -> None:
    sealing = sealer.begin(200_000)
    reader = sealing.open(io.BytesIO(bytes(200_000)))
    lengths = [len(part) for part in iter(lambda: reader.read(70_000), b"")]
    assert lengths == [70_000, 70_000, sealing.size_bytes - 140_000]
    assert reader.read() == b"" and reader.read(5) == b""


def test_every_file_has_its_own_key_and_iv(sealer: Sealer) -> None:
    first, second = sealer.begin(100), sealer.begin(100)
    assert first.iv != second.iv
    assert first.open(io.BytesIO(bytes(100))).read() != second.open(io.BytesIO(bytes(100))).read()


@pytest.mark.parametrize("size", [0, 10, 16, CHUNK_BYTES, OVERLAP_FROM_BYTES, 500_000])
@pytest.mark.parametrize("difference", [-1, 1])
def test_a_source_that_is_shorter_or_longer_than_promised_is_noticed(
    size: int, difference: int, sealer: Sealer
) -> None:
    if size + difference < 0:
        return
    reader = sealer.begin(size).open(io.BytesIO(bytes(size + difference)))
    with pytest.raises(SourceSizeMismatch) as caught:
        reader.read()
    assert (caught.value.promised_bytes, caught.value.found_bytes) == (size, size + difference)
    # It does not turn into a clean end for somebody who asks again.
    with pytest.raises(SourceSizeMismatch):
        reader.read(10)
    with pytest.raises(RuntimeError):
        _ = reader.sealed_sha256


def test_content_that_openssl_could_not_open_is_refused_before_a_byte_is_written(sealer: Sealer) -> None:
    assert sealer.begin(profile.LARGEST_SMIME_CONTENT_BYTES).size_bytes < profile.LARGEST_SMIME_MESSAGE_BYTES
    with pytest.raises(MessageTooLarge) as caught:
        sealer.begin(profile.LARGEST_SMIME_CONTENT_BYTES + 1)
    assert caught.value.limit_bytes == 1_500_000_000
    with pytest.raises(ValueError, match="negative"):
        sealer.begin(-1)


def test_no_recipient_is_no_envelope(key_pair: KeyPair) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Sealer([])
    with pytest.raises(CertificateRejected):
        Sealer([key_pair.der, b"not a certificate"])


def test_the_same_certificate_twice_is_one_recipient(key_pair: KeyPair, other_key_pair: KeyPair) -> None:
    sealer = Sealer([key_pair.der, other_key_pair.der, key_pair.der])
    expected = tuple(hashlib.sha256(pair.der).hexdigest() for pair in (key_pair, other_key_pair))
    assert sealer.fingerprints == sealer.begin(1).fingerprints == expected


def test_the_content_key_is_neither_shown_nor_pickled(sealer: Sealer) -> None:
    sealing = sealer.begin(1)
    secret = sealing._Sealing__key  # type: ignore[attr-defined]
    for shown in (repr(sealing), str(sealing), f"{sealing}", repr(sealing.open(io.BytesIO(b"x")))):
        assert repr(secret)[2:-1] not in shown and secret.hex() not in shown
    with pytest.raises(TypeError):
        pickle.dumps(sealing)


def test_threads_share_a_sealer(sealer: Sealer, private_key: PrivateKey) -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(6):
            content = bytes((number,)) * (OVERLAP_FROM_BYTES + turn)
            out = io.BytesIO()
            reader = sealer.begin(len(content)).open(Drip(content, 50_000))
            opened = open_envelope(io.BytesIO(reader.read()), out, private_key)
            if out.getvalue() != content or opened.sealed_sha256 != reader.sealed_sha256:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def _seal_in_child(sealer: Sealer, results: object) -> None:
    reader = sealer.begin(1 << 20).open(io.BytesIO(bytes(1 << 20)))
    envelope = reader.read()
    results.put(reader.sealed_sha256 == hashlib.sha256(envelope).hexdigest())  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_worker_seals_with_a_sealer_used_before(sealer: Sealer) -> None:
    sealer.begin(1 << 20).open(io.BytesIO(bytes(1 << 20))).read()  # the helper thread is running
    context = get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=_seal_in_child, args=(sealer, results))
    child.start()
    child.join(20)
    if child.is_alive():
        child.kill()
        pytest.fail("the forked worker hangs")
    assert results.get() is True


def test_a_reader_closed_early_does_not_look_like_a_complete_one(sealer: Sealer) -> None:
    with sealer.begin(1 << 20).open(io.BytesIO(bytes(1 << 20))) as reader:
        reader.read(500_000)
    with pytest.raises(ValueError, match="closed"):
        reader.read(1)
    with pytest.raises(RuntimeError):
        _ = reader.plain_sha256


def test_seal_file_writes_a_private_file_and_says_what(
    tmp_path: Path, key_pair: KeyPair, private_key: PrivateKey
) -> None:
    source, out = tmp_path / "call.wav", tmp_path / "call.wav.enc"
    source.write_bytes(b"RIFF" + bytes(1000))
    sealed = seal_file(source, out, [key_pair.der])
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert out.stat().st_size == sealed.size_bytes
    assert sealed.sealed_sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["call.wav", "call.wav.enc"]


def test_seal_file_leaves_nothing_when_it_fails(
    tmp_path: Path, key_pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "call.wav", tmp_path / "call.wav.enc"
    with source.open("wb") as sparse:
        sparse.truncate(profile.LARGEST_SMIME_CONTENT_BYTES + 1)
    out.write_bytes(b"older")
    with pytest.raises(MessageTooLarge):
        seal_file(source, out, [key_pair.der])
    # Given a disk that fills up at the end
    source.write_bytes(bytes(300_000))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        seal_file(source, out, [key_pair.der])
    assert out.read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["call.wav", "call.wav.enc"]
