"""Link and mailbox: requests to an actor go out coalesced, replies are pushed back as they finish, none waits for another.

A call that carries requests comes back at once, with what replies there are; one that carries none waits for the next reply, and is made
only while no other is under way. So a busy line needs one remote call a round trip, an idle one hears of a reply when it is there. A link
whose actor died raises `LinkLostError` from every request under way; what that means is the caller's to decide.

An actor at work lets no call wait longer than `WAITS_S`. One whose calls stay out for much longer is *deaf* (`hearing.py`): its process
stands still. It may hear again at any moment, so nothing is lost by that; but no clock of its own ends a request in time, so the link does.
"""

import asyncio
import itertools
import logging
import math
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgpack

from partsong.errors import PartsongError, Problem, WireError
from partsong.wire import Codec
from partsong_actors.bulk import Bulk, Slots
from partsong_actors.coalesce import Coalescer
from partsong_actors.hearing import DEAF_AFTER_S, Hearing
from partsong_actors.memory_watch import end_if_without_memory

__all__ = ["WAITS_S", "Correspondent", "Link", "LinkLostError", "Mailbox", "OverdueError"]

WAITS_S = 2.0
"""How long a call that carries nothing waits at the actor for a reply."""

_GONE_AFTER_S = 600.0
"""A caller that was not heard of for so long is dead: one at work has a call out, and one that was stopped goes on sooner."""

In = TypeVar("In")
Out = TypeVar("Out")
_log = logging.getLogger(__name__)


class LinkLostError(Exception):
    """The actor died or became unreachable with the request under way; unless it was never `sent`, it may have been carried out."""

    def __init__(self, cause: str, *, sent: bool) -> None:
        super().__init__(cause)
        self.sent = sent


class OverdueError(Exception):
    """The actor is deaf and its reply is overdue; the request may be under way still."""


class Correspondent(Protocol):
    """The one method of an actor that owns a mailbox, as a remote call."""

    def exchange(self, caller: str, envelope: bytes, bulk: Bulk = ()) -> Awaitable[bytes]:
        """Take requests and give finished replies; without requests, give them as soon as there are any, none after `WAITS_S`.

        `bulk` is what does not lie in the envelope.
        """
        ...


@dataclass(slots=True)
class _Request(Generic[Out]):
    """A request under way."""

    reply: asyncio.Future[Out]
    due_s: float
    """On the event loop's clock."""
    sent: bool = False


def _nobody() -> None:
    pass


