"""Alembic's entry: runs on the connection that `ropeway_server.database` hands over."""

from alembic import context

from ropeway_server.database import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
