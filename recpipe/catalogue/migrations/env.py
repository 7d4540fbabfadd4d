"""Run by Alembic, inside the transaction and under the lock of `recpipe.catalogue.migrate`."""

from __future__ import annotations

from alembic import context

from recpipe.catalogue.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
