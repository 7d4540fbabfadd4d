"""The offline page: one HTML file that opens sealed recordings without a server, to download and keep.

It speaks every language there is: which one, the browser of whoever opens it says.

Scripts loaded by name do not work from `file://`, so its modules are joined into one inline script. The policy in its
head names that script and its style by their hashes and forbids requests: whatever a recording or a file name may
contain, no other script runs and no key leaves. Policies govern neither navigation nor WebRTC: the script uses none.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from recpipe import languages
from recpipe.web import words

_MODULES = (
    "words.js",
    "envelope-base.js",
    "sha256.js",
    "sha1.js",
    "des.js",
    "envelope-password.js",
    "envelope-pkcs12.js",
    "envelope-key.js",
    "envelope.js",
    "keybox.js",
    "gsm.js",
    "zip.js",
    "offline.js",
)  # each after what it imports
_IMPORT = re.compile(r'^(?:import|export)\s*\{[^}]*\}\s*from\s*"\./[a-z0-9-]+\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|class|const)\b)", re.MULTILINE)
_MODULE_SYNTAX = re.compile(r"^\s*(?:import|export)\b", re.MULTILINE)


@cache
def page() -> str:
    """The whole page, the same text every time.

    Returns:
        HTML to serve as a download, or with `content_security_policy()` as its header: a stricter or nonce-based
        policy of the application would block the inline script.
    """
    template = _asset("offline.html")
    for name, value in _parts():
        template = template.replace("{{" + name + "}}", value)
    return template


def _parts() -> tuple[tuple[str, str], ...]:
    texts = {language: words.of_scripts(language, *_MODULES, "offline.html") for language in languages.known()[1:]}
    return (
        ("policy", content_security_policy()),
        ("style", _style()),
        ("words", words.as_json(texts)),
        ("script", _script()),
    )


@cache
def content_security_policy() -> str:
    """The policy of the page, as in its head.

    Source: CSP Level 3, sections 2.3.1 (hashes) and 6; Trusted Types for `require-trusted-types-for`.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(_script())}'",
            f"style-src '{_hash(_style())}'",
            "media-src blob:",
            "connect-src 'none'",
            "form-action 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


@cache
def _script() -> str:
    joined = "\n".join(_EXPORT.sub("", _IMPORT.sub("", _asset(name))) for name in _MODULES)
    # A changed asset must fail here and not in the browser of somebody who downloaded the page.
    if _MODULE_SYNTAX.search(joined) or "</script" in joined.lower() or "<!--" in joined:
        raise ValueError(
            "a script of the offline page cannot be inlined: import, export, </script or <!-- is left in it"
        )
    return joined


@cache
def _style() -> str:
    return _asset("offline.css")


def _asset(name: str) -> str:
    return files("recpipe.web").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
