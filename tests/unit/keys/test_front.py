"""The front of the package: a dozen names, and what its paragraph promises of them."""

from __future__ import annotations

import ast
import io
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

import keys
from tests.services.certificates import KeyPair


def test_what_the_package_says_of_itself_works(key_pair: KeyPair) -> None:
    certificate = keys.vet(key_pair.pem, now=datetime.now(UTC))
    content, envelope, out = b"a call" * 1000, io.BytesIO(), io.BytesIO()
    with keys.Sealer([certificate.der]).begin(len(content)).open(io.BytesIO(content)) as reader:
        shutil.copyfileobj(reader, envelope)  # type: ignore[misc]
    private_key = keys.load_private_key(key_pair.key_path.read_bytes())
    keys.open_envelope(io.BytesIO(envelope.getvalue()), out, private_key)
    assert out.getvalue() == content
    assert keys.inspect(io.BytesIO(envelope.getvalue())).matching([certificate.der])


def test_every_public_name_is_there_and_is_what_type_checkers_are_told() -> None:
    told = {
        (alias.asname or alias.name): (node.module, alias.name)
        for node in ast.walk(ast.parse(Path(keys.__file__).read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keys.")
        for alias in node.names
    }
    assert told == {name: (f"keys.{module}", attribute) for name, (module, attribute) in keys._HOMES.items()}
    assert sorted(told) == sorted(keys.__all__)
    assert all(getattr(keys, name) is not None for name in keys.__all__)


def test_any_other_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="decrypt"):
        keys.decrypt  # noqa: B018
