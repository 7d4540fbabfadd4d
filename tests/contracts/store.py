"""What every store promises: inherit `StoreContract`, give it a `store` fixture, and all of it is tested."""

from __future__ import annotations

import hashlib
import io
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest

from recpipe.errors import ObjectExists, ObjectMissing, RecpipeError, StoreRejected
from recpipe.model import StoredObject
from recpipe.store import layout
from recpipe.store.base import MOST_NOTE_BYTES, Store

PART = 5 * 1024 * 1024  # the least that S3 allows
SIZES = [0, 1, 600_000, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 12_345]

HOSTILE_KEYS = [
    "",
    "/",
    "/etc/passwd",
    "..",
    ".",
    "a/../b",
    "../a",
    "a/..",
    "a//b",
    "a/",
    "./a",
    "a/./b",
    ".partial/a",
    "a/.hidden",
    "A",
    "a b",
    "a\\b",
    "a\x00b",
    "a\n",
    "a\nb",
    "ä",
    "١",
    "a:b",
    "a%2f..%2fb",
    "a?versionId=1",
    "~",
    "*",
    "x" * 201,
    "/".join(["x" * 100] * 10),
]


@cache
def content(size: int, seed: int = 0) -> bytes:
    """Bytes without repetition, so that swapped parts or ranges show."""
    return random.Random(seed).randbytes(size)


class Trickle:
    """A body that gives its bytes in small, uneven pieces, once, and counts them."""

    def __init__(self, data: bytes, piece: int = 70_001) -> None:
        self._stream = io.BytesIO(data)
        self._piece = piece
        self.given = 0

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._stream.readinto(buffer[: self._piece])
        self.given += count
        return count


class SpoolGone(RecpipeError):
    """What a body raises when the file behind it fails."""


class Breaking(Trickle):
    """A body whose source fails after `good` bytes."""

    def __init__(self, data: bytes, good: int, error: Exception) -> None:
        super().__init__(data)
        self._good = good
        self._error = error

    def readinto(self, buffer: memoryview, /) -> int:
        if self.given >= self._good:
            raise self._error
        return super().readinto(buffer)


def put(store: Store, key: str, data: bytes) -> StoredObject:
    return store.put(key, Trickle(data), len(data))


def get(store: Store, key: str, start: int = 0, length: int | None = None) -> bytes:
    with store.read(key, start, length) as stream:
        return stream.read()


