"""PostgreSQL: the store of a cluster; several journals may write it, and rows get their places in the order of commits."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

from partsong.contracts import CallRecord, Completion, RowRecord
from partsong.contracts.epoch import Epoch
from partsong.contracts.feedback import Feedback
from partsong.errors import StoreError, WireError
from partsong.journal.fencing import check_latest
from partsong.journal.postgres_address import PostgresAddress
from partsong.journal.postgres_server import PostgresServer
from partsong.journal.sealed import CALLS, ROWS, Sealed, seal
from partsong.journal.segments import Kept, Segments, kept_inside
from partsong.journal.store import FORGOTTEN_AT_ONCE, Published, Record, RunInfo
from partsong.wire import Codec

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["PostgresStore"]

_BYTES_A_LOOK = 4_000_000
"""As SQLite's: of large rows fewer are handed out at a time."""

_EPOCH_LOCKS = 0x50535245
_RUN_LOCKS = 0x50535252
"""Two kinds of PostgreSQL's advisory locks, of an epoch's name and of a run: `PSRE`, `PSRR`."""


class PostgresStore:
    """A store in a PostgreSQL database; may be used from any thread, by one at a time.

    While the server is away its methods raise StoreError `store-away`: all of them may be called again, an append whose commit is not known
    to have happened too.
    """

    def __init__(self, server: PostgresServer, segments: Segments | None = None) -> None:
        self._server = server
        self._segments = segments

    @classmethod
    def open(cls, url: str, *, segments: Segments | None = None, read_only: bool = False) -> "PostgresStore":
        """Connect to the database at `postgresql://user@host/database`, and make or bring up its tables."""
        address = PostgresAddress.of(url)
        try:
            return cls(PostgresServer.open(address, read_only=read_only), segments)
        except ImportError as error:
            remedy = "pip install 'partsong[postgres]'"
            raise StoreError("store-package", f"a PostgreSQL store needs a package: {error}", at=address.at, remedy=remedy) from None

    def claim(self, name: str, if_number: int | None = None) -> Epoch:
        """See Store.claim; waits until transactions under the epoch before are over."""

        async def work(connection: "AsyncConnection") -> int:
            await _done(connection, _LOCK, {"kind": _EPOCH_LOCKS, "keys": [_key(name)]})
            number: int = (await _done(connection, _CLAIM, {"name": name, "if_number": if_number})).scalar_one()
            return number

        return Epoch(name=name, number=self._server.do(work))

    def holds(self, epoch: Epoch) -> bool:
        """See Store.holds."""
        return dict(self._found(_LATEST, {"names": [epoch.name]})) == {epoch.name: epoch.number}

    def append(self, records: Iterable[Record], under: Collection[Epoch] = ()) -> None:
        """See Store.append."""
        sealed = seal(records)
        kept = [kept_inside(one) for one in sealed] if self._segments is None else self._segments.put(sealed)
        stored = list(zip(sealed, kept, strict=True))
        calls = [one for one in stored if one[0].step is not None and one[0].settled]
        attempts = [one for one in stored if one[0].step is not None and not one[0].settled]
        rows = [one for one in stored if one[0].step is None]

        async def work(connection: "AsyncConnection") -> None:
            await _check_latest(connection, under)
            if calls:
                await _done(connection, _INSERT_CALLS, _columns(calls, _CALL_KEYS))
            if attempts:
                await _done(connection, _INSERT_ATTEMPTS, {**_columns(attempts, _ATTEMPT_KEYS), "nth": _nth(attempts)})
            if rows:
                keys = sorted({_key(row.run) for row, _ in rows})
                await _done(connection, _LOCK, {"kind": _RUN_LOCKS, "keys": keys})  # until the commit
                await _done(connection, _INSERT_ROWS, _columns(rows, _ROW_KEYS))

        self._server.do(work)

    def calls(self, run: str, first_row: int, last_row: int) -> Sequence[CallRecord]:
        """See Store.calls."""
        return self._unpacked(CALLS, [Kept(*one) for one in self._found(_CALLS, {"run": run, "first": first_row, "last": last_row})])

    def failed_calls(self, run: str, first_row: int, last_row: int) -> Sequence[CallRecord]:
        """See Store.failed_calls."""
        return self._unpacked(CALLS, [Kept(*one) for one in self._found(_FAILED_CALLS, {"run": run, "first": first_row, "last": last_row})])

    def done(self, run: str, first_row: int, last_row: int) -> frozenset[int]:
        """See Store.done."""
        return frozenset(row for (row,) in self._found(_DONE, {"run": run, "first": first_row, "last": last_row}))

    def finished(self, run: str, before_row: int) -> int:
        """See Store.finished."""
        count: int = self._found(_FINISHED, {"run": run, "before": before_row})[0][0]
        return count

    def row(self, run: str, row: int) -> RowRecord | None:
        """See Store.row."""
        found = self._unpacked(ROWS, [Kept(*one) for one in self._found(_ROW, {"run": run, "row": row})])
        return found[0] if found else None

    def rows(self, run: str, after_seq: int, limit: int) -> Sequence[tuple[int, RowRecord]]:
        """See Store.rows."""
        found = self._found(_ROWS, {"run": run, "after": after_seq, "limit": limit, "bytes": _BYTES_A_LOOK})
        records = self._unpacked(ROWS, [Kept(*kept) for _, *kept in found])
        return [(seq, record) for (seq, *_), record in zip(found, records, strict=True)]

    def cached(self, ask_hashes: Sequence[bytes], of: Collection[str] = ()) -> Mapping[bytes, Completion]:
        """See Store.cached; of several completions the first one journalled."""
        if not ask_hashes:
            return {}
        found = self._found(_CACHED, {"hashes": list(ask_hashes), "of": list(of)})
        calls = self._unpacked(CALLS, [Kept(*kept) for _, *kept in found])
        replies = {ask_hash: call.reply for (ask_hash, *_), call in zip(found, calls, strict=True)}
        return {ask_hash: reply for ask_hash, reply in replies.items() if isinstance(reply, Completion)}

    def spent(self, run: str | None, since_s: float) -> Mapping[str, float]:
        """See Store.spent."""
        return dict(self._found(_SPENT_BY_ALL, {"since": since_s}) if run is None else self._found(_SPENT, {"run": run, "since": since_s}))

    def rate(self, feedback: Iterable[Feedback]) -> None:
        """See Store.rate."""
        given = [one.model_dump() for one in feedback]

        async def work(connection: "AsyncConnection") -> None:
            for one in given:
                await _done(connection, _RATE, one)

        self._server.do(work)

    def ratings(self, run: str, first_row: int, last_row: int) -> Sequence[Feedback]:
        """See Store.ratings."""
        found = self._found(_RATINGS, {"run": run, "first": first_row, "last": last_row})
        return [
            Feedback(run=run, row=row, by=by, score=score, comment=c, at_s=at, edited=edited) for row, by, score, c, at, edited in found
        ]

    def run(self, run: str) -> RunInfo | None:
        """See Store.run."""
        found = self._found("select run, mesh_hash, input_hash, started_s from runs where run = :run", {"run": run})
        return RunInfo(*found[0]) if found else None

    def begin(self, info: RunInfo, under: Collection[Epoch] = ()) -> None:
        """See Store.begin; a run that is there already is left as it was."""
        values = {"run": info.run, "mesh_hash": info.mesh_hash, "input_hash": info.input_hash, "started_s": info.started_s}
        self._changed(_BEGIN, values, under)

    def forget(self, run: str, under: Collection[Epoch] = ()) -> bool:
        """See Store.forget; the run's segments are deleted last."""

        async def work(connection: "AsyncConnection") -> bool:
            await _check_latest(connection, under)
            await _done(connection, _LOCK, {"kind": _RUN_LOCKS, "keys": [_key(run)]})
            for table in ("runs", "feedback"):
                await _done(connection, f"delete from {table} where run = :run", {"run": run})  # noqa: S608 - constants
            first = (await _done(connection, _FIRST_ROW, {"run": run})).scalar_one()
            if first is None:
                return False
            for statement in _FORGET:
                await _done(connection, statement, {"run": run, "before": first + FORGOTTEN_AT_ONCE})
            return True

        return self._server.do(work) or (self._segments is not None and self._segments.forget(run))

    def published(self, run: str) -> Published:
        """See Store.published; of a run that is not there, nothing is published."""
        found = self._found("select seq, output_bytes, errors_bytes from runs where run = :run", {"run": run})
        return Published(*found[0]) if found else Published()

    def publish(self, run: str, published: Published, under: Collection[Epoch] = ()) -> None:
        """See Store.publish."""
        values = {
            "run": run,
            "seq": published.seq,
            "output_bytes": published.output_bytes,
            "errors_bytes": published.errors_bytes,
        }
        if not self._changed(_PUBLISH, values, under):
            raise StoreError("store-unknown-run", f"the journal has no run {run!r}", at=self._server.address.at, remedy="begin it first")

    def close(self) -> None:
        """See Store.close; may be called again."""
        self._server.close()

    def _found(self, query: str, values: Mapping[str, Any]) -> Sequence[Any]:
        async def work(connection: "AsyncConnection") -> Sequence[Any]:
            found: Sequence[Any] = (await _done(connection, query, values)).all()
            return found

        return self._server.do(work)

    def _changed(self, statement: str, values: Mapping[str, Any], under: Collection[Epoch]) -> int:
        """Return how many rows of the table were changed."""

        async def work(connection: "AsyncConnection") -> int:
            await _check_latest(connection, under)
            count: int = (await _done(connection, statement, values)).rowcount
            return count

        return self._server.do(work)

    def _unpacked(self, codec: Codec[Any], kept: Sequence[Kept]) -> list[Any]:
        apart = self._read(kept)
        return [self._opened(codec, one, one.record if one.segment is None else apart[one.segment, one.start]) for one in kept]

    def _read(self, kept: Sequence[Kept]) -> Mapping[tuple[str, int], bytes]:
        if self._segments is not None:
            return self._segments.read(kept)
        if any(one.segment is not None for one in kept):
            what = "large records of this journal stand in segments, and it is not said where those are"
            remedy = "name the place that they were written to: `store: {segments: ...}`"
            raise StoreError("store-segments", what, at=self._server.address.at, remedy=remedy)
        return {}

    def _opened(self, codec: Codec[Any], kept: Kept, packed: bytes | None) -> Any:
        if packed is None or crc32(packed) != kept.crc:
            remedy = "restore it from a copy, or start the run again with --fresh"
            what = "the journal is damaged: a record is not what was written"
            raise StoreError("store-corrupt", what, at=self._server.address.at, remedy=remedy)
        try:
            return codec.unpack(packed)[0]
        except (WireError, IndexError) as error:
            what = error.problems[0].what if isinstance(error, WireError) else "it is empty"
            remedy = "read it with the version of Partsong that wrote it, or start the run again with --fresh"
            said = f"a record of the journal cannot be read: {what}"
            raise StoreError("store-bad-record", said, at=self._server.address.at, remedy=remedy) from None


