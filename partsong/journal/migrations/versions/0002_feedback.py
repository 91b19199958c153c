"""Feedback: what users made of rows' answers; the table of the SQLite store's schema, version 5."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make it."""
    op.execute("""
        create table feedback (
            run text not null, "row" bigint not null, "by" text not null, score double precision not null,
            comment text not null, at_s double precision not null, primary key (run, "row", "by")
        )
    """)
