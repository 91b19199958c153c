"""Seats: a model's workers as one caller sees them, and which of them gets the next call."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from partsong.contracts import BreakerSpec, Call, Completion, Failure
from partsong.pool.breaker import Admission, Breaker
from partsong.pool.choice import choose

__all__ = ["Seat", "Seats", "WorkerHandle"]


class WorkerHandle(Protocol):
    """A worker, in this process or another."""

    async def ask(self, call: Call, on_text: Callable[[str], None] | None = None) -> Completion | Failure:
        """See Worker.ask."""
        ...


@dataclass(slots=True)
class Seat:
    """One worker, its calls in flight from here, and whether it is given a rest."""

    worker: WorkerHandle
    breaker: Breaker | None
    in_flight: int = 0
    near: bool = False
    """Whether it is on this node, and that is worth something."""


class Seats:
    """All workers of a model."""

    def __init__(self, breaker: BreakerSpec | None, dice: Callable[[], float]) -> None:
        self._breaker = breaker
        self._dice = dice
        self._seats: list[Seat] = []
        self._any_near = False
        self._room = 0

    def use(self, workers: Sequence[WorkerHandle], near: Collection[WorkerHandle] = (), room: int = 0) -> None:
        """Send calls to these workers from now on; calls in flight stay where they are.

        Those of `near` get them first, as long as fewer than `room` are in flight there from here.
        """
        known = {id(seat.worker): seat for seat in self._seats}
        self._seats = [known.get(id(worker)) or self._seat(worker) for worker in workers]
        nearby = {id(worker) for worker in near}
        for seat in self._seats:
            seat.near = id(seat.worker) in nearby
        self._any_near = bool(nearby)
        self._room = room

    def change(self, breaker: BreakerSpec | None) -> None:
        """Give workers a rest by other rules from now on; what was learned of them is forgotten."""
        self._breaker = breaker
        self._seats = [replace(self._seat(seat.worker), near=seat.near) for seat in self._seats]

    def take(self, now_s: float) -> tuple[Seat, Admission | None] | None:
        """Return the seat of the next call; one that is given a rest only for a probe, or when all are. None: there is no worker.

        The admission is what the seat's breaker is to be told of the call; None: nothing, as of an only worker's.
        """
        seats = self._seats
        if len(seats) == 1:
            return seats[0], None
        if resting := [(seat, seat.breaker) for seat in seats if seat.breaker is not None and seat.breaker.state != "closed"]:
            for seat, breaker in resting:
                admission = breaker.admit(now_s)
                if not admission.refused:
                    return seat, admission
            seats = [seat for seat in seats if seat.breaker is not None and seat.breaker.state == "closed"] or seats
        if not seats:
            return None
        if self._any_near:
            seats = [seat for seat in seats if seat.near and seat.in_flight < self._room] or seats
        seat = seats[choose([seat.in_flight for seat in seats], self._dice)]
        if seat.breaker is None or (admission := seat.breaker.admit(now_s)).refused:
            return seat, None
        return seat, admission

    def _seat(self, worker: WorkerHandle) -> Seat:
        return Seat(worker, None if self._breaker is None else Breaker(self._breaker, "worker"))
