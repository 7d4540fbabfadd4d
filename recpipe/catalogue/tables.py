"""The tables. States and kinds are plain text without CHECK: a new word needs no migration of a large table, and
`recpipe.model`'s enumerations refuse an unknown one when it is read.

A table with a `tenant_id` is queried by tenant-scoped repositories alone; `tests/unit/catalogue/test_tenancy.py` names
the few doors where the tenant is what is looked for.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, PrimaryKeyConstraint, Table, UniqueConstraint

from recpipe.catalogue.columns import DAY, HASH, ID, SERIAL, partial_index
from recpipe.catalogue.columns import at_column as _at
from recpipe.catalogue.columns import flag_column as _flag
from recpipe.catalogue.columns import id_column as _id
from recpipe.catalogue.columns import json_column as _json
from recpipe.catalogue.columns import metadata as metadata
from recpipe.catalogue.columns import number_column as _number
from recpipe.catalogue.columns import tenant_column as _tenant
from recpipe.catalogue.columns import text_column as _text
from recpipe.catalogue.columns import user_column as _user
from recpipe.catalogue.types import Text, Words

# --- tenants ----------------------------------------------------------------------------------------------

tenant = Table(
    "tenant",
    metadata,
    _id(),
    _text("name"),
    _text("title"),
    _text("timezone"),
    _text("region"),
    _text("group"),
    _flag("encryption"),
    _text("store_format"),
    _flag("recording_enabled"),
    _at("disclaimer_agreed_at", nullable=True),
    _text("disclaimer_agreed_by"),
    _at("created_at"),
)

# The name itself is a row here as well, so that no alias can ever mean two tenants.
tenant_alias = Table(
    "tenant_alias",
    metadata,
    Column("alias", Text(200), primary_key=True),  # lower case
    _tenant(),
    _number("position"),
    Index("ix_tenant_alias_tenant_id", "tenant_id"),
)

certificate = Table(
    "certificate",
    metadata,
    _id(),
    _tenant(),
    _text("label"),
    Column("der", LargeBinary, nullable=False),
    Column("fingerprint", HASH, nullable=False),
    _text("subject"),
    _text("serial"),
    _number("key_bits"),
    _at("not_before"),
    _at("not_after"),
    _flag("synthesised"),
    _text("state"),
    _at("added_at"),
    _at("decided_at", nullable=True),
    _text("decided_by"),
    _text("challenge"),
    Index("ix_certificate_tenant_id", "tenant_id"),
    # A retired certificate may be added again.
    partial_index("uq_certificate_active", "tenant_id", "fingerprint", unique=True, where="state <> 'retired'"),
)

ftp_account = Table(
    "ftp_account",
    metadata,
    _id(),
    _tenant(nullable=True),
    _text("username", 200),
    _text("password_hash"),
    _text("kind"),
    _flag("enabled"),
    _json("allowed_networks"),
    _text("extension"),
    Column("direction", Text(), nullable=True),
    _text("spool"),
    _number("generation"),
    _at("created_at"),
    _at("last_login_at", nullable=True),
    UniqueConstraint("username"),
    Index("ix_ftp_account_tenant_id", "tenant_id"),
)

# --- people and programs ----------------------------------------------------------------------------------

portal_user = Table(  # "user" is a reserved word
    "portal_user",
    metadata,
    _id(),
    _text("username", 200),
    _text("username_key", 200),  # case-folded
    _text("email"),
    _text("email_pending"),
    _text("display_name"),
    Column("password_hash", Text(), nullable=True),
    _at("password_until", nullable=True),
    _text("role"),
    _text("status"),
    _json("contact"),
    _json("notifications"),
    _text("totp_secret"),
    _number("totp_step"),
    _json("recovery_hashes"),
    _number("passkeys"),
    _at("created_at"),
    _at("last_login_at", nullable=True),
    UniqueConstraint("username_key"),
)

user_grant = Table(
    "user_grant",
    metadata,
    _user(),
    _tenant(),
    _json("actions"),
    PrimaryKeyConstraint("user_id", "tenant_id"),
    Index("ix_user_grant_tenant_id", "tenant_id"),
)

token = Table(
    "token",
    metadata,
    _id(),
    _user(),
    _text("label"),
    _text("prefix"),
    Column("hash", HASH, nullable=False),
    _json("scopes"),
    _at("created_at"),
    _at("expires_at", nullable=True),
    _at("last_used_at", nullable=True),
    _text("created_from"),
    _text("last_used_from"),
    _at("revoked_at", nullable=True),
    UniqueConstraint("hash"),
    Index("ix_token_user_id", "user_id"),
)

web_session = Table(
    "web_session",
    metadata,
    _id(),
    Column("hash", HASH, nullable=False),
    _user(),
    _at("created_at"),
    _at("last_seen_at"),
    _at("expires_at"),
    _text("address"),
    _text("user_agent", 500),
    _at("revoked_at", nullable=True),
    _text("provider_id"),
    _flag("second_factor"),
    UniqueConstraint("hash"),
    Index("ix_web_session_user_id", "user_id"),
    Index("ix_web_session_expires_at", "expires_at"),
)

one_time_link = Table(
    "one_time_link",
    metadata,
    _id(),
    Column("hash", HASH, nullable=False),
    _text("purpose"),
    _user(),
    _at("created_at"),
    _at("expires_at"),
    _at("used_at", nullable=True),
    _text("provider_id"),
    UniqueConstraint("hash"),
    Index("ix_one_time_link_user_id", "user_id"),
)

# --- recordings -------------------------------------------------------------------------------------------

LONGEST_CALL_ID = 200  # characters
_NO_CALL = "kind <> 'call'"

recording = Table(
    "recording",
    metadata,
    _id(),
    _tenant(),
    _text("name"),
    Column("day", DAY, nullable=False),
    _at("started_at"),
    _text("timezone"),
    _number("duration_ms"),
    # what names, sidecars and call detail records said
    _at("facts_started_at", nullable=True),
    _text("facts_timezone"),
    _number("facts_duration_ms", nullable=True),
    _text("direction"),
    *map(_text, ("caller", "callee", "caller_name", "callee_name")),
    _text("extension", 510),  # a line each, ours first: see recording_extension
    _text("route"),
    _text("call_id", LONGEST_CALL_ID),
    *map(_text, ("linked_id", "channels", "tenant_hint")),
    _flag("awaits_cdr"),
    *map(_text, ("kind", "mailbox", "conference", "station_id", "started_by", "masked")),
    _json("audio"),
    _text("caller_e164"),
    _text("callee_e164"),
    _text("source_name"),
    Column("source_sha256", HASH, nullable=False),
    _number("content_bytes"),
    Column("content_sha256", HASH, nullable=False),
    _text("object_key"),
    _number("stored_bytes"),
    Column("stored_sha256", HASH, nullable=False),
    # all four or none
    _number("envelope_offset", nullable=True),
    _number("envelope_bytes", nullable=True),
    Column("envelope_iv", LargeBinary, nullable=True),
    Column("envelope_fingerprints", Words(), nullable=True),
    _text("spool"),
    _at("ingested_at"),
    Column("flags", Words(), nullable=False),
    # Last, and left out of lists: SQLite then never reads the pages it overflows to.
    Column("peaks", LargeBinary, nullable=False),
    # The call that it is a leg of, and when that began: read from the indexes alone.
    Column("call", ID, nullable=False),
    _at("call_at"),
    UniqueConstraint("tenant_id", "day", "name"),
    # The first three are the order of lists. The others let a search pass over a call without reading its row.
    Index(
        "ix_recording_time",
        *("tenant_id", "started_at", "id", "direction", "duration_ms", "extension", "envelope_offset"),
    ),
    Index("ix_recording_source_sha256", "source_sha256"),
    Index("ix_recording_call_id", "tenant_id", "call_id"),
    # The order of lists of calls, and what lets a search pass over a leg; then the legs of a call, which must not look
    # to a planner as if a tenant's calls could be walked by it.
    Index(
        "ix_recording_call_time",
        *("tenant_id", "call_at", "call", "started_at", "id", "direction", "duration_ms", "envelope_offset"),
    ),
    Index("ix_recording_call", "call", "tenant_id", "call_at"),
    # Few beside the calls, in the order of lists and in that of lists of calls.
    partial_index("ix_recording_kind_time", "tenant_id", "kind", "started_at", "id", where=_NO_CALL),
    partial_index("ix_recording_kind_call_time", "tenant_id", "kind", "call_at", "call", where=_NO_CALL),
    partial_index("ix_recording_awaits_cdr", "tenant_id", "ingested_at", "id", where="awaits_cdr"),
)

# One row a telephone number of a tenant, in both its forms, digits alone. Few beside the recordings, so this is where
# ending and containing digits are looked for.
phone_number = Table(
    "phone_number",
    metadata,
    Column("id", SERIAL, primary_key=True),
    _tenant(),
    _text("digits"),  # as the PBX wrote it
    _text("international"),  # E.164 without its plus sign, "" where there is none
    _text("digits_reversed"),
    _text("international_reversed"),
    _text("written"),  # both, for the trigram index
    UniqueConstraint("tenant_id", "digits", "international"),
    Index("ix_phone_number_international", "tenant_id", "international"),
    Index("ix_phone_number_digits_reversed", "tenant_id", "digits_reversed"),
    Index("ix_phone_number_international_reversed", "tenant_id", "international_reversed"),
)

# Which recordings a number is in, newest last: its key is the index that number searches walk.
recording_number = Table(
    "recording_number",
    metadata,
    _tenant(),
    Column("number_id", SERIAL, ForeignKey("phone_number.id", ondelete="CASCADE"), nullable=False),
    _at("started_at"),
    Column("recording_id", ID, ForeignKey("recording.id", ondelete="CASCADE"), nullable=False),
    _at("call_at"),
    Column("call", ID, nullable=False),
    PrimaryKeyConstraint("number_id", "started_at", "recording_id"),
    Index("ix_recording_number_recording_id", "recording_id"),
    Index("ix_recording_number_call", "number_id", "call_at", "call"),
    sqlite_with_rowid=False,
)

# Which recordings an extension is in: that of our side, and those of colleagues who took part.
recording_extension = Table(
    "recording_extension",
    metadata,
    _tenant(),
    _text("extension", 100),
    _at("started_at"),
    Column("recording_id", ID, ForeignKey("recording.id", ondelete="CASCADE"), nullable=False),
    _at("call_at"),
    Column("call", ID, nullable=False),
    PrimaryKeyConstraint("tenant_id", "extension", "started_at", "recording_id"),
    Index("ix_recording_extension_recording_id", "recording_id"),
    Index("ix_recording_extension_call", "tenant_id", "extension", "call_at", "call"),
    sqlite_with_rowid=False,
)

# What a search for text looks through: file name and names of the parties, folded. Small rows in the order of lists,
# since a text that is rare, or too short for trigrams, is looked for in one after another.
recording_text = Table(
    "recording_text",
    metadata,
    _tenant(),
    _at("started_at"),
    Column("recording_id", ID, ForeignKey("recording.id", ondelete="CASCADE"), nullable=False),
    _text("text", 2000),
    PrimaryKeyConstraint("tenant_id", "started_at", "recording_id"),
    Index("ix_recording_text_recording_id", "recording_id"),
    sqlite_with_rowid=False,
)

# Recordings of a folder, kept with every insert and delete: folder trees and charts never count millions of rows.
day_total = Table(
    "day_total",
    metadata,
    _tenant(),
    Column("day", DAY, nullable=False),
    _number("recordings"),
    _number("stored_bytes"),
    _number("duration_ms"),
    PrimaryKeyConstraint("tenant_id", "day"),
)

# A deleted recording leaves no number or name, only what keeps its name from being given again.
tombstone = Table(
    "tombstone",
    metadata,
    _id(),
    _tenant(),
    Column("day", DAY, nullable=False),
    Column("name_sha256", HASH, nullable=False),
    _text("object_key"),
    Column("stored_sha256", HASH, nullable=False),
    _at("deleted_at"),
    _text("deleted_by"),
    _text("reason"),
    Index("ix_tombstone_name", "tenant_id", "day", "name_sha256"),
    Index("ix_tombstone_tenant_id_id", "tenant_id", "id"),
)
