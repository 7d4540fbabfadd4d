"""What calls come to, as JSON."""

from __future__ import annotations

from datetime import date
from typing import Self

from pydantic import Field

from recpipe.model import Sum
from recpipe.web.schemas.base import ResponseModel


class SumResponse(ResponseModel):
    """Calls count where they began, with all of their legs; voicemail, conferences and faxes do not."""

    calls: int
    recordings: int
    seconds: float = Field(description="of all recordings together")
    longest_seconds: float = Field(description="of one recording")
    stored_bytes: int
    sealed: int = Field(description="recordings that are sealed")

    @classmethod
    def numbers(cls, each: Sum) -> dict[str, float]:
        return {
            "calls": each.calls,
            "recordings": each.recordings,
            "seconds": each.duration_ms / 1000,
            "longest_seconds": each.longest_ms / 1000,
            "stored_bytes": each.stored_bytes,
            "sealed": each.sealed,
        }

    @classmethod
    def of(cls, each: Sum) -> Self:
        return cls.model_validate(cls.numbers(each))


class DayStatistics(SumResponse):
    day: date = Field(description="on the clock of `timezone`")


class HourStatistics(SumResponse):
    weekday: str = Field(description="`mon` to `sun`")
    hour: int = Field(description="0 to 23, on the clock of `timezone`")


class ValueStatistics(ResponseModel):
    """A call counts once for each value that any of its legs has: these may come to more than the calls."""

    tenant: str = Field(description="short name")
    value: str
    calls: int
    seconds: float = Field(description="of the legs that have it")


class ListenerStatistics(ResponseModel):
    who: str = Field(description="as the audit log names them")
    plays: int
    downloads: int


class StatisticsResponse(ResponseModel):
    """What the calls of a range come to."""

    first_day: date
    last_day: date
    timezone: str
    total: SumResponse
    before: SumResponse = Field(description="of as many days before")
    days: list[DayStatistics] = Field(description="every day, in order")
    hours: list[HourStatistics] = Field(description="every hour of the week that has calls, from Monday on")
    top: dict[str, list[ValueStatistics]] = Field(
        description="most calls first; `direction`, `extension`, `route`, `called` (our number), `number` (theirs)"
    )
    listeners: list[ListenerStatistics] = Field(description="of tenants whose audit log may be read")
    stored_bytes: int | None = Field(description="of all recordings; null where only a part of them may be seen")
    stored_bytes_in_a_year: int | None = Field(description="if calls go on like these and nothing is deleted")
    not_counted_until: date | None = Field(description="days up to this one are not whole yet; null: all are")
