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
        self._near: list[Seat] = []
        self._resting: dict[int, Seat] = {}
        """Seats whose breakers are not closed: of a thousand workers, a call looks at two and at these."""
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
        self._sort()
        self._room = room

    def change(self, breaker: BreakerSpec | None) -> None:
        """Give workers a rest by other rules from now on; what was learned of them is forgotten."""
        self._breaker = breaker
        self._seats = [replace(self._seat(seat.worker), near=seat.near) for seat in self._seats]
        self._sort()

    def take(self, now_s: float) -> tuple[Seat, Admission | None] | None:
        """Return the seat of the next call; one that is given a rest only for a probe, or when all are. None: there is no worker.

        The admission is what the seat's breaker is to be told of the call; None: nothing, as of an only worker's.
        """
        seats = self._seats
        if len(seats) == 1:
            return seats[0], None
        if not seats:
            return None
        for seat in self._resting.values():
            if seat.breaker is not None and not (admission := seat.breaker.admit(now_s)).refused:
                return seat, admission
        if self._near:
            seats = [seat for seat in self._near if seat.in_flight < self._room and id(seat) not in self._resting] or seats
        if self._resting:
            seats = [seat for seat in seats if id(seat) not in self._resting] or seats
        seat = seats[choose(len(seats), lambda index: seats[index].in_flight, self._dice)]
        if seat.breaker is None or (admission := seat.breaker.admit(now_s)).refused:
            return seat, None
        return seat, admission

    def settle(self, seat: Seat, admission: Admission | None, failure: Failure | None, took_s: float, now_s: float) -> None:
        """The seat's call is over: its breaker learns of it."""
        if seat.breaker is None or admission is None:
            return
        seat.breaker.settle(admission, failure, took_s, now_s)
        if seat.breaker.state == "closed":
            self._resting.pop(id(seat), None)
        elif any(seat is known for known in self._seats):
            self._resting[id(seat)] = seat

    def _sort(self) -> None:
        self._near = [seat for seat in self._seats if seat.near]
        self._resting = {id(seat): seat for seat in self._seats if seat.breaker is not None and seat.breaker.state != "closed"}

    def _seat(self, worker: WorkerHandle) -> Seat:
        return Seat(worker, None if self._breaker is None else Breaker(self._breaker, "worker"))
