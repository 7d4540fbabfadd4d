"""Recordings, as the API gives them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from recpipe.model import (
    FORMATS,
    TEXT_FACTS,
    UNKNOWN_TYPE,
    Call,
    CallEventKind,
    Direction,
    Marks,
    Recording,
    RecordingKind,
)
from recpipe.recordings.deletion import LONGEST_REASON
from recpipe.recordings.marking import LONGEST_NOTE, LONGEST_TAG, MOST_TAGS
from recpipe.web.schemas.base import Moment, RequestModel, ResponseModel, SingleLine


class EnvelopeResponse(ResponseModel):
    """Where the ciphertext lies, so that a range of it can be decrypted."""

    content_offset: int = Field(description="first byte of the ciphertext in the file")
    content_bytes: int = Field(description="its length")
    iv: str = Field(description="initialisation vector, lower-case hex")
    fingerprints: list[str] = Field(description="SHA-256 of each certificate it was sealed for")


class MaskedResponse(ResponseModel):
    """A part of a recording that holds silence instead of voices."""

    from_seconds: float = Field(description="from the start of the recording")
    to_seconds: float = Field(description="the same where the recorder paused: nothing of that time is in the file")


class RecordingResponse(ResponseModel):
    """One recording. Texts are as the PBX wrote them: treat them as data, never as markup."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "5f0c9a5e3b7d4e1f8a6b2c1d0e9f8a7b",
                    "tenant": "acme",
                    "tenant_id": "0b54c3f7a2d94e6f9c1e8d7a6b5c4d3e",
                    "name": "in-201-02079460958-20250327-092517-1743042317.12.mp3.enc",
                    "day": "2025-03-27",
                    "started_at": "2025-03-27T09:25:17Z",
                    "timezone": "Europe/London",
                    "kind": "call",
                    "duration_seconds": 61.52,
                    "pages": 0,
                    "direction": "inbound",
                    "caller": "02079460958",
                    "callee": "201",
                    "caller_e164": "+442079460958",
                    "callee_e164": "",
                    "caller_name": "Erin Doyle",
                    "callee_name": "",
                    "extension": "201",
                    "more_extensions": [],
                    "route": "in",
                    "call_id": "1743042317.12",
                    "linked_id": "",
                    "call": "c0b7e6f1d2a34958b6c7d8e9f0a1b2c3",
                    "channels": "",
                    "mailbox": "",
                    "conference": "",
                    "station_id": "",
                    "started_by": "",
                    "masked": [{"from_seconds": 130.0, "to_seconds": 161.0}],
                    "sealed": True,
                    "media_type": "application/octet-stream",
                    "size_bytes": 124800,
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "content_size_bytes": 123928,
                    "content_sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
                    "media_url": "/api/v1/recordings/5f0c9a5e3b7d4e1f8a6b2c1d0e9f8a7b/media",
                    "envelope": {
                        "content_offset": 872,
                        "content_bytes": 123928,
                        "iv": "000102030405060708090a0b0c0d0e0f",
                        "fingerprints": ["2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"],
                    },
                    "flags": [],
                }
            ]
        },
    )

    id: str
    tenant: str = Field(description="short name")
    tenant_id: str
    name: str = Field(description="file name, `.enc` included when sealed")
    day: str = Field(description="YYYY-MM-DD: its folder over FTP")
    started_at: datetime = Field(description="UTC")
    timezone: str = Field(description="zone of the PBX")
    kind: RecordingKind = Field(description="what was kept")
    duration_seconds: float = Field(description="0 of a fax")
    pages: int = Field(description="of a fax, else 0")
    direction: Direction
    caller: str = Field(description="as the PBX wrote it")
    callee: str
    caller_e164: str = Field(description="E.164 where it is certain, else empty")
    callee_e164: str
    caller_name: str
    callee_name: str
    extension: str
    more_extensions: list[str] = Field(description="others of the tenant that took part, such as a colleague")
    route: str
    call_id: str
    linked_id: str = Field(description="the same for all legs of a transferred call")
    call: str = Field(description="id of the call that it is a leg of: see `/calls`")
    channels: str
    mailbox: str = Field(description="of a voicemail message")
    conference: str = Field(description="name or number of the room")
    station_id: str = Field(description="what the other fax machine calls itself")
    started_by: str = Field(description="who began the recording, where a person did")
    masked: list[MaskedResponse] = Field(description="as the PBX told; nothing here proves that it was done")
    sealed: bool
    media_type: str = Field(description="of what `media_url` gives")
    size_bytes: int = Field(description="of what `media_url` gives")
    sha256: str = Field(description="of what `media_url` gives")
    content_size_bytes: int = Field(description="after decrypting; the same as `size_bytes` when not sealed")
    content_sha256: str
    media_url: str
    envelope: EnvelopeResponse | None
    flags: list[str] = Field(description="such as `repaired-header`, `truncated`")

    @classmethod
    def of(cls, recording: Recording, tenant: str) -> RecordingResponse:
        facts, envelope = recording.facts, recording.envelope
        return cls.model_construct(
            id=recording.id,
            tenant=tenant,
            tenant_id=recording.tenant_id,
            name=recording.name,
            day=recording.day,
            started_at=recording.started_at,
            timezone=recording.timezone,
            kind=facts.kind,
            duration_seconds=recording.duration_ms / 1000,
            pages=recording.audio.pages,
            direction=facts.direction,
            caller_e164=recording.caller_e164,
            callee_e164=recording.callee_e164,
            more_extensions=list(facts.more_extensions),
            masked=[
                MaskedResponse.model_construct(from_seconds=start / 1000, to_seconds=end / 1000)
                for start, end in facts.masked
            ],
            call=recording.call,
            sealed=recording.sealed,
            media_type=media_type(recording),
            size_bytes=recording.stored_bytes,
            sha256=recording.stored_sha256,
            content_size_bytes=recording.content_bytes,
            content_sha256=recording.content_sha256,
            media_url=f"/api/v1/recordings/{recording.id}/media",
            envelope=None
            if envelope is None
            else EnvelopeResponse.model_construct(
                content_offset=envelope.content_offset,
                content_bytes=envelope.content_bytes,
                iv=envelope.iv.hex(),
                fingerprints=list(envelope.fingerprints),
            ),
            flags=list(recording.flags),
            **{name: getattr(facts, name) for name in TEXT_FACTS},
        )


