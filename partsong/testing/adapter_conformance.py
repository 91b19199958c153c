"""Adapter conformance: what any adapter must do; an adapter's own tests inherit it and say how to make theirs."""

# ruff: noqa: D102 - a test's name is its sentence
import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from partsong.adapters.adapter import Adapter
from partsong.contracts import AudioPart, CodePart, Completion, Failure, FilePart, ImagePart, Message, Sampling, Task, TextPart, Tool
from partsong.wire import Codec

__all__ = ["AdapterConformance"]

_REPLIES: Codec[Completion | Failure] = Codec(Completion | Failure)
_ANSWER = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"], "additionalProperties": False}


class AdapterConformance(ABC):
    """Inherit as `class TestMyAdapter(AdapterConformance)` and give `adapter`; pytest with pytest-asyncio (mode auto) does the rest."""

    @abstractmethod
    def adapter(self) -> AbstractAsyncContextManager[Adapter]:
        """Return a context that holds an adapter, not opened yet, and whatever it speaks to; it answers every prompt of text."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Adapter]:
        """Open the adapter for a test, and close it."""
        async with self.adapter() as adapter:
            await adapter.open()
            try:
                yield adapter
            finally:
                await adapter.close()

    async def test_it_answers_with_text_its_model_and_its_time(self) -> None:
        async with self.opened() as adapter:
            reply = await adapter.complete(Task.of("Say something."))
        assert isinstance(reply, Completion), reply
        assert reply.text
        assert reply.model
        assert reply.timing.total_s > 0

    async def test_a_streamed_completion_is_what_its_pieces_make(self) -> None:
        pieces: list[str] = []
        async with self.opened() as adapter:
            reply = await adapter.complete(Task.of("Say something."), pieces.append)
        assert isinstance(reply, Completion), reply
        assert reply.text == "".join(pieces)

    async def test_many_calls_at_once_are_each_answered(self) -> None:
        async with self.opened() as adapter:
            replies = await asyncio.gather(*(adapter.complete(Task.of(f"Say {number}.")) for number in range(8)))
        assert all(isinstance(reply, Completion) for reply in replies), replies

    async def test_a_cancelled_call_ends_at_once_and_leaves_the_adapter_usable(self) -> None:
        async with self.opened() as adapter:
            call = asyncio.create_task(_completed(adapter, Task.of("Say something.")))
            await asyncio.sleep(0)
            call.cancel()
            async with asyncio.timeout(5):
                await asyncio.wait([call])
                assert isinstance(await adapter.complete(Task.of("And again.")), Completion)

    async def test_whatever_a_task_holds_it_answers_or_fails_and_never_raises(self) -> None:
        async with self.opened() as adapter:
            for task in _TASKS:
                reply = await adapter.complete(task)
                assert isinstance(reply, Completion | Failure)
                assert isinstance(reply, Completion) or reply.message
                assert _REPLIES.unpack(_REPLIES.pack([reply])) == [reply]

    async def test_it_can_be_closed_without_having_been_opened(self) -> None:
        async with self.adapter() as adapter:
            await adapter.close()


async def _completed(adapter: Adapter, task: Task) -> Completion | Failure:
    return await adapter.complete(task)


def _asking(*messages: Message) -> Task:
    return Task(id="1", messages=messages)


def _user(*parts: TextPart | CodePart | ImagePart | AudioPart | FilePart) -> Message:
    return Message(role="user", parts=parts)


_TASKS = (
    _asking(Message(role="system", parts=(TextPart(text="Be brief."),)), _user(TextPart(text="Why?"), CodePart(code="x = 1"))),
    _asking(_user(TextPart(text="What is this?"), ImagePart(data=b"\x89PNG"))),
    _asking(_user(TextPart(text="What is said?"), AudioPart(data=b"RIFF"))),
    _asking(_user(TextPart(text="Sum it up."), FilePart(name="report.pdf", data=b"%PDF", media_type="application/pdf"))),
    _asking(_user(TextPart(text="half of a pair: \ud83d and 0: \0"))),
    Task.of("").model_copy(update={"answer_schema": _ANSWER}),
    Task.of("One word.").model_copy(update={"answer_schema": {"enum": ["yes", "no"]}}),
    Task.of("Weather?").model_copy(update={"tools": (Tool(name="weather", parameters={"type": "object"}),)}),
    Task.of("?").model_copy(
        update={"sampling": Sampling(temperature=2.0, top_p=0.5, max_tokens=1, seed=1, stop=("x",), logprobs=True, sample=3)}
    ),
)
