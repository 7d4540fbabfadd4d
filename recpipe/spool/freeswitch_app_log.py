"""What the applications of a FreeSWITCH channel did to its recording, as its call detail record lists them.

Source: FreeSWITCH switch_ivr_generate_xml_cdr, `app_log/application` with `app_name`, `app_data` and `app_stamp` in
microseconds; mod_dptools record_session_mask, which writes silence, and record_session_pause, which writes nothing.
What the command uuid_record does is in no call detail record.

Seen in published records of FreeSWITCH 1.2 to 1.10 (2012 to 2021), not tried with one that runs: `app_log` lies behind
`variables`; `callflow` has elements `application` too, of what the dialplan says, without `app_stamp`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from xml.etree.ElementTree import Element

from recpipe.model import CallEventKind, Masked, masked_by

_MOST = 2000
_KINDS = {
    "record_session_mask": CallEventKind.MASKED,
    "record_session_unmask": CallEventKind.UNMASKED,
    "record_session_pause": CallEventKind.PAUSED,
    "record_session_resume": CallEventKind.RESUMED,
    "stop_record_session": CallEventKind.STOPPED,
}
_STARTING = "record_session"


@dataclass(frozen=True, slots=True)
class AppLog:
    """Attributes:
    began: when the one recording of the channel did; None where there are several, or none was begun by it.
    begun_again: when a recording was last begun, be it the same.
    done: what was done, in order.
    """

    began: datetime | None = None
    begun_again: datetime | None = None
    done: tuple[tuple[datetime, CallEventKind], ...] = ()

    @classmethod
    def of(cls, applications: Iterable[Element]) -> AppLog:
        """Read it; what is not understood is left out."""
        begun: dict[str, datetime] = {}
        last: datetime | None = None
        done: list[tuple[datetime, CallEventKind]] = []
        for place, one in enumerate(applications):
            name, stamp = one.get("app_name", ""), one.get("app_stamp", "")
            if place >= _MOST or not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= 16):
                continue
            at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(stamp))
            if name == _STARTING:
                last = at
                begun.setdefault(one.get("app_data", ""), at)
            elif name in _KINDS:
                done.append((at, _KINDS[name]))
        return cls(next(iter(begun.values())) if len(begun) == 1 else None, last, tuple(done))

    def masked(self, ended_at: datetime | None) -> Masked:
        """The masked parts of its one recording; none where it is not known which recording is meant, or from when."""
        if self.began is None or ended_at is None or not self.done:
            return ()
        return masked_by(self.done, self.began, (ended_at - self.began) // timedelta(milliseconds=1))

    @property
    def kept_ms(self) -> int | None:
        """How much there was of its one recording when it was stopped; None where it was not, or nobody can say."""
        stopped = min((at for at, kind in self.done if kind is CallEventKind.STOPPED), default=None)
        if self.began is None or stopped is None or self.begun_again is None or self.begun_again > stopped:
            return None
        return (stopped - self.began) // timedelta(milliseconds=1)

    @property
    def excuse(self) -> str:
        """What a person did who wanted less than the call recorded, the more of it first: `stopped`, `paused` or ""."""
        done = {kind for _, kind in self.done}
        return next((kind.value for kind in (CallEventKind.STOPPED, CallEventKind.PAUSED) if kind in done), "")


NO_APP_LOG = AppLog()