_Stored = tuple[Sealed, Kept]


async def _check_latest(connection: "AsyncConnection", under: Collection[Epoch]) -> None:
    """Raise FencedError when an epoch is over; a claim waits from here on until the transaction is: what is read here stays so."""
    if not under:
        return
    names = [epoch.name for epoch in under]
    await _done(connection, _LOCK_SHARED, {"kind": _EPOCH_LOCKS, "keys": sorted({_key(name) for name in names})})
    check_latest(under, dict((await _done(connection, _LATEST, {"names": names})).all()))


async def _done(connection: "AsyncConnection", statement: str, values: Mapping[str, Any]) -> Any:
    from sqlalchemy import text

    return await connection.execute(text(statement), dict(values))


def _key(name: str) -> int:
    """Return a name's number among the locks; two names that share one only wait for one another."""
    return crc32(name.encode()) - (1 << 31)


def _columns(stored: Sequence[_Stored], keys: Sequence[str]) -> dict[str, list[Any]]:
    """Return the records by column."""
    columns: dict[str, list[Any]] = {key: [getattr(sealed, key) for sealed, _ in stored] for key in keys}
    return columns | {key: [getattr(kept, key) for _, kept in stored] for key in Kept.__slots__}


def _nth(attempts: Sequence[_Stored]) -> list[int]:
    """Number those that are the same in all: an append that is repeated finds them there, and two in one are two."""
    seen: dict[tuple[Any, ...], int] = {}
    numbers = []
    for sealed, kept in attempts:
        key = (sealed.run, sealed.row, sealed.step, sealed.ask_hash, sealed.at_s, kept.crc)
        seen[key] = seen.get(key, -1) + 1
        numbers.append(seen[key])
    return numbers