def media_type(recording: Recording) -> str:
    """Of the stored bytes. An envelope stays plain bytes: mail programs must not take the file for a message."""
    return UNKNOWN_TYPE if recording.sealed else FORMATS[recording.audio.container].media_type


class RecordingList(ResponseModel):
    """One page of a search."""

    items: list[RecordingResponse]
    next: str | None = Field(description="pass it as `cursor` for the next page; null on the last")
    count: int | None = Field(description="how many there are in all, counted no further than 1,000; null if not asked")
    count_capped: bool = Field(description="true: there are more than `count`, or not all were looked at")
    searched_to: datetime | None = Field(
        description="set where a search that finds little was not ended: calls beyond that time were not looked at. "
        "`next` looks further"
    )


class MarksResponse(ResponseModel):
    """What people said of a call. Texts are as they were typed: treat them as data, never as markup."""

    starred: bool
    reviewed_at: datetime | None = Field(description="UTC; null: not reviewed")
    reviewed_by: str = Field(description="who said so, as on the audit log")
    note: str
    tags: list[str]

    @classmethod
    def of(cls, marks: Marks) -> MarksResponse:
        return cls.model_construct(
            starred=marks.starred,
            reviewed_at=marks.reviewed_at,
            reviewed_by=marks.reviewed_by,
            note=marks.note,
            tags=list(marks.tags),
        )


