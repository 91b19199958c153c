"""The tables: those of the SQLite store's schema, version 4.

Calls have a `seq`, in whose order they were appended, where SQLite counts its row ids. A record's bytes stand in `record`, or at `start`,
`length` bytes long, in the object `segment`. Locks: whoever appends rows holds the lock of their run until its commit, so that a run's
`seq` grows in the order of commits, whoever writes.
"""

from alembic import op

revision = "0001"
down_revision = None

_BYTES = "crc bigint not null, record bytea, segment text, start bigint not null, length integer not null"

_TABLES = f"""
create table runs (
    run text primary key, mesh_hash text not null, input_hash text not null, started_s double precision not null,
    seq bigint not null default 0, output_bytes bigint not null default 0, errors_bytes bigint not null default 0
);
create table calls (
    seq bigint generated always as identity, run text not null, "row" bigint not null, step text not null, ask_hash bytea not null,
    answered boolean not null, model text not null, usd double precision not null, at_s double precision not null, {_BYTES},
    unique (run, "row", step, ask_hash)
);
create index calls_by_ask on calls (ask_hash, seq) where answered;
create index calls_by_cost on calls (run) include (model, at_s, usd) where usd > 0;
create index calls_by_time on calls using brin (at_s);
create table attempts (
    run text not null, "row" bigint not null, step text not null, ask_hash bytea not null,
    model text not null, usd double precision not null, at_s double precision not null, nth integer not null, {_BYTES},
    unique (run, "row", step, ask_hash, at_s, crc, nth)
);
create index attempts_by_cost on attempts (run) include (model, at_s, usd) where usd > 0;
create index attempts_by_time on attempts using brin (at_s);
create table forgotten (model text not null, usd double precision not null, at_s double precision not null);
create table rows (
    seq bigint generated always as identity primary key, run text not null, "row" bigint not null, {_BYTES},
    unique (run, "row")
);
create index rows_by_seq on rows (run, seq);
create table epochs (name text primary key, number bigint not null);
"""


def upgrade() -> None:
    """Make them."""
    for statement in _TABLES.split(";"):
        if statement.strip():
            op.execute(statement)