_CALL_KEYS = ("run", "row", "step", "ask_hash", "answered", "model", "usd", "at_s")
_ATTEMPT_KEYS = ("run", "row", "step", "ask_hash", "model", "usd", "at_s")
_ROW_KEYS = ("run", "row")
_TYPES = {
    "run": "text",
    "row": "bigint",
    "step": "text",
    "ask_hash": "bytea",
    "answered": "boolean",
    "model": "text",
    "usd": "double precision",
    "at_s": "double precision",
    "nth": "integer",
    "record": "bytea",
    "segment": "text",
    "start": "bigint",
    "length": "integer",
    "crc": "bigint",
}


def _insert(table: str, *keys: str) -> str:
    """Return the statement that appends many records, in their order, and leaves alone those that are there."""
    columns = [*keys, *Kept.__slots__]
    named = ", ".join(f'"{column}"' for column in columns)
    arrays = ", ".join(f"cast(:{column} as {_TYPES[column]}[])" for column in columns)
    given = f"unnest({arrays}) with ordinality as given ({named}, place)"
    return f"insert into {table} ({named}) select {named} from {given} order by place on conflict do nothing"  # noqa: S608 - constants


_INSERT_CALLS = _insert("calls", *_CALL_KEYS)
_INSERT_ATTEMPTS = _insert("attempts", *_ATTEMPT_KEYS, "nth")
_INSERT_ROWS = _insert("rows", *_ROW_KEYS)

