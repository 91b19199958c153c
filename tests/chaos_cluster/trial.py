"""Trial: one submitted job of many rows, and one fault; its line in the table."""

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chaos.scene import CALLS_IN_FLIGHT

from chaos_cluster.books import Pulse, held_since
from chaos_cluster.faults import Fault
from chaos_cluster.paid import Reach, paid_again
from chaos_cluster.signs import Signs, seen
from chaos_cluster.world import JOB, World

__all__ = ["Outcome", "StandstillError", "Trial"]

_STANDS_STILL_S = 240.0
"""A job that answers no row for so long, after the fault is over, does not go on by itself any more."""

_ENDS_WITHIN_S = 120.0
"""How long a job may take to end when all its rows are answered."""

_SHOWS_WITHIN_S = 30.0
"""How long after the end of a job it may take until the fault shows."""

_AFTERMATH_S = 30.0
"""How long after a fault calls may still be lost by it: Ray notices a lost node after 6 s, and a call lasts 20 s at most."""


class StandstillError(AssertionError):
    """A job did not go on, or ended badly; or its fault did not strike."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job has come to; `lost`, `twice`, `failed`, `other` and `paid_again` are to be 0."""

    rows: int
    lost: int
    """Rows in neither file."""
    twice: int
    """Rows that stand there more than once."""
    failed: int
    """Rows in errors.jsonl."""
    other: int
    """Answers unlike those that nothing disturbed."""
    paid_again: int
    """Calls made again that nothing excuses: see `chaos_cluster.paid`."""
    paid: list[str]
    """Each of them, in seconds from the strike on."""
    asked_again: int
    """All calls that reached the provider more than once: those in flight at the fault, and not yet in the journal."""
    struck: str
    """What shows that the fault struck."""
    lasted_s: float
    """How long the fault was."""
    goes_on_s: float | None
    """From its end until the next row was answered; None when all were answered before."""
    stood_still_s: float
    """The longest time in which no row was answered, from the fault on."""
    took_s: float
    """The whole job."""

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.failed or self.other or self.paid_again)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Trial:
    """One job in a world of its own, and what befalls it."""

    folder: Path
    rows: int
    fault: Fault
    seed: int
    answers: Mapping[str, str]
    """Those that nothing disturbed, by id."""
    latency_s: float = 0.1
    nodes: int = 3
    """Ray nodes beside the head."""

    def outcome(self) -> Outcome:
        """Do it; raises StandstillError when the job needs a hand, RuntimeError when who comes back to it does not see it end well."""
        dice = random.Random(f"{self.seed} {self.fault.name}")
        with World(self.folder, self.rows, self.latency_s, self.nodes) as world, Pulse(world.postgres.url) as pulse:
            self._world, self._pulse = world, pulse
            begun_s = time.monotonic()
            client = world.submit()
            try:
                self._until_rows(dice.randrange(self.rows // 8, self.rows // 3), client)
                before = seen(world)
                struck_s = time.monotonic()
                if self.fault.ends_client:
                    client.kill()
                    client.wait()
                self.fault.strike(world, dice)
                over_s = time.monotonic()
                self._finished()
                if self.fault.ends_client:
                    world.told("jobs", "follow", JOB, "--address", world.cluster.jobs_address, "--json", timeout_s=_ENDS_WITHIN_S)
                took_s = time.monotonic() - begun_s
                struck = self._struck(before)
            finally:
                client.kill()
                client.wait()
            return self._reckoned(
                struck_s,
                Reach(struck_s, over_s + _AFTERMATH_S, CALLS_IN_FLIGHT) if self.fault.takes_calls else None,
                struck=struck,
                lasted_s=over_s - struck_s,
                goes_on_s=pulse.first_after_s(over_s),
                stood_still_s=pulse.longest_gap_s(struck_s),
                took_s=took_s,
            )

    def _struck(self, before: Signs) -> str:
        """Return what shows that the fault struck; raises StandstillError when nothing does."""
        until_s = time.monotonic() + _SHOWS_WITHIN_S
        while not (shown := self.fault.shows(before, seen(self._world))):
            if time.monotonic() > until_s:
                raise self._standstill("nothing shows that it struck")
            time.sleep(1)
        return shown

    def _reckoned(self, struck_s: float, reach: Reach | None, **seen_of_it: Any) -> Outcome:
        arrivals = self._world.upstream.server.arrivals()
        asked = Counter(one.prompt for one in arrivals)
        paid = paid_again(arrivals, held_since(self._world.postgres.url), reach)
        succeeded, failed = self._lines("output.jsonl"), self._lines("errors.jsonl")
        found = Counter(line["custom_id"] for line in succeeded + failed)
        answered = {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in succeeded}
        return Outcome(
            rows=self.rows,
            lost=sum(f"id-{n}" not in found for n in range(self.rows)),
            twice=found.total() - len(found),
            failed=len(failed),
            other=sum(text != self.answers[custom_id] for custom_id, text in answered.items()),
            paid_again=len(paid),
            paid=[one.told(struck_s) for one in paid],
            asked_again=asked.total() - len(asked),
            **seen_of_it,
        )

    def _lines(self, name: str) -> list[dict[str, Any]]:
        url = f"{self._world.out}/{name}"
        if name not in self._world.objects.names(self._world.out):
            return []
        return [json.loads(line) for line in self._world.objects.read(url).splitlines()]

    def _until_rows(self, rows: int, client: "subprocess.Popen[bytes]") -> None:
        while self._pulse.rows < rows:
            if client.poll() is not None:
                raise self._standstill(f"the client ended with {client.returncode}")
            if self._pulse.quiet_s > _STANDS_STILL_S:
                raise self._standstill(f"{self._pulse.rows} rows are answered, and no other for {_STANDS_STILL_S:g} s")
            time.sleep(0.05)

    def _finished(self) -> None:
        """Wait until all rows are answered, and the job has ended well."""
        since_s = time.monotonic()
        while self._pulse.rows < self.rows:
            if min(self._pulse.quiet_s, time.monotonic() - since_s) > _STANDS_STILL_S:
                raise self._standstill(f"{self._pulse.rows} rows are answered, and no other for {_STANDS_STILL_S:g} s")
            time.sleep(0.1)
        until_s = time.monotonic() + _ENDS_WITHIN_S
        while "summary.json" not in self._world.objects.names(self._world.out):
            if time.monotonic() > until_s:
                raise self._standstill(f"all rows are answered, and the job does not end: {self._world.shown()}")
            time.sleep(0.5)

    def _standstill(self, what: str) -> StandstillError:
        return StandstillError(f"{self.fault.name} (seed {self.seed}): {what}; the client said: {self._world.logs()}")
