"""Alembic's environment: migrates the database of the connection that Partsong hands over."""

from alembic import context

from partsong.journal.postgres_schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
