"""Every text that people read is in every catalogue, and every catalogue says it whole."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from recpipe import languages
from recpipe.errors import Forbidden, InputInvalid, LockedOut
from recpipe.messages import counted, message
from recpipe.web.dashboard.certificate_words import judged
from recpipe.web.dashboard.pages import _environment
from tests import translations

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "recpipe/web/templates"
ASSETS = ROOT / "recpipe/web/assets"

# The same in every language, or for no person to read.
NAMES = {"PBX", "SHA-256", "MP3", "FTP", "CSV", "WinSCP", "FileZilla", "lftp", "UTC", "Esc"}


@cache
def texts() -> frozenset[str]:
    """The English of every message."""
    found = [one.id for one in translations.extracted() if one.id]
    return frozenset(part for one in found for part in ([one] if isinstance(one, str) else one))


@pytest.mark.parametrize("language", languages.known()[1:])
def test_a_catalogue_has_every_text_translated_with_its_values_and_markup_and_no_other(language: str) -> None:
    assert translations.faults(ROOT / f"recpipe/locales/{language}.po", translations.extracted()) == []


@pytest.mark.parametrize("language", languages.known()[1:])
def test_a_catalogue_is_written_as_the_script_writes_it(language: str) -> None:
    path = ROOT / f"recpipe/locales/{language}.po"
    assert translations.written(translations.updated(path, translations.extracted())) == path.read_bytes()


def test_a_text_with_another_value_or_markup_than_the_english_is_told(tmp_path: Path) -> None:
    wrong = (ROOT / "recpipe/locales/de.po").read_text()
    wrong = wrong.replace("%(username)s entfernen?", "Entfernen?").replace("<b>Keine Antwort.</b>", "Keine Antwort.")
    (tmp_path / "de.po").write_text(wrong)
    found = translations.faults(tmp_path / "de.po", translations.extracted())
    assert [fault.partition(":")[0] for fault in found] == ["other values or markup than the English"] * 2


# Addresses, the first line of a key, what a code looks like, a country, an attribute that a macro makes.
_NO_WORDS = r'\S*://\S*|-----BEGIN [A-Z ]+-----|X{4}(?:-X{4})+|\bGB\b|aria-[a-z]+="[^"]*"'


# --- what is not marked -----------------------------------------------------------------------------------


def visible(template: str) -> str:
    """What of a template is neither Jinja nor inside of {% trans %}, with \0 for what is."""
    found, inside = [], False
    for _, kind, value in _environment().lex((TEMPLATES / template).read_text()):
        if kind == "name" and value in ("trans", "endtrans"):
            inside = value == "trans"
        found.append(value if kind == "data" and not inside else "\0")
    html = re.sub(r"<(svg|code|pre)\b.*?</\1>|<!--.*?-->", "", "".join(found), flags=re.DOTALL)
    return re.sub(r"\0+", "\0", html)


@pytest.mark.parametrize("template", sorted(path.name for path in TEMPLATES.glob("*.html")))
def test_no_text_of_a_template_is_only_english(template: str) -> None:
    html = visible(template)
    tags = re.findall(r"<[a-z][^>]*>", html)
    told = re.compile(r'\b(?:title|alt|aria-label|placeholder|data-confirm|data-none|data-some)="([^"]*)"')
    found = re.sub(r"<[^>]*>|&\w+;", " ", html).split("\0") + [text for tag in tags for text in told.findall(tag)]
    said = re.sub(_NO_WORDS, " ", " ".join(found))
    assert set(re.findall(r"[A-Za-z][\w-]+", said)) - NAMES == set()


@pytest.mark.parametrize("template", sorted(path.name for path in TEMPLATES.glob("*.html")))
def test_no_text_that_a_template_chooses_is_only_english(template: str) -> None:
    source = (TEMPLATES / template).read_text()
    found = []
    for code in re.findall(r"\{\{.*?\}\}|\{%.*?%\}", source, re.DOTALL):
        for before, text in re.findall(r'(\S*?)\s*"([^"]*)"', code):
            looks_read = re.match(r"[A-Z][a-z]+\b(?!/)", text) or re.search(r"[a-z]{2} [a-z]{2}", text)
            if looks_read and not before.endswith(("_(", '",')) and " ".join(text.split()) not in texts():
                found.append(text)
    assert [one for one in found if one not in ("search play",)] == []


def said_in(path: Path) -> list[str]:
    """String literals of a script that look like something to read."""
    code = re.sub(r"/\*[\s\S]*?\*/|(?<![:\"'`])//[^\n]*", "", path.read_text())
    found = []
    for text in re.findall(r'"((?:[^"\\\n]|\\.)*)"|`([^`]*)`', code):
        words = re.sub(r"\$\{.*?\}", "", "".join(text))
        sentence = re.match(r"✓? ?[A-Z][a-z]+( [a-z]|\.|…|$)", words) or re.search(r"[a-z]{2,} [a-z]{2,} [a-z]", words)
        if sentence and not re.search(r"[\[\]{}#=]|^(state|hint|notice|check)\b", words):
            found.append(words)
    return found


# What programs compare, or a console is told.
_CODE = {"Files", "Columns", "Width", "Height"}


@pytest.mark.parametrize("name", sorted(path.name for path in ASSETS.glob("*.js")))
def test_no_text_of_a_script_is_only_english(name: str) -> None:
    known = "\n".join(texts())
    found = [text for text in said_in(ASSETS / name) if text not in known and text not in _CODE]
    assert [
        one for one in found if not one.startswith(("not a ", "of another session", "no code in", "the page gave"))
    ] == []


@pytest.mark.parametrize("name", sorted(path.name for path in ASSETS.glob("*.js") if path.name != "words.js"))
def test_a_script_that_translates_imports_what_does_it_and_no_other_does(name: str) -> None:
    code = (ASSETS / name).read_text()
    imported = re.search(r'^import \{ (.*) \} from "\./words\.js";$', code, re.MULTILINE)
    called = {word for word in ("t", "tn", "translatePage") if re.search(rf"(?<![\w.$]){word}\(", code)}
    assert called == (set(imported[1].split(", ")) - {"language"} if imported else set())


def judgements() -> list[str]:
    """The sentences of `keys` about what somebody pasted, with X for what changes in them."""
    found = []
    for name in ("pasted", "certificate"):
        tree = ast.parse((ROOT / f"keys/{name}.py").read_text())
        parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                text = node.value
            else:
                continue
            if re.match(r"[A-ZX]\w* [\w-].*\. ?$", text) and "\n" not in text:
                found.append(text)
    documented = {
        text
        for name in ("pasted", "certificate")
        for text in re.findall(r'"""(.*?)"""', (ROOT / f"keys/{name}.py").read_text())
    }
    return [text for text in found if text not in documented]


@pytest.mark.parametrize("text", sorted(set(judgements())))
def test_what_is_said_of_a_certificate_is_not_only_english(text: str) -> None:
    assert judged(text) == text
    with languages.speaking("de"):
        assert judged(text) != text


def test_what_is_not_known_of_a_certificate_stays_whole() -> None:
    with languages.speaking("de"):
        assert (
            judged("There is nothing in it. Nobody ever wrote this.")
            == "There is nothing in it. Nobody ever wrote this."
        )
        assert judged("This RSA key has 1024 bits; at least 2048 are needed. Paste it alone.") == (
            "Dieser RSA-Schlüssel hat 1024 Bit; mindestens 2048 sind nötig. Fügen Sie es allein ein."
        )


# --- what is spoken ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en-US,en;q=0.9,de;q=0.8", "en"),
        ("xx, fr;q=0.3, es;q=0.7", "es"),
        ("de;q=0, fr;q=0.1", "fr"),
        ("*", "en"),
        ("de;q=x, ,;;,fr", "fr"),
        ("zz," * 5000, "en"),
    ],
)
def test_a_browser_gets_what_it_likes_best_of_what_there_is(asked: str, spoken: str) -> None:
    assert languages.best_of(asked) == spoken


def test_a_message_is_english_for_programs_and_another_language_for_whoever_speaks_it() -> None:
    text = message(
        "A note has at most {longest_note:,} characters; this one has {note:,}.", longest_note=4000, note=4321
    )
    assert text == "A note has at most 4,000 characters; this one has 4,321."
    with languages.speaking("de"):
        assert languages.said(text) == "Eine Notiz hat höchstens 4.000 Zeichen; diese hat 4.321."
    assert languages.said(text) == text


def test_what_an_error_says_can_be_said_in_another_language_and_what_is_in_it_as_well() -> None:
    with languages.speaking("fr"):
        assert languages.said(str(InputInvalid("name", "Give the search a name."))) == "Donnez un nom à la recherche."
        assert (
            languages.said(str(LockedOut(30))) == "Trop de connexions échouées. Attendez 30 secondes, puis réessayez."
        )
        assert "gérer les utilisateurs" in languages.said(str(Forbidden("manage users")))
    assert str(Forbidden("manage users")).startswith("This account is not allowed to manage users.")


@pytest.mark.parametrize(("count", "said"), [(1, "hace 1 día"), (2, "hace 2 días"), (0, "hace 0 días")])
def test_what_is_counted_has_the_form_of_its_number(count: int, said: str) -> None:
    with languages.speaking("es"):
        assert languages.said(counted("{count} day ago", "{count} days ago", count)) == said


def test_what_is_in_no_catalogue_and_what_somebody_typed_stay_as_they_are() -> None:
    with languages.speaking("de"):
        assert languages.said(message("Nobody ever wrote this.")) == "Nobody ever wrote this."
        assert languages.said("Search") == "Search"


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "Sat 28 Nov 2026, 09:05:07"),
        ("de", "Sa., 28. Nov. 2026, 09:05:07"),
        ("fr", "sam. 28 nov. 2026, 09:05:07"),
        ("es", "sáb, 28 nov 2026, 09:05:07"),
    ],
)
def test_a_time_is_written_as_its_language_writes_it(language: str, said: str) -> None:
    with languages.speaking(language):
        assert languages.written(datetime(2026, 11, 28, 9, 5, 7, tzinfo=UTC), "%a %-d %b %Y, %H:%M:%S") == said


def test_every_language_is_named_in_itself() -> None:
    assert languages.names() == {"en": "English", "de": "Deutsch", "es": "Español", "fr": "Français"}


def test_who_speaks_english_does_not_wait_for_what_only_others_need() -> None:
    code = (
        "import sys, recpipe.web.app\n"
        "from recpipe import languages\n"
        "languages.listen('en-GB,en;q=0.9')\n"
        "assert languages.current() == 'en' and languages.number(1234) == '1,234'\n"
        "assert 'babel' not in sys.modules, 'babel is loaded'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
