from __future__ import annotations

import pytest

from recpipe.access.candidates import is_inside
from recpipe.access.lockout import normal_network
from recpipe.addresses import is_loopback, origin_of, parse_address, plain_address


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:c000:207", "192.0.2.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::192.0.2.7", "::c000:207"),  # the deprecated IPv4-compatible form is another host
    ],
)
def test_an_address_is_the_same_however_a_socket_writes_it(written: str, plain: str) -> None:
    assert plain_address(written) == plain
    assert str(parse_address(written)) == plain
    assert normal_network(written) == normal_network(plain)
    assert is_inside(written, [plain])


@pytest.mark.parametrize(
    ("written", "is_here"),
    [("127.3.2.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("192.0.2.7", False), ("localhost", False)],
)
def test_an_address_of_this_machine_alone_is_known(written: str, is_here: bool) -> None:
    assert is_loopback(written) is is_here


@pytest.mark.parametrize(
    "text", ["", "localhost", "192.0.2", "192.0.2.07", "::ffff:192.0.2.256", "192.0.2.7:21", "[::1]"]
)
def test_text_that_is_no_address_stays_as_it_is(text: str) -> None:
    assert parse_address(text) is None
    assert plain_address(text) == text
    assert not is_inside(text, ["0.0.0.0/0", "::/0"])


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Portal.Example:443/calls", "https://portal.example"),
        ("http://portal.example:80", "http://portal.example"),
        ("https://portal.example:8443", "https://portal.example:8443"),
        ("http://portal.example:443", "http://portal.example:443"),
        ("https://ann@[2001:db8::1]:443/", "https://[2001:db8::1]"),
        ("", ""),
        ("portal.example", ""),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(url: str, origin: str) -> None:
    assert origin_of(url) == origin
