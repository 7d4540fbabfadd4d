"""Texts in settings that have to have a form, and what to write where they have another."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator


def _reachable(contact: str) -> str:
    """A URI in one line, as RFC 9116 section 2.5.3 wants it."""
    if contact and not re.fullmatch(r"(mailto:[^\s@]+@[^\s@]+|https://[^\s/]+\S*|tel:\+[0-9-]+)", contact):
        raise ValueError("write mailto:security@example.com, https://example.com/security or tel:+49-30-1234000")
    return contact


def _network(network: str) -> str:
    try:
        ipaddress.ip_network(network)
    except ValueError as error:
        raise ValueError(f"{network!r} is not a network such as 10.0.0.0/8 or fd00::/8: {error}") from error
    return network


def _one_line(name: str) -> str:
    if not name.strip() or not name.isprintable():
        raise ValueError("write a name of one line")
    return name.strip()


def _hexadecimal(color: str) -> str:
    if color and not re.fullmatch("#[0-9a-fA-F]{6}", color):
        raise ValueError(f"{color!r} is no colour: write # and six hexadecimal digits, such as #0b5cad")
    return color.lower()


Contact = Annotated[str, AfterValidator(_reachable)]
Network = Annotated[str, AfterValidator(_network)]
Name = Annotated[str, AfterValidator(_one_line)]
Color = Annotated[str, AfterValidator(_hexadecimal)]
