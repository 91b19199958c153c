"""Traces: the spans of a job's rows go from whichever process made them to the job's actor, which keeps them for its user.

A trace's id begins with its run (see span.new_trace), so each process knows where to send a span without having been told. What is of no
job, or is not taken there, is written to a file of the process's own node. All of it happens on the outbox's thread: no row waits.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from pydantic import NonNegativeInt

from partsong.contracts import Frozen
from partsong.telemetry import Span
from partsong.telemetry.attributes import HOST, Attribute
from partsong.telemetry.file import SpanFile
from partsong.telemetry.span import run_of
from partsong.wire import Codec

__all__ = ["PARCELS", "Parcel", "RayJobs", "Sender", "SpanPost", "TakeSpans", "here"]

_WITHIN_S = 5.0
"""How long a job's actor may take over one parcel."""
_NO_JOB_S = 60.0
"""How long it is believed that a run has no job's actor."""
_MOST_KNOWN = 256

T = TypeVar("T")


class Sender(Frozen):
    """The process that made spans."""

    actor: str
    """Ray's id of the actor: the same when it is started again."""
    life: str
    """Another one when it is started again."""
    service: str
    host: str
    node: str
    """Ray's id of its node."""


class Parcel(Frozen):
    """Spans of one job, of one process."""

    sender: Sender
    line: bytes
    """As a trace file has them."""
    kept_back: NonNegativeInt
    """Spans of this job, up to now, that could not be sent; they are in the sender's own file."""


PARCELS: Codec[Parcel] = Codec(Parcel)


class TakeSpans(Protocol):
    """A job's actor, blocking."""

    def __call__(self, run: str, packed: bytes) -> bool:
        """Return whether the parcel was taken; False when there is no such job. OSError when it does not answer."""
        ...


class SpanPost:
    """A sink: see the module. At most 256 runs are remembered."""

    def __init__(self, take: TakeSpans, sender: Sender, file: SpanFile, clock: Callable[[], float] = time.monotonic) -> None:
        self._take = take
        self._sender = sender
        self._file = file
        self._clock = clock
        self._kept_back: dict[str, int] = {}
        self._no_job: dict[str, float] = {}

    def write(self, spans: Sequence[Span]) -> bool:
        """See Sink.write."""
        by_run: dict[str, list[Span]] = defaultdict(list)
        for span in spans:
            by_run[run_of(span.trace_id)].append(span)
        stay = [span for run, of_run in by_run.items() if not self._sent(run, of_run) for span in of_run]
        return not stay or self._file.write(stay)

    def close(self) -> None:
        """See Sink.close."""
        self._file.close()

    def _sent(self, run: str, spans: Sequence[Span]) -> bool:
        now_s = self._clock()
        if self._no_job.get(run, now_s) > now_s:
            return False
        parcel = Parcel(sender=self._sender, line=self._file.lines.line(spans), kept_back=self._kept_back.get(run, 0))
        try:
            taken = self._take(run, PARCELS.pack([parcel]))
        except OSError:
            _noted(self._kept_back, run, self._kept_back.get(run, 0) + len(spans))
            return False
        if not taken:
            _noted(self._no_job, run, now_s + _NO_JOB_S)
        return taken


class RayJobs:
    """The jobs of one system, by the names of their actors; implements TakeSpans."""

    def __init__(self, system: str, namespace: str) -> None:
        self._system = system
        self._namespace = namespace

    def __call__(self, run: str, packed: bytes) -> bool:
        """See TakeSpans."""
        import ray
        from ray.exceptions import ActorDiedError, RayError

        try:
            actor = ray.get_actor(f"{self._system}/job/{run}", namespace=self._namespace)
        except ValueError:
            return False
        try:
            return bool(ray.get(actor.spans.remote(packed), timeout=_WITHIN_S))
        except ActorDiedError:
            return False
        except RayError as error:
            raise OSError(f"the job's actor does not answer: {type(error).__name__}") from None


def here(resource: Mapping[str, Attribute]) -> Sender:
    """Return this process, an actor or a driver, as a sender."""
    import ray

    context = ray.get_runtime_context()
    return Sender(
        actor=context.get_actor_id() or context.get_worker_id(),
        life=context.get_worker_id(),
        service=str(resource["service.name"]),
        host=str(resource[HOST]),
        node=context.get_node_id(),
    )


def _noted(known: dict[str, T], run: str, value: T) -> None:
    """Keep the value, and as many as are looked for again."""
    known.pop(run, None)
    if len(known) >= _MOST_KNOWN:
        del known[next(iter(known))]
    known[run] = value
