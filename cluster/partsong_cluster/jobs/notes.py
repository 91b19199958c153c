"""Notes: what Ray's head keeps of jobs, for as long as its state: for which tenant each works, since when, and how it ended.

By them a job knows the others of its tenant, whoever started them and in whatever order, and a watcher that comes late how the run ended.
Kept two days past a job's end. Everything here asks the head, and blocks.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from partsong_actors.setup import Around
from pydantic import PositiveFloat, ValidationError

from partsong.contracts import Frozen
from partsong_cluster.jobs.events import Event

__all__ = ["Head", "JobNote", "Notes"]

_STARTS_WITHIN_S = 60.0
"""How long a job counts as at work whose actor is not there yet."""
_KEPT_S = 2 * 86_400.0


class JobNote(Frozen):
    """One job."""

    run: str
    tenant: str
    system: str
    namespace: str
    weight: PositiveFloat
    """Its share beside other jobs of its tenant."""
    at_s: float
    """Unix time of its last beginning, or of its end."""
    ended: bool = False

    @property
    def actor(self) -> tuple[str, str]:
        """Namespace and name of the actor that works it."""
        return self.namespace, Around(system=self.system, namespace=self.namespace).job(self.run)

    def at_work(self, actors: Collection[tuple[str, str]], now_s: float) -> bool:
        """Return whether the job is at work, or about to be."""
        return not self.ended and (self.actor in actors or now_s - self.at_s < _STARTS_WITHIN_S)


class Head(Protocol):
    """What is asked of Ray's head."""

    def put(self, key: str, value: str) -> None:
        """Keep it."""
        ...

    def delete(self, key: str) -> None:
        """Keep it no longer."""
        ...

    def get(self, keys: Sequence[str]) -> Sequence[str]:
        """Return the values of those that are kept."""
        ...

    def keys(self, prefix: str) -> Sequence[str]:
        """Return the keys that begin so."""
        ...

    def actors(self) -> Collection[tuple[str, str]]:
        """Return namespace and name of every actor that has a name."""
        ...


class Notes:
    """The notes of all jobs of a cluster."""

    def __init__(self, head: Head, clock: Callable[[], float] = time.time) -> None:
        self._head = head
        self._clock = clock

    def begin(self, note: JobNote) -> None:
        """The job begins now, or anew: how it ended before no longer holds."""
        self._keep(note, ended=False)
        self._head.delete(_end_key(note.run))

    def end(self, note: JobNote, event: Event) -> None:
        """The job has ended so."""
        self._head.put(_end_key(note.run), event.written())
        self._keep(note, ended=True)

    def refuse(self, note: JobNote) -> None:
        """The job that has begun may not work now."""
        self._keep(note, ended=True)

    def ended(self, run: str) -> Event | None:
        """Return how the run ended; None if it has not, or nobody knows."""
        return next((Event.read(line) for line in self._head.get([_end_key(run)])), None)

    def of(self, tenant: str) -> Sequence[JobNote]:
        """Return the tenant's jobs, those that ended a while ago too."""
        found = map(_read, self._head.get(self._head.keys(_note_key(tenant, ""))))
        return [note for note in found if note is not None and note.tenant == tenant]

    def at_work(self, tenant: str) -> Sequence[JobNote]:
        """Return the tenant's jobs that are at work, in the order they began; what is older than anybody asks for is deleted."""
        actors, now_s = self._head.actors(), self._clock()
        working = []
        for note in self.of(tenant):
            if note.at_work(actors, now_s):
                working.append(note)
            elif now_s - note.at_s > _KEPT_S:
                self.forget(tenant, note.run)
        return sorted(working, key=lambda note: (note.at_s, note.run))

    def forget(self, tenant: str, run: str) -> None:
        """Keep nothing of the job."""
        self._head.delete(_note_key(tenant, run))
        self._head.delete(_end_key(run))

    def _keep(self, note: JobNote, *, ended: bool) -> None:
        kept = note.model_copy(update={"at_s": self._clock(), "ended": ended})
        self._head.put(_note_key(note.tenant, note.run), kept.model_dump_json())


def _read(kept: str) -> JobNote | None:
    try:
        return JobNote.model_validate_json(kept)
    except ValidationError:  # of another version of Partsong
        return None


def _note_key(tenant: str, run: str) -> str:
    return f"tenant/{tenant}/{run}"


def _end_key(run: str) -> str:
    return f"end/{run}"
