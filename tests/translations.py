"""Keep the catalogues of recpipe/locales at what the code says.

scripts/languages            put every text of the code into every catalogue; what is new is left empty, to translate
scripts/languages --check    end with 1 where a catalogue is not whole, and say what it lacks
scripts/languages LANG       begin a catalogue for another language, such as it or pt_BR

The same code gives the same bytes: there are no dates and no line numbers in a catalogue.
"""

from __future__ import annotations

import ast
import io
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from string import Formatter

from babel.core import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
LOCALES = ROOT / "recpipe" / "locales"
WIDTH = 120

# What is told programs and whoever is at the command line, which speak English.
_ENGLISH = (
    "recpipe/cli/",
    "recpipe/web/api/",
    "recpipe/samples/",
    "recpipe/settings.py",
    "recpipe/recordings/recovery_key.py",
)
# The argument of a call that is a text to be shown. An error makes a message of its text.
_PYTHON = {
    "message": (0,),
    "counted": (0, 1),
    **dict.fromkeys(("InputInvalid", "Conflict", "FieldRefused", "SignInRefused"), (1,)),
    **dict.fromkeys(("QueryInvalid", "NotFound", "Forbidden", "AlreadyExists"), (0,)),
}
_TEMPLATE = {"_": None, "gettext": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2), "npgettext": ((1, "c"), 2, 3)}
# Looked for one after the other: Babel finds no call inside of another.
_SCRIPT = (
    {"t": None, "tn": (1, 2)},
    dict.fromkeys(
        (
            *("EnvelopeMalformed", "EnvelopeUnsupported", "KeyUnusable", "BrowserUnable", "NotFetched"),
            *("FaxUnreadable", "ZipUnreadable", "super"),
        )
    ),
)


_OPTIONS = {
    "trimmed": "true",
    "silent": "false",
    "trim_blocks": "true",
    "lstrip_blocks": "true",
    "encoding": "utf-8",
    "parse_template_string": "true",
}


