"""Distinguished names and serial numbers for people's eyes.

Source: RFC 4514 (short attribute names), `openssl x509 -serial`.
"""

from __future__ import annotations

from typing import Any

from asn1crypto import x509

LONGEST_NAME = 300  # characters of a subject or issuer that are shown

_SHORT_NAMES = {
    "common_name": "CN",
    "organization_name": "O",
    "organizational_unit_name": "OU",
    "country_name": "C",
    "locality_name": "L",
    "state_or_province_name": "ST",
    "email_address": "emailAddress",
    "serial_number": "serialNumber",
    "domain_component": "DC",
}


def display_serial(serial: int) -> str:
    """Upper hex as `openssl x509 -serial` prints it."""
    digits = f"{abs(serial):X}"
    return ("-" if serial < 0 else "") + "0" * (len(digits) % 2) + digits


def display_name(der: bytes) -> str:
    """A DER distinguished name for people; hex when it cannot be read."""
    try:
        return display(x509.Name.load(der, strict=True))
    except Exception:  # asn1crypto lets a dozen kinds of errors through on hostile input
        return "#" + der[:64].hex()


def name_values(name: Any) -> list[Any]:
    return [field for part in name.chosen for field in part]


def display(name: Any) -> str:
    """A distinguished name for people: hostile text in it cannot break a line, a terminal or a page's layout."""
    shown = []
    for field in name_values(name):
        label = _SHORT_NAMES.get(field["type"].native, field["type"].dotted)
        try:
            value = str(field["value"].native)
        except (ValueError, TypeError):
            value = "#" + field["value"].dump().hex()
        escaped = "".join(
            character
            if character.isprintable()
            else "".join(f"\\{octet:02X}" for octet in character.encode("utf-8", "replace"))
            for character in value.replace("\\", "\\\\").replace(",", "\\,")
        )
        shown.append(f"{label}={escaped}")
    text = ", ".join(shown)
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"
