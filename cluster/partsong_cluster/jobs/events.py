"""Events: what a job tells, as lines of JSON: its actor makes them, its watcher prints them, `follow` draws them."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError

from partsong.contracts import Frozen
from partsong.errors import PartsongError
from partsong_cluster.batch.tally import Tally
from partsong_cluster.jobs.retold import retold, told

__all__ = ["Event", "ended", "failed", "progress", "said"]

Kind = Literal["progress", "say", "end", "error"]


class Event(Frozen):
    """One thing that is told."""

    partsong: Literal[1] = 1
    """Of this format; tells these lines from others in a job's log."""
    kind: Kind
    line: str = ""
    """Of `say`: for people."""
    tally: Any = None
    """Of `progress`: see Tally."""
    in_flight: int = 0
    fraction: float | None = None
    """Of `progress`: the share of the input that is done, where that is known."""
    summary: Any = None
    """Of `end`: what stands in summary.json."""
    problems: tuple[Mapping[str, str], ...] = ()
    """Of `error`: code, what, where, remedy."""
    family: str = ""
    """Of `error`: the class of errors that it belongs to."""
    code: int = 0
    """Of `end` and `error`: the exit code."""

    @property
    def is_last(self) -> bool:
        """Whether nothing comes after it."""
        return self.kind in ("end", "error")

    def written(self) -> str:
        """Return it as a line of JSON."""
        return self.model_dump_json(exclude_defaults=True, exclude={"partsong"})[:-1] + ',"partsong":1}'

    @classmethod
    def read(cls, line: str) -> "Event | None":
        """Return the event of a line of a job's log; None when it is none of ours."""
        if not line.startswith("{") or '"partsong":1' not in line:
            return None
        try:
            return cls.model_validate(json.loads(line))
        except (ValueError, ValidationError):
            return None

    def read_tally(self) -> Tally:
        """Return the tally of `progress`."""
        return Tally.read(self.tally)

    def error(self) -> PartsongError:
        """Return the error of `error`, as it was raised where the job works."""
        return retold(self.family, self.problems)


def progress(tally: Tally, in_flight: int, fraction: float | None) -> Event:
    """Return how a run is doing; latencies stand in the summary."""
    written = tally.written()
    return Event(kind="progress", tally={**written, "latency": {}}, in_flight=in_flight, fraction=fraction)


def said(line: str) -> Event:
    """Return a line for people."""
    return Event(kind="say", line=line)


def ended(summary: Mapping[str, Any], code: int) -> Event:
    """Return a session's end."""
    return Event(kind="end", summary=dict(summary), code=code)


def failed(error: PartsongError, code: int) -> Event:
    """Return what ended a session before its time."""
    return Event(kind="error", problems=told(error), family=type(error).__name__, code=code)
