"""Which names this server goes by: a request for another one comes from a page that had its name point here.

Source: RFC 9110 sections 7.2 and 7.4, RFC 9112 section 3.2; OWASP, "DNS rebinding".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from starlette.types import Scope

from recpipe.settings import Settings, split_listen

_AUTHORITY = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]{0,5})?", re.IGNORECASE)
_ABSOLUTE = re.compile(rb"https?://(?P<authority>[^/?#]*)(?P<path>[^?#]*)", re.IGNORECASE)


class Hosts:
    """The names that are taken.

    Every address is, and so is localhost: rebinding needs a name that the attacker's own name server answers for.

    Args:
        names: without port; `*.example.com` for all names below one, `*` for any.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        given = {name.lower().rstrip(".") for name in names} - {""}
        self._any = "*" in given
        self._names = given | {"localhost"}
        self._below = (".localhost", *(name[1:] for name in given if name.startswith("*.")))

    @classmethod
    def of(cls, settings: Settings, listen: str) -> Hosts:
        """What the settings say of a server that listens there."""
        host = split_listen(listen)[0] if listen else ""
        return cls((host, urlsplit(settings.http_url).hostname or "", *settings.http_allowed_hosts))

    def take(self, authority: str) -> bool:
        """Whether a Host header, or the authority of a URL, is one of ours."""
        found = _AUTHORITY.fullmatch(authority)
        if found is None:
            return False
        name = (found["name"] or "").lower().removesuffix(".")
        return self._any or name in self._names or name.endswith(self._below) or _is_address(found["address"] or name)


def with_target(scope: Scope) -> Scope:
    """The scope of a request whose target is a whole URL, as if it had been sent with a path and that URL's Host.

    Source: RFC 9112 section 3.2.2 (absolute-form; its host is the one that counts).
    """
    found = _ABSOLUTE.match(scope.get("raw_path") or b"")
    if found is None:
        return scope
    path: bytes = found["path"] or b"/"
    headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
    return {
        **scope,
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "headers": [(b"host", found["authority"]), *headers],
    }


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
