"""The first schema."""

from __future__ import annotations

import logging

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Code, FileName, Json, Text, Utc

revision = "0001"
down_revision = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# An external-content index over phone_number: it holds no text of its own, and the triggers keep it in step.
FTS5 = (
    "CREATE VIRTUAL TABLE phone_number_trigram USING fts5("
    "written, content='phone_number', content_rowid='id', tokenize='trigram')",
    "CREATE TRIGGER phone_number_added AFTER INSERT ON phone_number BEGIN "
    "INSERT INTO phone_number_trigram(rowid, written) VALUES (new.id, new.written); END",
    "CREATE TRIGGER phone_number_removed AFTER DELETE ON phone_number BEGIN "
    "INSERT INTO phone_number_trigram(phone_number_trigram, rowid, written) "
    "VALUES ('delete', old.id, old.written); END",
)
# Few numbers are new, and every search would read a list of pending ones first.
PG_TRGM = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "CREATE INDEX phone_number_trigram ON phone_number USING gin (written gin_trgm_ops) WITH (fastupdate = off)",
)


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("actor", Text(), nullable=False),
        sa.Column("action", Text(), nullable=False),
        sa.Column("outcome", Text(), nullable=False),
        sa.Column("tenant_id", Code(32), nullable=True),
        sa.Column("address", Text(), nullable=False),
        sa.Column("subject", Text(), nullable=False),
        sa.Column("detail", Json(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_action", "audit", ["action", "at", "id"], unique=False)
    op.create_index("ix_audit_actor", "audit", ["actor", "at", "id"], unique=False)
    op.create_index("ix_audit_at", "audit", ["at", "id"], unique=False)
    op.create_index("ix_audit_tenant", "audit", ["tenant_id", "at", "id"], unique=False)
    op.create_table(
        "login_failure",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("key", Text(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_login_failure"),
    )
    op.create_index("ix_login_failure_at", "login_failure", ["at"], unique=False)
    op.create_index("ix_login_failure_key_at", "login_failure", ["key", "at"], unique=False)
    op.create_table(
        "node",
        sa.Column("name", Text(), nullable=False),
        sa.Column("role", Text(), nullable=False),
        sa.Column("spool", Text(), nullable=False),
        sa.Column("started_at", Utc(), nullable=False),
        sa.Column("seen_at", Utc(), nullable=False),
        sa.Column("files_waiting", sa.BigInteger(), nullable=False),
        sa.Column("last_ingest_at", Utc(), nullable=True),
        sa.Column("detail", Json(), nullable=False),
        sa.PrimaryKeyConstraint("name", "role", "spool", name="pk_node"),
    )
    op.create_table(
        "portal_user",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("username", Text(), nullable=False),
        sa.Column("username_key", Text(), nullable=False),
        sa.Column("email", Text(), nullable=False),
        sa.Column("display_name", Text(), nullable=False),
        sa.Column("password_hash", Text(), nullable=True),
        sa.Column("role", Text(), nullable=False),
        sa.Column("status", Text(), nullable=False),
        sa.Column("contact", Json(), nullable=False),
        sa.Column("notifications", Json(), nullable=False),
        sa.Column("totp_secret", Text(), nullable=False),
        sa.Column("totp_step", sa.BigInteger(), nullable=False),
        sa.Column("recovery_hashes", Json(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("last_login_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_portal_user"),
        sa.UniqueConstraint("username_key", name="uq_portal_user_username_key"),
    )
    op.create_table(
        "tenant",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("title", Text(), nullable=False),
        sa.Column("timezone", Text(), nullable=False),
        sa.Column("region", Text(), nullable=False),
        sa.Column("encryption", sa.Boolean(), nullable=False),
        sa.Column("store_format", Text(), nullable=False),
        sa.Column("recording_enabled", sa.Boolean(), nullable=False),
        sa.Column("disclaimer_agreed_at", Utc(), nullable=True),
        sa.Column("disclaimer_agreed_by", Text(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenant"),
    )
    op.create_table(
        "certificate",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.Column("label", Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", Code(64), nullable=False),
        sa.Column("subject", Text(), nullable=False),
        sa.Column("serial", Text(), nullable=False),
        sa.Column("key_bits", sa.BigInteger(), nullable=False),
        sa.Column("not_before", Utc(), nullable=False),
        sa.Column("not_after", Utc(), nullable=False),
        sa.Column("synthesised", sa.Boolean(), nullable=False),
        sa.Column("state", Text(), nullable=False),
        sa.Column("added_at", Utc(), nullable=False),
        sa.Column("decided_at", Utc(), nullable=True),
        sa.Column("decided_by", Text(), nullable=False),
        sa.Column("challenge", Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_certificate_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_certificate"),
    )
    op.create_index("ix_certificate_tenant_id", "certificate", ["tenant_id"], unique=False)
    op.create_index(
        "uq_certificate_active",
        "certificate",
        ["tenant_id", "fingerprint"],
        unique=True,
        sqlite_where=sa.text("state <> 'retired'"),
        postgresql_where=sa.text("state <> 'retired'"),
    )
    op.create_table(
        "change",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("subject", Text(), nullable=False),
        sa.Column("old", Json(), nullable=False),
        sa.Column("new", Json(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("created_by", Text(), nullable=False),
        sa.Column("applied_at", Utc(), nullable=True),
        sa.Column("applied_by", Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_change_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_change"),
    )
    op.create_index("ix_change_history", "change", ["tenant_id", "applied_at", "id"], unique=False)
    op.create_index(
        "uq_change_pending",
        "change",
        ["tenant_id", "kind", "subject"],
        unique=True,
        sqlite_where=sa.text("applied_at IS NULL"),
        postgresql_where=sa.text("applied_at IS NULL"),
    )
    op.create_table(
        "day_total",
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.Column("day", Code(10), nullable=False),
        sa.Column("recordings", sa.BigInteger(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_day_total_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "day", name="pk_day_total"),
    )
    op.create_table(
        "ftp_account",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("tenant_id", Code(32), nullable=True),
        sa.Column("username", Text(), nullable=False),
        sa.Column("password_hash", Text(), nullable=False),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("allowed_networks", Json(), nullable=False),
        sa.Column("extension", Text(), nullable=False),
        sa.Column("direction", Text(), nullable=True),
        sa.Column("spool", Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("last_login_at", Utc(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_ftp_account_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_ftp_account"),
        sa.UniqueConstraint("username", name="uq_ftp_account_username"),
    )
    op.create_index("ix_ftp_account_tenant_id", "ftp_account", ["tenant_id"], unique=False)
    op.create_table(
        "one_time_link",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("hash", Code(64), nullable=False),
        sa.Column("purpose", Text(), nullable=False),
        sa.Column("user_id", Code(32), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("expires_at", Utc(), nullable=False),
        sa.Column("used_at", Utc(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["portal_user.id"], name="fk_one_time_link_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_one_time_link"),
        sa.UniqueConstraint("hash", name="uq_one_time_link_hash"),
    )
    op.create_index("ix_one_time_link_user_id", "one_time_link", ["user_id"], unique=False)
    op.create_table(
        "phone_number",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.Column("digits", Text(), nullable=False),
        sa.Column("international", Text(), nullable=False),
        sa.Column("digits_reversed", Text(), nullable=False),
        sa.Column("international_reversed", Text(), nullable=False),
        sa.Column("written", Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_phone_number_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_phone_number"),
        sa.UniqueConstraint(
            "tenant_id", "digits", "international", name="uq_phone_number_tenant_id_digits_international"
        ),
    )
    op.create_index("ix_phone_number_digits_reversed", "phone_number", ["tenant_id", "digits_reversed"], unique=False)
    op.create_index("ix_phone_number_international", "phone_number", ["tenant_id", "international"], unique=False)
    op.create_index(
        "ix_phone_number_international_reversed", "phone_number", ["tenant_id", "international_reversed"], unique=False
    )
    op.create_table(
        "quarantine",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("spool", Text(), nullable=False),
        sa.Column("path", FileName(), nullable=False),
        sa.Column("path_sha256", Code(64), nullable=False),
        sa.Column("relative", FileName(), nullable=False),
        sa.Column("relative_sha256", Code(64), nullable=False),
        sa.Column("tenant_id", Code(32), nullable=True),
        sa.Column("reason", Text(), nullable=False),
        sa.Column("message", Text(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_at", Utc(), nullable=False),
        sa.Column("last_seen_at", Utc(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_quarantine_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
        sa.UniqueConstraint("spool", "path_sha256", name="uq_quarantine_spool_path_sha256"),
    )
    op.create_index("ix_quarantine_first_seen", "quarantine", ["first_seen_at", "id"], unique=False)
    op.create_index("ix_quarantine_relative", "quarantine", ["spool", "relative_sha256"], unique=False)
    op.create_index("ix_quarantine_tenant", "quarantine", ["tenant_id", "first_seen_at", "id"], unique=False)
    op.create_table(
        "recording",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("day", Code(10), nullable=False),
        sa.Column("started_at", Utc(), nullable=False),
        sa.Column("timezone", Text(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("facts_started_at", Utc(), nullable=True),
        sa.Column("facts_timezone", Text(), nullable=False),
        sa.Column("facts_duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("direction", Text(), nullable=False),
        sa.Column("caller", Text(), nullable=False),
        sa.Column("callee", Text(), nullable=False),
        sa.Column("caller_name", Text(), nullable=False),
        sa.Column("callee_name", Text(), nullable=False),
        sa.Column("extension", Text(), nullable=False),
        sa.Column("route", Text(), nullable=False),
        sa.Column("call_id", Text(), nullable=False),
        sa.Column("linked_id", Text(), nullable=False),
        sa.Column("channels", Text(), nullable=False),
        sa.Column("tenant_hint", Text(), nullable=False),
        sa.Column("awaits_cdr", sa.Boolean(), nullable=False),
        sa.Column("audio", Json(), nullable=False),
        sa.Column("caller_e164", Text(), nullable=False),
        sa.Column("callee_e164", Text(), nullable=False),
        sa.Column("source_name", Text(), nullable=False),
        sa.Column("source_sha256", Code(64), nullable=False),
        sa.Column("content_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content_sha256", Code(64), nullable=False),
        sa.Column("object_key", Text(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stored_sha256", Code(64), nullable=False),
        sa.Column("envelope_offset", sa.BigInteger(), nullable=True),
        sa.Column("envelope_bytes", sa.BigInteger(), nullable=True),
        sa.Column("envelope_iv", sa.LargeBinary(), nullable=True),
        sa.Column("envelope_fingerprints", Json(), nullable=True),
        sa.Column("spool", Text(), nullable=False),
        sa.Column("ingested_at", Utc(), nullable=False),
        sa.Column("flags", Json(), nullable=False),
        sa.Column("peaks", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_recording_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_recording"),
        sa.UniqueConstraint("tenant_id", "day", "name", name="uq_recording_tenant_id_day_name"),
    )
    op.create_index(
        "ix_recording_awaits_cdr",
        "recording",
        ["tenant_id", "ingested_at", "id"],
        unique=False,
        sqlite_where=sa.text("awaits_cdr"),
        postgresql_where=sa.text("awaits_cdr"),
    )
    op.create_index("ix_recording_call_id", "recording", ["tenant_id", "call_id"], unique=False)
    op.create_index("ix_recording_extension", "recording", ["tenant_id", "extension", "started_at", "id"], unique=False)
    op.create_index("ix_recording_time", "recording", ["tenant_id", "started_at", "id"], unique=False)
    op.create_table(
        "tenant_alias",
        sa.Column("alias", Text(), nullable=False),
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_tenant_alias_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("alias", name="pk_tenant_alias"),
    )
    op.create_index("ix_tenant_alias_tenant_id", "tenant_alias", ["tenant_id"], unique=False)
    op.create_table(
        "token",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("user_id", Code(32), nullable=False),
        sa.Column("label", Text(), nullable=False),
        sa.Column("prefix", Text(), nullable=False),
        sa.Column("hash", Code(64), nullable=False),
        sa.Column("scopes", Json(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("expires_at", Utc(), nullable=True),
        sa.Column("last_used_at", Utc(), nullable=True),
        sa.Column("revoked_at", Utc(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["portal_user.id"], name="fk_token_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_token"),
        sa.UniqueConstraint("hash", name="uq_token_hash"),
    )
    op.create_index("ix_token_user_id", "token", ["user_id"], unique=False)
    op.create_table(
        "tombstone",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.Column("day", Code(10), nullable=False),
        sa.Column("name_sha256", Code(64), nullable=False),
        sa.Column("object_key", Text(), nullable=False),
        sa.Column("stored_sha256", Code(64), nullable=False),
        sa.Column("deleted_at", Utc(), nullable=False),
        sa.Column("deleted_by", Text(), nullable=False),
        sa.Column("reason", Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_tombstone_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_tombstone"),
    )
    op.create_index("ix_tombstone_name", "tombstone", ["tenant_id", "day", "name_sha256"], unique=False)
    op.create_index("ix_tombstone_tenant_id_id", "tombstone", ["tenant_id", "id"], unique=False)
    op.create_table(
        "user_grant",
        sa.Column("user_id", Code(32), nullable=False),
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.Column("actions", Json(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_user_grant_tenant_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["portal_user.id"], name="fk_user_grant_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "tenant_id", name="pk_user_grant"),
    )
    op.create_index("ix_user_grant_tenant_id", "user_grant", ["tenant_id"], unique=False)
    op.create_table(
        "web_session",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("hash", Code(64), nullable=False),
        sa.Column("user_id", Code(32), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("last_seen_at", Utc(), nullable=False),
        sa.Column("expires_at", Utc(), nullable=False),
        sa.Column("address", Text(), nullable=False),
        sa.Column("user_agent", Text(), nullable=False),
        sa.Column("revoked_at", Utc(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["portal_user.id"], name="fk_web_session_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_web_session"),
        sa.UniqueConstraint("hash", name="uq_web_session_hash"),
    )
    op.create_index("ix_web_session_expires_at", "web_session", ["expires_at"], unique=False)
    op.create_index("ix_web_session_user_id", "web_session", ["user_id"], unique=False)
    op.create_table(
        "recording_number",
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.Column("number_id", SERIAL, nullable=False),
        sa.Column("started_at", Utc(), nullable=False),
        sa.Column("recording_id", Code(32), nullable=False),
        sa.ForeignKeyConstraint(
            ["number_id"], ["phone_number.id"], name="fk_recording_number_number_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["recording_id"], ["recording.id"], name="fk_recording_number_recording_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_recording_number_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number_id", "started_at", "recording_id", name="pk_recording_number"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_recording_number_recording_id", "recording_number", ["recording_id"], unique=False)

    _index_trigrams()


def _index_trigrams() -> None:
    connection = op.get_bind()
    postgresql = connection.dialect.name == "postgresql"
    try:
        with connection.begin_nested():
            for statement in PG_TRGM if postgresql else FTS5:
                connection.exec_driver_sql(statement)
    except sa.exc.DBAPIError as error:
        logging.getLogger(__name__).warning(
            "no trigram index (%s): searching for digits inside a number reads all numbers of the tenant. %s",
            str(error.orig).strip().splitlines()[0],
            "Have an owner run CREATE EXTENSION pg_trgm before the first start."
            if postgresql
            else "An SQLite of 3.34 or newer with FTS5 has it.",
        )
