"""Reckoning: what a run has come to, by its files, its journal and the provider's own count of calls."""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from providers.process import RunningServer

from chaos.scene import CALLS_IN_FLIGHT, Scene, answers_in
from partsong.journal.sealed import CALLS

__all__ = ["Moment", "Reckoning", "moment", "reckoned", "rows_done"]


@dataclass(frozen=True, slots=True)
class Moment:
    """How things stood just before a fault."""

    records: Sequence[bytes]
    """Calls that the journal held with a completion, packed."""
    asked: Mapping[str, int]
    """What the provider had been asked by then, read after the journal was."""

    def journalled(self) -> frozenset[str]:
        """Return the held calls by what they said, which is what the provider was asked."""
        return frozenset(CALLS.unpack(record)[0].reply.text for record in self.records)


@dataclass(frozen=True, slots=True)
class Reckoning:
    """All but `rows` and `asked_again` is to be zero."""

    rows: int
    lost: int
    """Rows in neither file."""
    twice: int
    """Rows that stand there more than once."""
    failed: int
    """Rows in errors.jsonl."""
    other: int
    """Answers unlike the undisturbed run's."""
    paid_again: int
    """Calls made again though the journal held them at a fault, or more often than once a fault, or more than can have been in flight."""
    asked_again: int
    """Calls made again that were in flight, or not yet in the journal."""

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.failed or self.other or self.paid_again)


def moment(scene: Scene, server: RunningServer) -> Moment:
    """Return how things stand: the journal is read first, so that what it holds was asked by then."""
    records = _records(scene.journal)
    return Moment(records, server.stats()["calls"])


def reckoned(
    scene: Scene, moments: Sequence[Moment], asked: Mapping[str, int], answers: Mapping[str, str], *, spares_calls: bool
) -> Reckoning:
    """Return what the run came to. `spares_calls`: whether nothing that happened takes calls in flight along."""
    succeeded = _ids(scene.out / "output.jsonl")
    failed = _ids(scene.out / "errors.jsonl")
    found = succeeded + failed
    answered = answers_in(scene.out)
    again = sum(asked.values()) - len(asked)
    paid_again = again if spares_calls else _paid_again(moments, asked)
    return Reckoning(
        rows=scene.rows,
        lost=sum(custom_id not in found for custom_id in scene.ids),
        twice=found.total() - len(found),
        failed=failed.total(),
        other=sum(answered[custom_id] != answers[custom_id] for custom_id in answered),
        paid_again=paid_again,
        asked_again=again - paid_again,
    )


def _paid_again(moments: Sequence[Moment], asked: Mapping[str, int]) -> int:
    held_by_then = [(one.journalled(), one.asked) for one in moments]
    of_held = sum(asked[call] - before[call] for held, before in held_by_then for call in held)
    too_often = 0
    for call, count in asked.items():
        in_flight = sum(call not in held for held, _ in held_by_then)
        too_often += max(0, count - 1 - in_flight)
    too_many = sum(asked.values()) - len(asked) - CALLS_IN_FLIGHT * len(moments)
    return max(of_held, too_often, too_many)


def rows_done(journal: Path) -> int:
    """How many rows the journal of a run at work holds; 0 while there is none."""
    return _asked_of(journal, "select count(*) from rows", [(0,)])[0][0]


def _records(journal: Path) -> list[bytes]:
    return [record for (record,) in _asked_of(journal, "select record from calls where answered = 1", [])]


def _asked_of(journal: Path, query: str, otherwise: list) -> list:
    try:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=5.0)) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError:  # not there yet, or being made
        return otherwise


def _ids(lines: Path) -> Counter[str]:
    return Counter(json.loads(line)["custom_id"] for line in lines.read_text().splitlines())
