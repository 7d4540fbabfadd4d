"""What all of the API's JSON shares."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _clean(text: str) -> str:
    if any(c < " " or "\ud800" <= c <= "\udfff" or c == "\x7f" for c in text):
        raise ValueError("control characters and lone surrogates are not taken")
    return text


def _utc(moment: datetime) -> datetime:
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise ValueError("a time lies between the years 1 and 9999") from None


Moment = Annotated[datetime, AfterValidator(_utc)]  # in UTC, which it means where it names no offset
SingleLine = Annotated[str, Field(max_length=255), AfterValidator(_clean)]  # one line of text


class ResponseModel(BaseModel):
    """Base of what is given."""

    model_config = ConfigDict(frozen=True)


class RequestModel(BaseModel):
    """Base of what is taken: a field that is not known is an error, not a wish that goes unheard."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Item = TypeVar("Item")


class Listed(ResponseModel, Generic[Item]):
    """A list, or one page of it."""

    items: list[Item]
    next: str | None = Field(None, description="pass it as `cursor` for the next page; null on the last")


class ProblemDocument(ResponseModel):
    """Every error. Source: RFC 9457."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:recpipe:problem:not-found",
                    "title": "Not found",
                    "status": 404,
                    "detail": "There is no such recording.",
                }
            ]
        },
    )

    type: str = Field(description="decide on this: `urn:recpipe:problem:` and a word")
    title: str
    status: int
    detail: str | None = Field(None, description="what happened and what to do next, for a person")
    reason: str | None = Field(None, description="of a conflict or a refused certificate: a stable word")
    field: str | None = Field(None, description="which part of the input")
    advice: str | None = None
    send: list[str] | None = Field(None, description="one of these fields is missing or wrong in the body")
    retry_after_seconds: int | None = None
    errors: list[dict[str, str]] | None = Field(None, description="of input that does not fit: where, and why")