def extracted() -> Catalog:
    """Every text of the code, with the files that it is in."""
    found = Catalog(charset="utf-8")
    for path in sorted((ROOT / "recpipe").rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(_ENGLISH):
            continue
        for text, context in _texts(path):
            found.add(text, locations=[(name, 0)], context=context)
    return found


def _texts(path: Path) -> Iterator[tuple[str | tuple[str, ...], str | None]]:
    if path.name == "offline.html":
        for text in Marked.of(path.read_text(encoding="utf-8")):
            yield text, None
        return
    if path.suffix == ".py":
        yield from _of_python(path)
    elif path.suffix in (".js", ".html"):
        kind = "javascript" if path.suffix == ".js" else "jinja2.ext:babel_extract"
        for keywords in _SCRIPT if path.suffix == ".js" else (_TEMPLATE,):
            for _, text, _, context in extract(kind, io.BytesIO(path.read_bytes()), keywords, (), _OPTIONS):
                if text:
                    yield text, context


def _of_python(path: Path) -> Iterator[tuple[str | tuple[str, ...], None]]:
    # Babel's own looks for names alone, and takes a variable of such a name, or half of an f-string, for a text.
    made = {**_PYTHON, "__init__": (0,)} if path.name == "errors.py" else _PYTHON  # an error hands its text to its base
    for node in ast.walk(ast.parse(path.read_bytes())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        places = made.get(name, ())
        found = [node.args[place] for place in places if place < len(node.args)]
        texts = tuple(one.value for one in found if isinstance(one, ast.Constant) and isinstance(one.value, str))
        if texts and len(texts) == len(places) and re.search("[a-z]", texts[0]):
            yield texts if name == "counted" else texts[0], None


class Marked(HTMLParser):
    """The texts of the offline page: those of elements with `data-t`, with {1}, {2}, ... for the elements inside."""

    def __init__(self) -> None:
        super().__init__()
        self._open: list[list[object]] = []  # text so far, elements inside; None: not marked
        self.found: list[str] = []

    @classmethod
    def of(cls, html: str) -> list[str]:
        parser = cls()
        parser.feed(html)
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._open:
            inside = self._open[-1]
            inside[1] = int(str(inside[1])) + 1
            inside[0] = f"{inside[0]}{{{inside[1]}}}"
        if tag not in ("input", "meta", "br", "link"):
            self._open.append(["", 0, "data-t" in dict(attrs)])

    def handle_endtag(self, tag: str) -> None:
        text, _, marked = self._open.pop()
        if marked:
            self.found.append(" ".join(str(text).split()))

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1][0] = f"{self._open[-1][0]}{data}"


def kept(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.stem)


def updated(path: Path, texts: Catalog) -> Catalog:
    """The catalogue as it should be: every text of the code and no other, with the translations there are."""
    old = kept(path)
    new = Catalog(locale=path.stem, charset="utf-8", header_comment=old.header_comment)
    # Its plural forms: those that gettext usually has, and not one more for millions.
    new.mime_headers = old.mime_headers
    for one in texts:
        if one.id:
            there = old.get(one.id, context=one.context)
            string = there.string if there and there.id == one.id and not there.fuzzy else _empty(one, new)
            new.add(
                one.id,
                string,
                sorted(set(one.locations)),
                user_comments=there.user_comments if there else (),
                context=one.context,
            )
    return new


def _empty(one: Message, catalogue: Catalog) -> str | tuple[str, ...]:
    return ("",) * catalogue.num_plurals if one.pluralizable else ""


def written(catalogue: Catalog) -> bytes:
    file = io.BytesIO()
    write_po(file, catalogue, width=WIDTH, sort_output=True, include_lineno=False, ignore_obsolete=True)
    head, _, rest = file.getvalue().decode().partition("\n\n")
    said = re.compile('[^"]|"(Language:|Plural-Forms|Content)')
    kept_lines = [line for line in head.splitlines() if said.match(line) and line != "#, fuzzy"]
    return "\n".join((*kept_lines, "", rest)).rstrip("\n").encode() + b"\n"


_TAG = re.compile(r"</?[a-z][^>]*>|&\w+;")
_PERCENT = re.compile(r"%(?:%|\((\w+)\)s)")


def _holes(text: str) -> tuple[list[str], list[str]]:
    """What is filled in, and the markup. A `%(name)s` may be used more than once: only which there are counts."""
    percent = {name for name in _PERCENT.findall(text) if name}
    try:
        braces = {f"{name}:{form}" for _, name, form, _ in Formatter().parse(text) if name}
    except ValueError:
        braces = {text}
    return sorted(percent | braces), sorted(_TAG.findall(text))


def faults(path: Path, texts: Catalog) -> list[str]:
    """What is not right in a catalogue, a line each."""
    catalogue = kept(path)
    found = []
    for one in texts:
        there = catalogue.get(one.id, context=one.context) if one.id else None
        if not one.id:
            continue
        first = one.id[0] if one.pluralizable else one.id
        if there is None or there.id != one.id:
            found.append(f"missing: {first}")
            continue
        strings = there.string if one.pluralizable else (there.string,)
        if there.fuzzy or not all(strings):
            found.append(f"not translated: {first}")
            continue
        if one.pluralizable and len(strings) != catalogue.num_plurals:
            found.append(f"has {len(strings)} plural forms, not {catalogue.num_plurals}: {first}")
        expected = _holes(one.id[-1] if one.pluralizable else one.id)
        for string in strings[-1:]:
            if _holes(string) != expected:
                found.append(f"other values or markup than the English: {first} -> {string}")
    known = {(one.id, one.context) for one in texts}
    gone = (one.id for one in catalogue if one.id and (one.id, one.context) not in known)
    found += [f"not in the code any more: {id_}" for id_ in gone]
    found += [f"obsolete: {id_}" for id_ in catalogue.obsolete]
    return found


def main(arguments: list[str]) -> int:
    texts = extracted()
    if arguments == ["--check"]:
        found = [f"{path.stem}: {fault}" for path in sorted(LOCALES.glob("*.po")) for fault in faults(path, texts)]
        print(*found, sep="\n")
        return 1 if any(found) else 0
    for language in arguments:
        Locale.parse(language)
        with (LOCALES / f"{language}.po").open("xb") as file:
            file.write(written(Catalog(locale=language, charset="utf-8", header_comment="# Terms:")))
    for path in sorted(LOCALES.glob("*.po")):
        catalogue = updated(path, texts)
        path.write_bytes(written(catalogue))
        left = sum(1 for one in catalogue if one.id and not (all(one.string) if one.pluralizable else one.string))
        print(f"{path.stem}: {len(catalogue)} texts, {left} to translate")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
