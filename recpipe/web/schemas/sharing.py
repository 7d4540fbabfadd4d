"""The JSON of links to calls for people outside."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from recpipe.model import SharedLink
from recpipe.recordings.sharing import DEFAULT_OPENINGS, LONGEST_LABEL, MOST_LEGS, MOST_OPENINGS
from recpipe.web.schemas.base import Moment, RequestModel, ResponseModel, SingleLine


class SharedLinkRequest(RequestModel):
    call: str = Field(max_length=64, description="id of the call, or of a recording that is one of its legs")
    recordings: list[str] | None = Field(
        None, max_length=MOST_LEGS, description="ids of the only legs that are meant; all that are there by default"
    )
    expires_at: Moment = Field(description="within `shared_link_days` from now, 30 by default")
    openings: int = Field(DEFAULT_OPENINGS, ge=1, le=MOST_OPENINGS, description="how often it may be opened")
    passphrase: str = Field("", max_length=256, repr=False, description="to be typed to open it; empty: none")
    download: bool = Field(False, description="files may be saved; needed for what is sealed, and for faxes")
    label: SingleLine = Field("", max_length=LONGEST_LABEL, description="for whom, for the list of links")


class SharedLinkResponse(ResponseModel):
    """A link to a call, without its secret."""

    id: str
    tenant: str = Field(description="short name")
    call: str
    recordings: list[str] = Field(description="the legs that are in it")
    label: str
    made_by: str
    created_at: datetime
    expires_at: datetime
    most_openings: int
    openings: int = Field(description="how often it was opened")
    last_opened_at: datetime | None
    passphrase: bool = Field(description="whether one has to be typed")
    download: bool

    @classmethod
    def of(cls, link: SharedLink, tenant: str, made_by: str) -> SharedLinkResponse:
        return cls(
            id=link.id,
            tenant=tenant,
            call=link.call,
            recordings=list(link.recordings),
            label=link.label,
            made_by=made_by,
            created_at=link.created_at,
            expires_at=link.expires_at,
            most_openings=link.most_openings,
            openings=link.openings,
            last_opened_at=link.last_opened_at,
            passphrase=link.passphrase_hash is not None,
            download=link.download,
        )


class NewSharedLinkResponse(ResponseModel):
    """The link, and its address: shown now, never again."""

    link: SharedLinkResponse
    url: str = Field(repr=False)
