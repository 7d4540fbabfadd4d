"""multipart/form-data, read as it comes: the one file goes to a sink, the texts are kept. The home of python-multipart.

The framework's own form parser would put the file into a temporary folder first: audio in the clear where none may be.

Source: RFC 7578.
"""

from __future__ import annotations

from collections.abc import Callable

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from recpipe.errors import InputInvalid

MOST_TEXTS = 50
LONGEST_TEXT = 4096  # bytes


class FormReader:
    """Feed it the body; it calls back with the file.

    Args:
        content_type: of the request, with its boundary.
        begin: called once with the texts that came before the file and the file's name; returns what takes its bytes.

    Raises:
        InputInvalid: it is no such form, has two files, or too many or too long texts. From any method.
    """

    def __init__(self, content_type: str, begin: Callable[[dict[str, str], str], Callable[[bytes], object]]) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise _invalid("The body is no multipart/form-data form with a boundary.")
        self._begin = begin
        self._sink: Callable[[bytes], object] | None = None
        self._in_file = False
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._text = b""
        self._ended = False
        self.texts: dict[str, str] = {}
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError:
            raise _invalid("The boundary of the form is too long.") from None

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise _invalid("The form is malformed.") from None

    def end(self) -> None:
        """Say that the body is over."""
        if not self._ended:
            raise _invalid("The form ends before its last boundary.")
        if self._sink is None:
            raise _invalid("The form has no file. Send one part with a file name.")

    def _on_part_begin(self) -> None:
        self._disposition = self._text = b""
        self._in_file = False

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if (file_name := options.get(b"filename")) is None:
            if len(self.texts) >= MOST_TEXTS:
                raise _invalid(f"The form has more than {MOST_TEXTS} texts.")
            return
        if self._sink is not None:
            raise _invalid("The form has more than one file. Send each in a request of its own.")
        self._in_file = True
        self._sink = self._begin(self.texts, file_name.decode("utf-8", "replace"))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            assert self._sink is not None
            self._sink(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > LONGEST_TEXT:
            raise _invalid(f"A text of the form has more than {LONGEST_TEXT} bytes.")

    def _on_part_end(self) -> None:
        if not self._in_file:
            self.texts[self._name] = self._text.decode("utf-8", "replace")

    def _on_end(self) -> None:
        self._ended = True


def _invalid(message: str) -> InputInvalid:
    return InputInvalid("body", message)