class Link(Generic[In, Out]):
    """One caller's end."""

    def __init__(
        self,
        actor: Correspondent,
        requests: Codec[In],
        replies: Codec[Out],
        *,
        turned: Callable[[], None] = _nobody,
        deaf_after_s: float = DEAF_AFTER_S,
        apart: Callable[[In], tuple[In, Slots]] = lambda item: (item, ()),
    ) -> None:
        """`turned` is called when the actor has become deaf or hears again; `apart` takes out of a request what travels beside it."""
        self._hearing = Hearing(turned, self._give_up_overdue, deaf_after_s)
        self._actor = actor
        self._requests = requests
        self._replies = replies
        self._apart = apart
        self._caller = uuid.uuid4().hex
        self._ids = itertools.count(1)
        self._pending: dict[int, _Request[Out]] = {}
        self._sends: Coalescer[tuple[int, In | None], None] = Coalescer(self._send)
        self._nothing = _pack((), (), requests.pack(()))
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._waiting: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """Requests under way."""
        return len(self._pending)

    @property
    def unsent(self) -> int:
        """Requests and cancellations that wait for an earlier call to come back."""
        return self._sends.queued

    @property
    def deaf(self) -> bool:
        """Whether the actor gives no sign of life."""
        return self._hearing.deaf

    async def request(self, item: In, within_s: float = math.inf) -> Out:
        """Return the actor's reply; cancelled, the actor is told to stop.

        Raises LinkLostError, or the actor's own PartsongError; OverdueError when the reply is not there in time and the actor is deaf.
        """
        number = next(self._ids)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Out] = loop.create_future()
        self._pending[number] = _Request(future, loop.time() + within_s)
        self._sends.put((number, item))
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._wait(self._caller))
        try:
            return await future
        except asyncio.CancelledError:
            if self._pending.pop(number, None) is not None:
                self._sends.put((number, None))
            raise

    def give_up(self) -> None:
        """Let go of all that is under way, as if the actor had died; when it hears again it is told to stop."""
        pending, self._pending = self._pending, {}
        for number, request in pending.items():
            self._sends.put((number, None))
            if not request.reply.done():
                request.reply.set_exception(LinkLostError("given up", sent=request.sent))

    async def _send(self, batch: Sequence[tuple[int, In | None]]) -> Sequence[None]:
        items = [(number, item) for number, item in batch if item is not None and number in self._pending]
        for number, _ in items:
            self._pending[number].sent = True
        cancelled = [number for number, item in batch if item is None]
        if items or cancelled:  # a call that carries nothing would wait for a reply
            await self._exchanged([number for number, _ in items], cancelled, [item for _, item in items])
        return [None] * len(batch)

    async def _exchanged(self, numbers: Sequence[int], cancelled: Sequence[int], items: Sequence[In]) -> None:
        caller = self._caller
        self._quiet.clear()
        try:
            light = [self._apart(item) for item in items]
            bulk = [(number, slots) for number, (_, slots) in zip(numbers, light, strict=True) if slots]
            envelope = _pack(numbers, cancelled, self._requests.pack([item for item, _ in light]))
            self._settle(await self._hearing.of(self._actor.exchange(caller, envelope, bulk)))
        except Exception as error:  # noqa: BLE001  whatever it was, what was sent is lost; each sender hears of it
            self._lose(caller, error)
        finally:
            self._quiet.set()

    async def _wait(self, caller: str) -> None:
        """Hear of replies while nothing is sent; until nothing is under way."""
        try:
            while self._pending and caller == self._caller:
                if self._quiet.is_set():
                    self._settle(await self._hearing.of(self._actor.exchange(caller, self._nothing)))
                else:
                    await self._quiet.wait()
        except Exception as error:  # noqa: BLE001  as above
            self._lose(caller, error)
        finally:
            if caller == self._caller:
                self._waiting = None

    def _give_up_overdue(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for number in [number for number, request in self._pending.items() if request.due_s <= now_s]:
            request = self._pending.pop(number)
            self._sends.put((number, None))
            if not request.reply.done():
                request.reply.set_exception(OverdueError())

    def _settle(self, envelope: bytes) -> None:
        numbers, faults, body = _unpack(envelope)
        for number, reply in zip(numbers, self._replies.unpack(body), strict=True):
            if (request := self._pending.pop(number, None)) and not request.reply.done():
                request.reply.set_result(reply)
        for number, kind, code, what, remedy in faults:
            if (request := self._pending.pop(number, None)) and not request.reply.done():
                request.reply.set_exception(_revived(kind, code, what, remedy))

    def _lose(self, caller: str, error: Exception) -> None:
        """Give up what is under way for this caller; what a call under an older name comes to has been told."""
        if caller != self._caller:
            return
        pending, self._pending = self._pending, {}
        self._caller = uuid.uuid4().hex  # what still comes in under the old name is nobody's
        self._waiting = None
        for request in pending.values():
            if not request.reply.done():
                lost = LinkLostError(type(error).__name__, sent=request.sent)
                request.reply.set_exception(error if isinstance(error, PartsongError) else lost)


class Mailbox(Generic[In, Out]):
    """The actor's end: one task a request, replies kept until they are collected."""

    def __init__(
        self,
        handle: Callable[[In], Awaitable[Out]],
        requests: Codec[In],
        replies: Codec[Out],
        bulky: Callable[[In, Slots], Awaitable[Out]] | None = None,
    ) -> None:
        """`bulky` is called in place of `handle` for a request that something travelled beside."""
        self._handle = handle
        self._bulky = bulky
        self._requests = requests
        self._replies = replies
        self._boxes: dict[str, _Box[Out]] = {}
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}

    @property
    def open_requests(self) -> int:
        """Requests under way."""
        return len(self._tasks)

    @property
    def waiting_replies(self) -> int:
        """Replies that were not collected yet."""
        return sum(box.size for box in list(self._boxes.values()))  # read from another thread

    @property
    def callers(self) -> int:
        """Callers that something is kept for."""
        return len(self._boxes)

    async def finished(self) -> None:
        """Return when no request is under way."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def cancel(self) -> None:
        """Stop all requests under way."""
        for task in self._tasks.values():
            task.cancel()

    async def exchange(self, caller: str, envelope: bytes, bulk: Bulk = ()) -> bytes:
        """Begin the requests in the envelope, stop what it cancels; return finished replies, waiting for one if it brings nothing."""
        box = self._box(caller)
        numbers, cancelled, body = _unpack(envelope)
        if not numbers and not cancelled:
            with box.visited():
                await box.filled()
        beside = dict(bulk)
        for number, item in zip(numbers, self._requests.unpack(body), strict=True):
            self._tasks[caller, number] = asyncio.create_task(self._work(caller, number, item, beside.get(number, ())))
        for number in cancelled:
            if task := self._tasks.get((caller, number)):
                task.cancel()
        replies, faults = box.taken()
        return _pack([number for number, _ in replies], faults, self._replies.pack([reply for _, reply in replies]))

    async def _work(self, caller: str, number: int, item: In, slots: Slots) -> None:
        try:
            outcome: Out | PartsongError = await (self._bulky(item, slots) if slots and self._bulky else self._handle(item))
        except PartsongError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001  the outermost line of an actor: told to the one who asked, without the payload
            end_if_without_memory()
            _log.exception("an actor's work raised")
            outcome = PartsongError("internal", f"an actor raised {type(error).__name__}", remedy="its log has the traceback")
        finally:
            del self._tasks[caller, number]
        self._box(caller).put(number, outcome)

    def _box(self, caller: str) -> "_Box[Out]":
        """Return the caller's box; who is new here takes the place of callers that are long gone, with what they never collected."""
        now_s = asyncio.get_running_loop().time()
        box = self._boxes.get(caller)
        if box is None:
            self._boxes = {name: old for name, old in self._boxes.items() if old.visits or now_s - old.seen_s < _GONE_AFTER_S}
            box = self._boxes[caller] = _Box()
        box.seen_s = now_s
        return box


