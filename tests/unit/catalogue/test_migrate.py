"""The migrations are one chain, whatever their numbers; tests/integration/test_migrations.py runs them."""

from __future__ import annotations

from alembic.script import ScriptDirectory

from recpipe.catalogue.migrate import HEAD, config


def test_the_migrations_are_one_chain_that_ends_at_the_schema_of_this_version() -> None:
    ends = ScriptDirectory.from_config(config()).get_heads()
    assert ends == [HEAD], (
        f"The migrations end at {' and '.join(ends)}, and HEAD in catalogue/migrate.py is {HEAD}. A new one's "
        "down_revision is the HEAD there was before it, which need not be the highest number; its own is the new HEAD."
    )
