"""Fair queue: whose item is next when several flows share one pool by weight.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): each item carries a start tag, the finish tag of the one before it in its
flow or the queue's virtual time if that is later; the least start tag is served, and is the virtual time from then on; the finish tag is
the start tag plus 1/weight. While two flows have items, what they got divided by their weights differs by at most one item of each. A
flow that comes late starts at the virtual time: it is owed nothing for the time it was away.
"""

from collections import deque
from heapq import heapify, heappop, heappush, heapreplace
from typing import Generic, TypeVar

__all__ = ["FairQueue", "Ticket"]

T = TypeVar("T")

_FORGET_AFTER = 64
"""So many flows without items may be remembered, so that one which returns at once does not jump the turn it had."""


class Ticket(Generic[T]):
    """An item's place in the queue; what `remove` takes."""

    __slots__ = ("_flow", "item")

    def __init__(self, item: T, flow: "_Flow[T]") -> None:
        self.item = item
        self._flow: _Flow[T] | None = flow

    @property
    def queued(self) -> bool:
        """Whether the item still waits: neither popped nor removed."""
        return self._flow is not None


class _Flow(Generic[T]):
    __slots__ = ("key", "tickets", "waiting", "weight")

    def __init__(self, key: str) -> None:
        self.key = key
        self.weight = 1.0
        self.tickets: deque[Ticket[T]] = deque()  # removed ones too, until they come to the front or are too many
        self.waiting = 0


class FairQueue(Generic[T]):
    """Items of several flows, served by weight; first come, first served within a flow. O(log flows) a push and pop."""

    def __init__(self) -> None:
        self._flows: dict[str, _Flow[T]] = {}
        self._turns: list[tuple[float, int, _Flow[T]]] = []  # start tag of each flow's first item, or finish tag of its last
        self._turn = 0
        self._virtual = 0.0
        self._waiting = 0
        self._dry = 0  # flows without items

    def __len__(self) -> int:
        return self._waiting

    def push(self, key: str, weight: float, item: T) -> Ticket[T]:
        """Queue an item of the flow `key`; the weight, above 0, counts from now on for all of the flow."""
        assert weight > 0.0, f"flow {key} has weight {weight}"
        flow = self._flows.get(key)
        if flow is None:
            flow = self._flows[key] = _Flow(key)
            self._turn += 1
            heappush(self._turns, (self._virtual, self._turn, flow))
        elif not flow.waiting:
            self._dry -= 1
        flow.weight = weight
        ticket = Ticket(item, flow)
        flow.tickets.append(ticket)
        flow.waiting += 1
        self._waiting += 1
        return ticket

    def pop(self) -> T:
        """Return the next item; IndexError when there is none."""
        if not self._waiting:
            raise IndexError("pop from an empty fair queue")
        turns = self._turns
        while not turns[0][2].waiting:
            del self._flows[heappop(turns)[2].key]  # its last turn is over
            self._dry -= 1
        start, _, flow = turns[0]
        ticket = flow.tickets.popleft()
        while ticket._flow is None:
            ticket = flow.tickets.popleft()
        self._virtual = start
        self._turn += 1
        heapreplace(turns, (start + 1.0 / flow.weight, self._turn, flow))
        self._leave(ticket, flow)
        return ticket.item

    def remove(self, ticket: Ticket[T]) -> None:
        """Take an item out before its turn; nothing happens if it is out already."""
        flow = ticket._flow
        if flow is None:
            return
        self._leave(ticket, flow)
        if len(flow.tickets) > 2 * flow.waiting + 16:
            flow.tickets = deque(ticket for ticket in flow.tickets if ticket.queued)

    def _leave(self, ticket: Ticket[T], flow: _Flow[T]) -> None:
        ticket._flow = None
        flow.waiting -= 1
        self._waiting -= 1
        if not flow.waiting:
            self._ran_dry(flow)

    def _ran_dry(self, flow: _Flow[T]) -> None:
        """Forget all flows when nothing waits, and the dry ones when they are many."""
        flow.tickets.clear()
        self._dry += 1
        if not self._waiting:
            self._flows.clear()
            self._turns.clear()
            self._virtual = 0.0
            self._dry = 0
        elif self._dry > _FORGET_AFTER and 2 * self._dry > len(self._flows):
            self._turns = [turn for turn in self._turns if turn[2].waiting]
            heapify(self._turns)
            self._flows = {flow.key: flow for _, _, flow in self._turns}
            self._dry = 0
