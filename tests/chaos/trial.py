"""Trial: one run of many rows, with faults at random moments; its line in the table."""

import random
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from providers.process import running_server

from chaos.faults import Fault
from chaos.pulse import Pulse
from chaos.reckoning import Moment, Reckoning, moment, reckoned
from chaos.scene import TIMEOUT_S, Scene
from chaos.victims import actors_of, are_alive, victims

__all__ = ["Outcome", "StandstillError", "Trial"]

_STANDS_STILL_S = 180.0
"""A run that answers no row for so long does not go on by itself any more."""

_HAVE_CALLS = frozenset({"worker", "coordinator", "driver"})
"""Processes that take calls in flight along."""

_ENDS_WITHIN_S = 20.0
"""How long a process without memory may take to end, and all others after their driver."""

_LATENCY_S = 0.05


class StandstillError(AssertionError):
    """A run did not go on, or ended badly."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the run."""

    reckoning: Reckoning
    stood_still_s: float
    """The longest time without another answered row, from the first fault on."""


@dataclass
class Trial:
    """One run and its faults, in their order."""

    folder: Path
    rows: int
    faults: Sequence[Fault]
    seed: int
    answers: Mapping[str, str]
    """Those of the undisturbed run."""
    _moments: list[Moment] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)
    """Processes of the actors."""

    def outcome(self) -> Outcome:
        """Do the run; raises StandstillError when it needs a hand."""
        with running_server("chaos.upstream", "--latency", str(_LATENCY_S), "--key", "k") as server:
            self._server = server
            self._scene = Scene(self.folder, self.rows, server.url).written()
            self._dice = random.Random(f"{self.seed} {self.faults}")
            self._run = self._scene.started()
            with Pulse(self._scene.journal) as self._pulse:
                try:
                    struck_s = [self._befallen(place, fault) for place, fault in enumerate(self.faults)]
                    self._finished()
                finally:
                    self._run.kill()
                    self._run.wait()
            spares_calls = all(_spares_calls(fault) for fault in self.faults)
            asked = server.stats()["calls"]
            reckoning = reckoned(self._scene, self._moments, asked, self.answers, spares_calls=spares_calls)
            return Outcome(reckoning, self._pulse.longest_gap_s(struck_s[0]))

    def _befallen(self, place: int, fault: Fault) -> float:
        """Wait for the fault's moment, let it happen, return when that was, once another row is answered."""
        share = self.rows // (len(self.faults) + 1)
        self._until(rows=place * share + self._dice.randrange(1, share))
        time.sleep(self._dice.random() * 0.2)
        found = victims(self._run.pid, fault.process)
        if not found:
            raise self._standstill(f"there is no {fault.process}")
        self._moments.append(moment(self._scene, self._server))
        self._seen.update(actors_of(self._run.pid))
        struck_s = time.monotonic()
        fault.strike(self._dice.choice(found))
        done = self._pulse.rows
        if fault.process == "driver" and fault.kind != "stopped":
            self._begun_again()
        self._until(rows=min(self.rows, done + 1))
        return struck_s

    def _begun_again(self) -> None:
        """Give the same command once more when the driver is gone: at once, or when all it left behind is gone, too."""
        try:
            self._run.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise self._standstill("the driver neither ends nor goes on") from None
        if self._dice.random() < 0.5:
            self._all_gone()
            self._moments.append(moment(self._scene, self._server))
        self._run = self._scene.started()

    def _until(self, rows: int) -> None:
        """Wait until so many rows are answered, or the run has ended."""
        while self._pulse.rows < rows and self._run.poll() is None:
            if self._pulse.quiet_s > _STANDS_STILL_S:
                raise self._standstill(f"{self._pulse.rows} rows are answered, and no other for {_STANDS_STILL_S:g} s")
            time.sleep(0.02)

    def _finished(self) -> None:
        self._until(self.rows)
        try:
            code = self._run.wait(_STANDS_STILL_S)
        except subprocess.TimeoutExpired:
            raise self._standstill("all rows are answered, and the run does not end") from None
        if code:
            raise self._standstill(f"the run ended with {code}")
        self._all_gone()

    def _all_gone(self) -> None:
        """Wait until no actor is left."""
        until_s = time.monotonic() + _ENDS_WITHIN_S
        while left := are_alive(self._seen):
            if time.monotonic() > until_s:
                raise self._standstill(f"processes {left} are left behind")
            time.sleep(0.05)

    def _standstill(self, what: str) -> StandstillError:
        faults = ", ".join(map(str, self.faults))
        return StandstillError(f"{faults} (seed {self.seed}): {what}; it said: {(self.folder / 'said.log').read_text()[-2000:]!r}")


def _spares_calls(fault: Fault) -> bool:
    """Return whether no call may be made again because of it; one that is overdue at a worker that stands still may."""
    if fault.kind == "stopped":
        return fault.process != "worker" or fault.lasts_s < TIMEOUT_S
    return fault.process not in _HAVE_CALLS
