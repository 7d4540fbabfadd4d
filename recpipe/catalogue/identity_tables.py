"""The tables of who vouches for people and whom they know, of their passkeys, and of where they failed to sign in."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, Table, UniqueConstraint

from recpipe.catalogue.columns import SERIAL, metadata
from recpipe.catalogue.columns import at_column as _at
from recpipe.catalogue.columns import flag_column as _flag
from recpipe.catalogue.columns import id_column as _id
from recpipe.catalogue.columns import json_column as _json
from recpipe.catalogue.columns import number_column as _number
from recpipe.catalogue.columns import tenant_column as _tenant
from recpipe.catalogue.columns import text_column as _text
from recpipe.catalogue.columns import user_column as _user
from recpipe.catalogue.types import Text

# Who vouches for people of a tenant, or of the installation: one each.
identity_provider = Table(
    "identity_provider",
    metadata,
    _id(),
    _tenant(nullable=True),
    _text("owner"),  # the tenant's id; "": the installation, which no unique key over NULL would keep to one
    _text("issuer", 500),
    _text("client_id", 500),
    _text("client_secret"),
    _text("label", 200),
    _text("factors"),
    _json("acr_values"),
    _flag("enabled"),
    _at("created_at"),
    UniqueConstraint("owner"),
    Index("ix_identity_provider_tenant_id", "tenant_id"),
)

identity = Table(
    "identity",
    metadata,
    _id(),
    _user(),
    _text("issuer", 500),
    _text("subject", 255),
    _text("shown", 200),
    _at("linked_at"),
    _at("last_used_at", nullable=True),
    UniqueConstraint("issuer", "subject"),
    Index("ix_identity_user_id", "user_id"),
)

passkey = Table(
    "passkey",
    metadata,
    _id(),
    _user(),
    _text("credential", 1400),
    Column("public_key", LargeBinary, nullable=False),
    _number("sign_count"),
    _text("label", 200),
    _at("created_at"),
    _at("last_used_at", nullable=True),
    UniqueConstraint("credential"),
    Index("ix_passkey_user_id", "user_id"),
)

login_failure = Table(
    "login_failure",
    metadata,
    Column("id", SERIAL, primary_key=True),
    _text("key", 200),
    _at("at"),
    Index("ix_login_failure_key_at", "key", "at"),
    Index("ix_login_failure_at", "at"),
)

# An account signed in from this network, last at this time: one key for both, hashed.
known_network = Table(
    "known_network",
    metadata,
    Column("key", Text(200), primary_key=True),
    _at("at"),
)