class StoreContract:
    """Inherit this in a class named Test... that has a fixture `store` (empty, parts of `PART` bytes)."""

    many = 120  # objects in the listing test; more than a page where the store has pages
    sorts_by_whole_key = True

    # --- put ----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [600_000, PART + 1])
    def test_a_note_is_kept_with_its_object_and_goes_with_it(self, store: Store, size: int) -> None:
        key, data, told = "t/r-1", content(size), []

        def note(sha256: str) -> bytes:
            told.append(sha256)
            return bytes(range(256)) * 5 + b"x" * (MOST_NOTE_BYTES - 1280)

        store.put(key, io.BytesIO(data), size, note)
        assert set(told) <= {"", hashlib.sha256(data).hexdigest()}
        assert store.head(key).note == note("")
        store.put(key, io.BytesIO(data), size, lambda sha256: b"another")
        assert store.head(key).note == note("")
        assert [found.key for found in store.list()] == [key]
        store.delete(key)
        store.put(key, io.BytesIO(data), size)
        assert store.head(key).note == b""

    @pytest.mark.parametrize("size", SIZES)
    def test_what_was_put_is_read_back_unchanged(self, store: Store, size: int) -> None:
        data = content(size)
        before = datetime.now(UTC)
        stored = put(store, "t/r-1", data)
        assert (stored.key, stored.size_bytes) == ("t/r-1", size)
        assert stored.sha256 == hashlib.sha256(data).hexdigest()
        assert stored.modified_at is not None
        assert stored.modified_at.tzinfo is UTC
        assert abs(stored.modified_at - before) < timedelta(minutes=1)
        assert get(store, "t/r-1") == data
        there = store.head("t/r-1")
        assert there.size_bytes == size
        assert there.sha256 in ("", stored.sha256)

    @pytest.mark.parametrize("size", [0, 100_000, 2 * PART + 1])
    def test_the_same_bytes_again_are_success(self, store: Store, size: int) -> None:
        first = put(store, "t/r-1", content(size))
        again = put(store, "t/r-1", content(size))
        assert (again.sha256, again.size_bytes) == (first.sha256, first.size_bytes)
        assert [o.key for o in store.list()] == ["t/r-1"]

    @pytest.mark.parametrize("other", [99_999, 100_000, 2 * PART + 1])
    def test_other_bytes_under_a_taken_key_are_refused_and_the_first_stay(self, store: Store, other: int) -> None:
        put(store, "t/r-1", content(100_000))
        with pytest.raises(ObjectExists) as raised:
            put(store, "t/r-1", content(other, seed=1))
        assert raised.value.key == "t/r-1"
        assert get(store, "t/r-1") == content(100_000)

    def test_other_bytes_of_the_same_size_in_parts_are_refused(self, store: Store) -> None:
        put(store, "t/r-1", content(PART + 1))
        with pytest.raises(ObjectExists):
            put(store, "t/r-1", content(PART + 1, seed=1))
        assert get(store, "t/r-1") == content(PART + 1)

    @pytest.mark.parametrize(
        ("has", "promised"),
        [
            *[(0, 1), (9, 10), (11, 10), (1, 0), (PART, PART + 1), (PART + 1, PART), (2 * PART + 1, 2 * PART)],
            *[(PART, 2 * PART), (PART + 7, 2 * PART), (2 * PART, 2 * PART + 1)],
        ],
    )
    def test_a_body_of_another_length_than_promised_leaves_nothing(self, store: Store, has: int, promised: int) -> None:
        with pytest.raises(StoreRejected, match="promised"):
            store.put("t/r-1", Trickle(content(has)), promised)
        with pytest.raises(ObjectMissing):
            store.head("t/r-1")
        assert list(store.list()) == []

    @pytest.mark.parametrize("error", [SpoolGone("the file went away"), OSError(5, "Input/output error")])
    @pytest.mark.parametrize("size", [400_000, 2 * PART])
    def test_an_error_of_the_body_passes_through_and_leaves_nothing(
        self, store: Store, size: int, error: Exception
    ) -> None:
        with pytest.raises(type(error)) as raised:
            store.put("t/r-1", Breaking(content(size), size // 2, error), size)
        assert raised.value is error
        assert list(store.list()) == []
        # And the key is as good as new.
        put(store, "t/r-1", content(size))

    def test_a_body_is_read_once_from_start_to_end(self, store: Store) -> None:
        body = Trickle(content(PART + 5))
        store.put("t/r-1", body, PART + 5)
        assert body.given == PART + 5

    def test_writers_of_the_same_bytes_all_succeed(self, store: Store) -> None:
        data = content(200_000)
        with ThreadPoolExecutor(4) as pool:
            stored = list(pool.map(lambda _: put(store, "t/r-1", data), range(4)))
        assert {o.sha256 for o in stored} == {hashlib.sha256(data).hexdigest()}
        assert get(store, "t/r-1") == data

    def test_of_writers_of_different_bytes_exactly_one_wins(self, store: Store) -> None:
        def attempt(seed: int) -> int | None:
            try:
                put(store, "t/r-1", content(150_000, seed))
            except ObjectExists:
                return None
            return seed

        with ThreadPoolExecutor(3) as pool:
            winners = [seed for seed in pool.map(attempt, range(3)) if seed is not None]
        assert len(winners) == 1
        assert get(store, "t/r-1") == content(150_000, winners[0])

    def test_many_threads_may_use_one_store(self, store: Store) -> None:
        def round_trip(n: int) -> bool:
            put(store, f"t/r-{n}", content(50_000 + n, n))
            return get(store, f"t/r-{n}") == content(50_000 + n, n)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(round_trip, range(24)))

    # --- read ---------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("start", "length"),
        [
            *[(0, 1), (0, None), (1, None), (999, None), (500, 100), (0, 1000), (999, 1), (500, 5000)],
            *[(0, 0), (500, 0), (1000, None), (1000, 5), (1000, 0)],
        ],
    )
    def test_a_range_gives_exactly_its_bytes(self, store: Store, start: int, length: int | None) -> None:
        data = content(1000)
        put(store, "t/r-1", data)
        assert get(store, "t/r-1", start, length) == data[start : None if length is None else start + length]

    @pytest.mark.parametrize(("start", "length"), [(0, None), (0, 0), (0, 10)])
    def test_an_empty_object_reads_as_nothing(self, store: Store, start: int, length: int | None) -> None:
        put(store, "t/r-1", b"")
        assert get(store, "t/r-1", start, length) == b""

    def test_a_range_across_parts_gives_exactly_its_bytes(self, store: Store) -> None:
        data = content(2 * PART + 12_345)
        put(store, "t/r-1", data)
        assert get(store, "t/r-1", PART - 10, 20) == data[PART - 10 : PART + 10]
        assert get(store, "t/r-1", 2 * PART - 1, None) == data[2 * PART - 1 :]

    @pytest.mark.parametrize(("start", "length"), [(-1, None), (0, -1), (-5, 3)])
    def test_a_negative_range_is_a_mistake_of_the_caller(self, store: Store, start: int, length: int | None) -> None:
        put(store, "t/r-1", b"abc")
        with pytest.raises(ValueError, match="range"):
            store.read("t/r-1", start, length)

    def test_a_stream_can_be_read_in_pieces_and_into_a_buffer(self, store: Store) -> None:
        data = content(700_000)
        put(store, "t/r-1", data)
        with store.read("t/r-1", 100) as stream:
            assert stream.read(10) == data[100:110]
            buffer = bytearray(300_000)
            assert stream.readinto(buffer) == len(buffer)  # type: ignore[attr-defined]
            assert bytes(buffer) == data[110:300_110]
            assert stream.read() == data[300_110:]
            assert stream.read(1) == b""

    def test_a_stream_closed_early_harms_nobody(self, store: Store) -> None:
        data = content(2 * PART)
        put(store, "t/r-1", data)
        for n in range(20):
            with store.read("t/r-1", n) as stream:
                assert stream.read(5) == data[n : n + 5]
        assert get(store, "t/r-1", 0, 100) == data[:100]

    # --- missing, delete ----------------------------------------------------------------------------------

    def test_a_missing_object_is_named(self, store: Store) -> None:
        put(store, "t/r-1", b"x")
        for ask in (store.head, store.read, lambda key: store.read(key, 0, 0), lambda key: store.read(key, 5, 5)):
            for key in ("t/r-2", "t/r-1/deeper", "t"):
                with pytest.raises(ObjectMissing) as raised:
                    ask(key)
                assert raised.value.key == key

    def test_deleting_twice_is_no_error(self, store: Store) -> None:
        put(store, "t/r-1", b"x")
        put(store, "t/r-2", b"y")
        for _ in range(2):
            store.delete("t/r-1")
        store.delete("t/never-there")
        store.delete("t")
        store.delete("t/r-2/deeper")
        with pytest.raises(ObjectMissing):
            store.read("t/r-1")
        assert get(store, "t/r-2") == b"y"

    def test_a_deleted_key_can_be_used_again(self, store: Store) -> None:
        put(store, "t/r-1", b"x")
        store.delete("t/r-1")
        put(store, "t/r-1", b"other")
        assert get(store, "t/r-1") == b"other"

    # --- list ---------------------------------------------------------------------------------------------

    def test_a_listing_is_in_key_order_and_complete(self, store: Store) -> None:
        keys = [f"t{n % 3}/{n % 7:02x}/r-{n:05d}" for n in range(self.many)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: put(store, key, key.encode()), keys))
        listed = list(store.list())
        assert [o.key for o in listed] == sorted(keys)
        assert all(o.size_bytes == len(o.key) for o in listed)
        for prefix in ("t1/", "t1/0", "t1/03/r-", "t", "none"):
            assert [o.key for o in store.list(prefix)] == sorted(k for k in keys if k.startswith(prefix)), prefix

    def test_a_listing_keeps_names_around_the_slash_apart(self, store: Store) -> None:
        keys = ["a/b", "a-b", "a.b", "a0b", "a_b", "a/b-c", "a/b.c/d", "a/b0"]
        for key in keys:
            put(store, key, b"x")
        # Folders are where stores differ: some sort "a" where others sort "a/".
        order = sorted if self.sorts_by_whole_key else set
        for prefix in ("", "a", "a/", "a/b", "a/b.", "a-", "none"):
            listed = [o.key for o in store.list(prefix)]
            assert order(listed) == order(k for k in keys if k.startswith(prefix)), prefix
            assert len(listed) == len(set(listed))
            if self.sorts_by_whole_key:
                assert listed == sorted(listed)

    def test_a_listing_is_lazy(self, store: Store) -> None:
        put(store, "t/r-1", b"x")
        put(store, "t/r-2", b"x")
        assert next(store.list()).key == "t/r-1"

    # --- keys ---------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    def test_a_key_that_the_layout_cannot_make_is_refused_everywhere(self, store: Store, key: str) -> None:
        for ask in (
            lambda: put(store, key, b"x"),
            lambda: store.read(key),
            lambda: store.head(key),
            lambda: store.delete(key),
            lambda: store.presign(key, seconds=1, download_name="", media_type="audio/wav"),
        ):
            with pytest.raises(StoreRejected, match="not an object key"):
                ask()

    @pytest.mark.parametrize("prefix", ["..", "../", "/", "a/../", "A", "a//", "a*", "\x00"])
    def test_a_prefix_that_no_key_has_is_refused(self, store: Store, prefix: str) -> None:
        with pytest.raises(StoreRejected, match="not an object key"):
            list(store.list(prefix))

    def test_what_the_layout_makes_is_accepted(self, store: Store) -> None:
        tenant, recording = "0123456789abcdef" * 2, "fedcba9876543210" * 2
        key = layout.new_object_key(tenant, recording, "spool-1")
        put(store, key, b"x")
        assert [o.key for o in store.list(layout.attempt_prefix(tenant, recording, "spool-1"))] == [key]
        assert [o.key for o in store.list(layout.recording_prefix(tenant, recording))] == [key]
        assert list(store.list(layout.attempt_prefix(tenant, recording, "spool-2"))) == []
