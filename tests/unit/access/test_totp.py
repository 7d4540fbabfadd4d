from __future__ import annotations

import base64
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from recpipe.access import totp

RFC_SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("count", "code"),
    list(
        enumerate(["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"])
    ),
)
def test_codes_are_those_of_rfc_4226_appendix_d(count: int, code: str) -> None:
    assert totp.code_at(RFC_SECRET, count) == code


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_codes_are_those_of_rfc_6238_appendix_b(seconds: int, code: str) -> None:
    assert totp.code_at(RFC_SECRET, seconds // totp.STEP_SECONDS, digits=8) == code


@pytest.mark.parametrize(("late_seconds", "fits"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_a_code_fits_one_step_early_or_late(late_seconds: int, fits: bool) -> None:
    secret = totp.new_secret()
    code = totp.code_at(base64.b32decode(secret), 1_000_000)
    now = datetime.fromtimestamp(1_000_000 * 30 + 15 + late_seconds, UTC)

    assert totp.matching_step(secret, code, now) == (1_000_000 if fits else None)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "12345６"])
def test_what_is_no_code_fits_nothing(code: str) -> None:
    assert totp.matching_step(totp.new_secret(), code, datetime.now(UTC)) is None


def test_a_code_typed_with_a_space_fits() -> None:
    now = datetime.fromtimestamp(59, UTC)
    assert totp.matching_step(base64.b32encode(RFC_SECRET).decode(), "287 082", now) == 1


def test_the_uri_carries_secret_and_names_to_the_app() -> None:
    split = urlsplit(totp.uri("ABC", "ann@example.com", "Acme & Sons"))

    assert (split.scheme, split.netloc, split.path) == ("otpauth", "totp", "/Acme%20%26%20Sons:ann%40example.com")
    assert parse_qs(split.query) == {"secret": ["ABC"], "issuer": ["Acme & Sons"], "digits": ["6"], "period": ["30"]}


def test_recovery_codes_are_ten_and_their_writing_does_not_matter() -> None:
    codes = totp.new_recovery_codes()

    assert len(set(codes)) == 10
    assert all(len(code.replace("-", "")) * 5 >= 128 for code in codes)  # bits: what is kept of them is a plain SHA-256
    assert totp.recovery_hash(codes[0].upper().replace("-", " ")) == totp.recovery_hash(codes[0])
    assert totp.recovery_hash(codes[0]) != totp.recovery_hash(codes[1])