class _Box(Generic[Out]):
    """Replies to one caller, in the order they finished."""

    def __init__(self) -> None:
        self._items: list[tuple[int, Out | PartsongError]] = []
        self._some = asyncio.Event()
        self.visits = 0
        """Calls that wait here."""
        self.seen_s = 0.0
        """When the caller was heard of, or something was put here for it, by the event loop's clock."""

    @property
    def size(self) -> int:
        """Replies in here."""
        return len(self._items)

    @contextmanager
    def visited(self) -> Iterator[None]:
        """Count a call while it waits here."""
        self.visits += 1
        try:
            yield
        finally:
            self.visits -= 1

    def put(self, number: int, outcome: Out | PartsongError) -> None:
        self._items.append((number, outcome))
        self._some.set()

    async def filled(self) -> None:
        """Return when there is a reply, or after `WAITS_S`; another call may be quicker to take it."""
        try:
            async with asyncio.timeout(WAITS_S):
                await self._some.wait()
        except TimeoutError:
            pass

    def taken(self) -> tuple[list[tuple[int, Out]], list[list[object]]]:
        """Return the replies, and the faults as plain fields."""
        items, self._items = self._items, []
        self._some.clear()
        replies = [(number, outcome) for number, outcome in items if not isinstance(outcome, PartsongError)]
        faults = [(number, outcome) for number, outcome in items if isinstance(outcome, PartsongError)]
        return replies, [[number, type(fault).__name__, *_parts(fault.problems[0])] for number, fault in faults]


def _parts(problem: Problem) -> tuple[str, str, str]:
    return problem.code, problem.what, problem.remedy


def _revived(name: str, code: str, what: str, remedy: str) -> PartsongError:
    kinds = {kind.__name__: kind for kind in PartsongError.__subclasses__()}
    return kinds.get(name, PartsongError)(code, what, remedy=remedy)


def _pack(numbers: Sequence[int], extra: Sequence[object], body: bytes) -> bytes:
    packed = msgpack.packb((numbers, extra, body))
    assert isinstance(packed, bytes)
    return packed


def _unpack(envelope: bytes) -> tuple[list[int], list[Any], bytes]:
    try:
        numbers, extra, body = msgpack.unpackb(envelope)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise WireError("wire-invalid", f"an envelope between actors cannot be read ({type(error).__name__})") from error
    return numbers, extra, body
