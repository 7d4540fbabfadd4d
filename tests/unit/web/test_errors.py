"""The one table from errors to HTTP: complete, and with nothing in an answer that says too much."""

from __future__ import annotations

import inspect
import re

import pytest
from fastapi.exceptions import RequestValidationError

from keys import errors as keys_errors
from recpipe import errors
from recpipe.web.errors import _TABLE, problem_of

# What the API answers for each, since its first version.
PUBLISHED = {
    "ReauthenticationRequired": "reauthentication-required",
    "CredentialsRejected": "credentials-rejected",
    "SignInRefused": "sign-in-refused",
    "IssuerUnavailable": "issuer-unavailable",
    "SecretUnreadable": "secret-unreadable",
    "LockedOut": "locked-out",
    "TooManySignIns": "too-many-sign-ins",
    "SecondFactorRequired": "second-factor-required",
    "Forbidden": "forbidden",
    "NotFound": "not-found",
    "AlreadyExists": "already-exists",
    "Conflict": "conflict",
    "TooManyMatches": "too-many-matches",
    "SearchTooLong": "search-too-long",
    "QueryInvalid": "query-invalid",
    "InputInvalid": "input-invalid",
    "Unfit": "unfit",
    "NotARecording": "unfit",
    "SourceChanged": "conflict",
    "SpoolFull": "no-room",
    "TooManySidecars": "spool-refused",
    "SpoolRefused": "spool-refused",
    "SpoolLocked": "spool-refused",
    "CatalogueUnavailable": "unavailable",
    "StoreUnavailable": "unavailable",
    "ObjectMissing": "object-missing",
    "ObjectDamaged": "object-damaged",
    "StoreError": "store-refused",
    "StoreRejected": "store-refused",
    "ObjectRefused": "store-refused",
    "ObjectExists": "store-refused",
    "VersionsRemain": "store-refused",
}


def concrete(module: object) -> list[type[Exception]]:
    classes = [c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, Exception)]
    return [c for c in classes if c.__module__ == module.__name__ and not any(c in d.__bases__ for d in classes)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", concrete(errors) + concrete(keys_errors))
def test_every_error_of_ours_has_a_row(kind: type[Exception]) -> None:
    at_start_only = (errors.SettingsInvalid,)
    assert any(issubclass(kind, row[0]) for row in _TABLE) or issubclass(kind, (*at_start_only, errors.Held))


def test_no_row_hides_behind_a_row_before_it() -> None:
    for place, (kind, *_) in enumerate(_TABLE):
        assert not any(issubclass(kind, earlier[0]) for earlier in _TABLE[:place]), kind


def everything(module: object) -> list[type[Exception]]:
    classes = [c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, Exception)]
    return [c for c in classes if c.__module__ == module.__name__]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", everything(errors) + everything(keys_errors))
def test_a_problem_has_the_word_that_a_command_says(kind: type[errors.RecpipeError]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.word)
    if any(issubclass(kind, row[0]) for row in _TABLE):
        assert problem_of(made(kind)).kind == kind.word


def made(kind: type[errors.RecpipeError]) -> errors.RecpipeError:
    """One of its kind, with some text or number for each of its arguments."""
    if "__init__" not in {name for base in kind.__mro__[:-3] for name in vars(base)}:
        return kind("x")
    wanted = [p for p in inspect.signature(kind).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    numbers = {"int", "float", "int | None"}
    return kind(*(1 if p.annotation in numbers else "x" for p in wanted if p.default is p.empty))


def test_words_that_were_published_stay() -> None:
    assert {
        kind.__name__: kind.word
        for kind in everything(errors)
        if issubclass(kind, errors.RecpipeError) and any(issubclass(kind, row[0]) for row in _TABLE)
    } == PUBLISHED


def test_what_is_missing_and_what_is_anothers_are_the_same_words() -> None:
    one, other = (problem_of(errors.NotFound("recording", which)).response() for which in ("a" * 32, "b" * 32))
    assert one.body == other.body and one.headers.items() == other.headers.items()


def test_keys_and_paths_of_the_store_stay_inside() -> None:
    for error in (
        errors.ObjectMissing("t/secret-key"),
        errors.ObjectDamaged("t/secret-key", "short"),
        errors.StoreRejected("bucket secret-key said no"),
        errors.StoreUnavailable("https://secret-key.example did not answer"),
    ):
        problem = problem_of(error)
        assert problem.status in (502, 503)
        assert b"secret-key" not in problem.response().body


def test_an_error_that_is_none_of_ours_says_nothing_of_itself() -> None:
    assert b"secret" not in problem_of(ValueError("secret")).response().body


def test_a_refused_input_is_named_and_not_shown() -> None:
    wrong = RequestValidationError([{"loc": ("body", "password"), "msg": "too short", "type": "x", "input": "hunter2"}])
    problem = problem_of(wrong)
    assert problem.status == 422 and b"body.password" in problem.response().body
    assert b"hunter2" not in problem.response().body


def test_lock_out_and_failures_that_pass_say_when_to_come_back() -> None:
    assert problem_of(errors.LockedOut(17)).headers["retry-after"] == "17"
    assert problem_of(errors.CatalogueUnavailable("x")).headers["retry-after"] == "5"
    assert "Bearer" in problem_of(errors.CredentialsRejected()).headers["www-authenticate"]