_KEPT = "record, segment, start, length, crc"
_LOCK = "select pg_advisory_xact_lock(:kind, key) from unnest(cast(:keys as integer[])) as key"
_LOCK_SHARED = "select pg_advisory_xact_lock_shared(:kind, key) from unnest(cast(:keys as integer[])) as key"
_CLAIM = """
insert into epochs (name, number) values (:name, 1) on conflict (name) do update
set number = epochs.number + cast(coalesce(epochs.number = cast(:if_number as bigint), true) as integer) returning number
"""
_LATEST = "select name, number from epochs where name = any(cast(:names as text[]))"
_CALLS = f"""
select {_KEPT} from calls where run = :run and "row" between :first and :last
and not exists (select from rows where rows.run = calls.run and rows."row" = calls."row") order by "row", seq
"""  # noqa: S608 - constants
_FAILED_CALLS = f"""
select {_KEPT} from calls where run = :run and "row" between :first and :last and not answered order by "row", seq
"""  # noqa: S608 - constants
_DONE = 'select "row" from rows where run = :run and "row" between :first and :last'
_FINISHED = 'select count(*) from rows where run = :run and "row" < :before'
_ROW = f'select {_KEPT} from rows where run = :run and "row" = :row'  # noqa: S608 - constants
_ROWS = f"""
select seq, {_KEPT} from (
    select *, sum(length) over (order by seq) - length as bytes_before
    from (select * from rows where run = :run and seq > :after order by seq limit :limit) as next
) as measured
where bytes_before < :bytes order by seq
"""  # noqa: S608 - constants
_CACHED = f"""
select distinct on (ask_hash) ask_hash, {_KEPT} from calls
where answered and ask_hash = any(cast(:hashes as bytea[])) order by ask_hash, run = any(cast(:of as text[])) desc, seq
"""  # noqa: S608 - constants
_SPENT = """
select model, sum(usd) from (
    select model, usd from calls where run = :run and usd > 0 and at_s >= :since
    union all select model, usd from attempts where run = :run and usd > 0 and at_s >= :since
) as paid group by model
"""
_SPENT_BY_ALL = """
select model, sum(usd) from (
    select model, usd from calls where usd > 0 and at_s >= :since
    union all select model, usd from attempts where usd > 0 and at_s >= :since
    union all select model, usd from forgotten where at_s >= :since
) as paid group by model
"""
_BEGIN = """
insert into runs (run, mesh_hash, input_hash, started_s) values (:run, :mesh_hash, :input_hash, :started_s) on conflict do nothing
"""
_PUBLISH = "update runs set seq = :seq, output_bytes = :output_bytes, errors_bytes = :errors_bytes where run = :run"
_RATE = """
insert into feedback (run, "row", "by", score, comment, at_s, edited) values (:run, :row, :by, :score, :comment, :at_s, :edited)
on conflict (run, "row", "by") do update set score = coalesce(excluded.score, feedback.score),
edited = coalesce(excluded.edited, feedback.edited), at_s = excluded.at_s,
comment = case when excluded.score is null and excluded.comment = '' then feedback.comment else excluded.comment end
where excluded.at_s >= feedback.at_s
"""
_RATINGS = """
select "row", "by", score, comment, at_s, edited from feedback
where run = :run and "row" between :first and :last order by "row", "by" collate "C"
"""
_FIRST_ROW = """
select min("row") from (
    select min("row") as "row" from calls where run = :run union all select min("row") from attempts where run = :run
    union all select min("row") from rows where run = :run
) as firsts
"""
_INTO_FORGOTTEN = """
insert into forgotten select model, sum(usd), max(at_s) from {} where run = :run and "row" < :before and usd > 0
group by model, floor(at_s / 3600)
"""
_FORGET = (
    *(_INTO_FORGOTTEN.format(table) for table in ("calls", "attempts")),
    *(f'delete from {table} where run = :run and "row" < :before' for table in ("calls", "attempts", "rows")),  # noqa: S608 - constants
)
