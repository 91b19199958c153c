"""Edits: the text that a person made of an answer, with or without a verdict; as in the SQLite store's schema, version 6."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make room for it."""
    op.execute("alter table feedback add column edited text, alter column score drop not null")
