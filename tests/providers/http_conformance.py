"""HTTP conformance: what every adapter behind HTTP must make of a provider's faults; one class per provider inherits it."""

import asyncio
from abc import abstractmethod
from contextlib import asynccontextmanager

import pytest

from partsong.adapters.adapter import Adapter, Surroundings
from partsong.contracts import Completion, Failure, FailureCode, Price, Sampling, Task, Tool, Usage
from partsong.testing.adapter_conformance import AdapterConformance
from providers.provider import Provider, Reply, ToolUse

KEY = "test-key"
PROMPT = "Say hello to the world."
MODES = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
PRICE = Price(input=1.0, output=2.0, cached_input=0.5)

Code = FailureCode


class HttpConformance(AdapterConformance):
    kind: type[Adapter]
    server: type[Provider]
    model: str

    def fields(self) -> dict:
        return {}

    @abstractmethod
    def sampled(self) -> Sampling:
        """What the protocol can carry of sampling."""

    def made(self, server: Provider, *, key: str | None = KEY, **fields) -> Adapter:
        fields = {"adapter": self.kind.kind, "model": self.model, "base_url": server.url, "price": PRICE} | self.fields() | fields
        return self.kind(self.kind.Spec(**fields), Surroundings("mini", secret=key))

    @asynccontextmanager
    async def adapter(self):
        async with self.server() as server:
            yield self.made(server)

    @asynccontextmanager
    async def both(self, **fields):
        async with self.server() as server:
            adapter = self.made(server, **fields)
            await adapter.open()
            try:
                yield adapter, server
            finally:
                await adapter.close()

    async def said(self, adapter: Adapter, streamed: bool, task: Task | None = None):
        return await adapter.complete(task or Task.of(PROMPT), [].append if streamed else None)

    async def failed(self, fault: str, *, streamed: bool = False, **fields) -> Failure:
        async with self.both() as (adapter, server):
            server.fault(fault, **fields)
            reply = await self.said(adapter, streamed)
        assert isinstance(reply, Failure), reply
        assert reply.where == "mini"
        return reply

    @MODES
    @pytest.mark.parametrize(
        ("status", "code", "retryable"),
        [
            (400, Code.BAD_REQUEST, False),
            (401, Code.AUTH, False),
            (403, Code.FORBIDDEN, False),
            (404, Code.NOT_FOUND, False),
            (413, Code.TOO_LARGE, False),
            (422, Code.BAD_REQUEST, False),
            (429, Code.RATE_LIMITED, True),
            (500, Code.SERVER_ERROR, True),
            (502, Code.SERVER_ERROR, True),
            (503, Code.OVERLOADED, True),
            (529, Code.OVERLOADED, True),
        ],
    )
    async def test_a_status_has_its_code(self, status, code, retryable, streamed):
        failure = await self.failed("status", status=status, streamed=streamed)
        assert (failure.code, failure.retryable, failure.sent, failure.status) == (code, retryable, "yes", status)
        assert "on demand" in failure.message

    @MODES
    @pytest.mark.parametrize(
        ("fault", "code", "retryable", "sent"),
        [
            ("cut", None, True, "yes"),
            ("close", Code.CONNECTION_LOST, True, "maybe"),
            ("reset", Code.CONNECTION_LOST, True, "maybe"),
            ("malformed", Code.MALFORMED_REPLY, True, "yes"),
            ("empty", Code.MALFORMED_REPLY, True, "yes"),
            ("html", Code.MALFORMED_REPLY, None, "yes"),
            ("error-body", None, True, "yes"),
            ("redirect", None, False, "yes"),
        ],
    )
    async def test_a_fault_has_its_code(self, fault, code, retryable, sent, streamed):
        failure = await self.failed(fault, streamed=streamed)
        if fault == "cut":
            code = Code.STREAM_BROKEN if streamed else Code.CONNECTION_LOST
        assert code in (None, failure.code)
        assert retryable in (None, failure.retryable)
        assert failure.sent == sent

    async def test_a_reply_with_nothing_in_it_is_malformed(self):
        assert (await self.failed("bare")).code is Code.MALFORMED_REPLY

    async def test_a_stream_without_its_end_is_broken(self):
        assert (await self.failed("bare", streamed=True)).code is Code.STREAM_BROKEN

    async def test_an_error_within_a_stream_is_that_error(self):
        assert (await self.failed("error-body", streamed=True, after=2)).code in (Code.OVERLOADED, Code.SERVER_ERROR)

    @pytest.mark.parametrize(("header", "wait_s"), [(("retry-after", "7"), 7.0), (("retry-after-ms", "250"), 0.25)])
    async def test_what_the_provider_asks_to_wait_is_told(self, header, wait_s):
        assert (await self.failed("status", status=429, headers=(header,))).retry_after_s == wait_s

    async def test_no_wait_is_told_where_none_is_asked(self):
        assert (await self.failed("status", status=429)).retry_after_s is None

    @MODES
    async def test_a_wrong_key_is_told_without_the_key(self, streamed):
        async with self.both(key="sk-very-secret-0123456789") as (adapter, _):
            failure = await self.said(adapter, streamed)
        assert (failure.code, failure.retryable) == (Code.AUTH, False)
        assert "very-secret" not in repr(failure) + repr(adapter)

    async def test_a_server_that_is_not_there_was_never_asked(self):
        async with self.server() as server:
            adapter = self.made(server)
        await adapter.open()
        failure = await self.said(adapter, streamed=False)
        await adapter.close()
        assert (failure.code, failure.retryable, failure.sent) == (Code.CONNECT, True, "no")

    @MODES
    async def test_usage_that_is_not_named_is_estimated(self, streamed):
        async with self.both() as (adapter, server):
            server.fault("no-usage")
            reply = await self.said(adapter, streamed)
        assert isinstance(reply, Completion), reply
        assert (reply.usage.estimated, reply.usage.prompt_tokens) == (True, 6)

    @MODES
    async def test_usage_is_read_and_priced(self, streamed):
        async with self.both() as (adapter, server):
            server.reply = lambda asked: Reply("one two", cached_tokens=2, reasoning_tokens=5)
            reply = await self.said(adapter, streamed)
        assert reply.usage == Usage(prompt_tokens=6, completion_tokens=7, cached_tokens=2, reasoning_tokens=5)
        assert reply.cost_usd == pytest.approx((4 * 1.0 + 2 * 0.5 + 7 * 2.0) / 1e6)

    @MODES
    @pytest.mark.parametrize("finish", ["stop", "length"])
    async def test_why_it_stopped_is_told(self, finish, streamed):
        async with self.both() as (adapter, server):
            server.reply = lambda asked: Reply("half a", finish=finish)
            reply = await self.said(adapter, streamed)
        assert reply.finish_reason == finish

    @MODES
    async def test_tool_calls_are_read(self, streamed):
        tool = Tool(name="weather", description="Tells it.", parameters={"type": "object", "properties": {"city": {"type": "string"}}})
        async with self.both() as (adapter, server):
            server.reply = lambda asked: Reply(tool_calls=[ToolUse("weather", {"city": "Köln"}), ToolUse("weather", {}, "call_2")])
            reply = await self.said(adapter, streamed, Task.of(PROMPT).model_copy(update={"tools": (tool,)}))
        assert isinstance(reply, Completion), reply
        assert reply.finish_reason == "tool_calls"
        assert [(call.id, call.name) for call in reply.tool_calls] == [("call_1", "weather"), ("call_2", "weather")]
        assert "city" in reply.tool_calls[0].arguments

    @MODES
    async def test_a_reply_that_is_withheld_is_a_failure_that_will_not_pass(self, streamed):
        async with self.both() as (adapter, server):
            server.reply = lambda asked: Reply(refusal="I will not.")
            failure = await self.said(adapter, streamed)
        assert isinstance(failure, Failure), failure
        assert (failure.code, failure.retryable, failure.sent) == (Code.CONTENT_FILTER, False, "yes")

    @MODES
    async def test_text_of_any_script_comes_back_as_it_was(self, streamed):
        text = "Grüße, 世界! \U0001f3b6\nnew line  two spaces"
        async with self.both() as (adapter, _):
            reply = await self.said(adapter, streamed, Task.of(text))
        assert reply.text == text

    async def test_what_is_asked_of_sampling_is_sent(self):
        async with self.both() as (adapter, _):
            reply = await adapter.complete(Task.of(PROMPT).model_copy(update={"sampling": self.sampled()}))
        assert isinstance(reply, Completion), reply

    @MODES
    async def test_cancelled_it_leaves_the_server_at_once(self, streamed):
        async with self.both() as (adapter, server):
            server.fault("stall" if streamed else "slow")
            running = asyncio.create_task(self.said(adapter, streamed))
            await server.until(lambda: server.in_flight)
            running.cancel()
            await server.until(lambda: server.abandoned[PROMPT])
            await asyncio.wait([running])
            assert running.cancelled()
            assert isinstance(await self.said(adapter, streamed), Completion)

    @MODES
    async def test_one_after_another_they_share_a_connection(self, streamed):
        async with self.both() as (adapter, server):
            for _ in range(100):
                assert isinstance(await self.said(adapter, streamed), Completion)
            assert server.connections == 1
            assert server.calls[PROMPT] == 100

    async def test_as_many_are_in_flight_as_are_asked(self):
        async with self.both() as (adapter, server):
            server.latency_s = 0.05
            async with asyncio.TaskGroup() as group:
                for _ in range(200):
                    group.create_task(self.said(adapter, streamed=False))
            assert server.most_in_flight == 200

    async def test_a_kept_connection_that_the_server_drops_may_have_carried_the_request(self):
        async with self.both() as (adapter, server):
            await self.said(adapter, streamed=False)
            server.fault("reset")
            failure = await self.said(adapter, streamed=False)
            assert (failure.code, failure.sent, server.calls[PROMPT]) == (Code.CONNECTION_LOST, "maybe", 2)

    async def test_a_reply_beyond_the_cap_is_given_up(self):
        async with self.both(reply_cap=20_000) as (adapter, server):
            server.reply = lambda asked: "word " * 100_000
            failure = await self.said(adapter, streamed=False)
        assert (failure.code, failure.retryable, failure.sent) == (Code.TOO_LARGE, False, "yes")

    async def test_no_fault_makes_it_raise(self):
        async with self.both() as (adapter, server):
            for kind in ("cut", "close", "reset", "malformed", "html", "empty", "bare", "error-body", "redirect", "no-usage"):
                for streamed in (False, True):
                    server.fault(kind)
                    assert isinstance(await self.said(adapter, streamed), Completion | Failure)
