"""Forms as browsers send them, parsed in a thread: a form costs Python time, and the loop is everybody's."""

from __future__ import annotations

import io
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header

from recpipe.errors import InputInvalid
from recpipe.messages import message
from recpipe.web.routes import read_once

MOST_FIELDS = 2000


class Fields:
    """A form as it was sent: text that somebody typed, and files that somebody chose."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._files: dict[str, bytes] = {}
        self._left = MOST_FIELDS

    @classmethod
    def of(cls, content_type: str, body: bytes) -> Fields:
        """The fields of a body; none of a body that is no form.

        Raises:
            InputInvalid: it has more than 2,000 fields, or is malformed.
        """
        fields = cls()
        kind, options = parse_options_header(content_type)
        if kind == b"application/x-www-form-urlencoded":
            fields._take_urlencoded(body)
        elif kind == b"multipart/form-data":
            fields._take_multipart(options.get(b"boundary", b""), body)
        return fields

    def text(self, name: str, default: str = "") -> str:
        return self._texts.get(name, [default])[-1]

    def file(self, name: str) -> bytes:
        """What was chosen in a file field; nothing where none was chosen."""
        return self._files.get(name, b"")

    def all(self, name: str) -> list[str]:
        return list(self._texts.get(name, ()))

    def on(self, name: str) -> bool:
        return self.text(name) != ""

    def lines(self, name: str) -> list[str]:
        return [line.strip() for line in self.text(name).replace(",", "\n").splitlines() if line.strip()]

    def _take_urlencoded(self, body: bytes) -> None:
        try:
            pairs = parse_qsl(
                body.decode("utf-8", "replace"), keep_blank_values=True, errors="replace", max_num_fields=MOST_FIELDS
            )
        except ValueError:
            raise _too_many() from None
        for name, value in pairs:
            self._texts.setdefault(name, []).append(value)

    def _take_multipart(self, boundary: bytes, body: bytes) -> None:
        # As large as bodies are, so that nothing is written to a folder of temporary files.
        config = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}
        try:
            parser = FormParser(
                "multipart/form-data", self._take_field, self._take_file, boundary=boundary, config=config
            )
            parser.write(body)
            parser.finalize()
        except FormParserError:
            raise InputInvalid("body", "The form is malformed. Reload the page and send it again.") from None

    def _take_field(self, field: Field) -> None:
        self._count()
        self._texts.setdefault(_text(field.field_name), []).append(_text(field.value))

    def _take_file(self, file: File) -> None:
        self._count()
        held = file.file_object
        assert isinstance(held, io.BytesIO)
        self._files[_text(file.field_name)] = held.getvalue()

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _too_many()


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def _too_many() -> InputInvalid:
    return InputInvalid(
        "body", message("The form has more than {most_fields:,} fields. Send fewer at a time.", most_fields=MOST_FIELDS)
    )


@read_once
async def _body(request: Request) -> bytes:
    return await request.body()


@read_once
def _fields(request: Request, body: Annotated[bytes, Depends(_body)]) -> Fields:
    return Fields.of(request.headers.get("content-type", ""), body)


# Behind `SignedIn` in the parameters of an endpoint: nothing is read of somebody who is not signed in.
Form = Annotated[Fields, Depends(_fields)]