class Marking(RequestModel):
    """What is to be said of a call from now on. What is left out stays as it is."""

    starred: bool | None = Field(None, description="needs the right `play`")
    reviewed: bool | None = Field(None, description="needs the right `play`")
    note: str | None = Field(None, max_length=LONGEST_NOTE, description="needs the right `annotate`; empty: none")
    tags: list[SingleLine] | None = Field(
        None,
        max_length=MOST_TAGS,
        description=f"needs the right `annotate`; up to {LONGEST_TAG} characters each, no commas",
        examples=[["complaint"]],
    )


class CallResponse(ResponseModel):
    """A call with its legs: the recordings that the PBX says belong together."""

    id: str
    tenant: str = Field(description="short name")
    tenant_id: str
    started_at: datetime = Field(description="UTC: when its first leg began")
    leg_count: int = Field(description="more than there are in `legs` where those are very many")
    legs: list[RecordingResponse] = Field(
        description="in the order in which they began, up to 100; `/recordings?call=` gives all"
    )
    marks: MarksResponse

    @classmethod
    def of(cls, call: Call, tenant: str) -> CallResponse:
        return cls.model_construct(
            id=call.id,
            tenant=tenant,
            tenant_id=call.tenant_id,
            started_at=call.started_at,
            leg_count=call.leg_count,
            legs=[RecordingResponse.of(leg, tenant) for leg in call.legs],
            marks=MarksResponse.of(call.marks),
        )


class CallEventRequest(RequestModel):
    """What was done to the recording of a call."""

    call_id: Annotated[SingleLine, Field(min_length=1, max_length=200)] = Field(
        description="of the leg that is recorded, as its recordings have it: Asterisk's uniqueid, FreeSWITCH's UUID",
        examples=["1743042317.12"],
    )
    event: CallEventKind
    at: Moment | None = Field(None, description="when it was done; by default now", examples=["2026-11-28T09:27:27Z"])
    done_by: Annotated[SingleLine, Field(max_length=100)] = Field(
        "", description="who did it, as the PBX names them", examples=["201"]
    )
    spool: SingleLine = Field("", description="label, where call ids of several PBXs of a tenant may be the same")


class CallEventResponse(ResponseModel):
    """What it was noted on."""

    recordings: list[str] = Field(description="ids of those that it changed; later ones are changed as they come")


class CallList(ResponseModel):
    """One page of a search for calls."""

    items: list[CallResponse]
    next: str | None = Field(description="as for recordings")
    count: int | None = Field(description="how many calls there are in all, otherwise as for recordings")
    count_capped: bool = Field(description="as for recordings")
    searched_to: datetime | None = Field(description="as for recordings, by the starts of calls")


_Id = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Selection(RequestModel):
    """Recordings to be packed, by themselves or with all legs of their calls."""

    ids: list[_Id] = Field([], max_length=1000, examples=[["5f0c9a5e3b7d4e1f8a6b2c1d0e9f8a7b"]])
    calls: list[_Id] = Field([], max_length=1000, description="ids of calls: all their legs")

    @model_validator(mode="after")
    def _chosen(self) -> Selection:
        if not self.ids and not self.calls:
            raise ValueError("nothing is chosen")
        return self


class Deletion(RequestModel):
    """Why a recording is deleted. In the body, since addresses are logged by proxies."""

    reason: Annotated[SingleLine, Field(max_length=LONGEST_REASON)] = Field(
        "", description="kept on the audit log: no name or number belongs in it", examples=["erasure request 4711"]
    )


class Remains(ResponseModel):
    """What is left of a deleted recording."""

    remains: str = Field(
        "The recording is deleted, but its bucket keeps versions that recpipe may not delete: whoever may read "
        "versions of objects there can still read it. It is on the audit log; tell the operator.",
        description="in words",
    )


class UploadResponse(ResponseModel):
    """A file that is safe in a spool and will be ingested."""

    spool: str
    name: str = Field(description="path in the spool")
    size_bytes: int
    sha256: str
