"""What remote adapters share: every fault of a provider becomes the failure that tells the truth about it."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from providers.kinds import KINDS, adapter_of, speaking
from providers.provider import Asked, Reply, ToolUse
from pydantic import ValidationError

from partsong.adapters.openai import OpenAISpec
from partsong.contracts import (
    Completion,
    Failure,
    FailureCode,
    FilePart,
    ImagePart,
    Message,
    Price,
    Sampling,
    Task,
    TextPart,
    Tool,
    ToolCall,
)
from partsong.testing.adapter_conformance import AdapterConformance

KEY = "sk-very-secret-0123456789"
PDF = FilePart(name="a.pdf", data=b"%PDF", media_type="application/pdf")
PRICE = Price(input=1.0, output=2.0)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@asynccontextmanager
async def raw(kind, reply, *, once=False, **fields):
    """An open adapter whose server says these bytes to every request."""

    async def connection(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
                await reader.readexactly(length)
                writer.write(reply)
                await writer.drain()
                if once:
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(connection, "127.0.0.1", 0) as server:
        adapter = adapter_of(kind, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", **fields)
        await adapter.open()
        try:
            yield adapter
        finally:
            await adapter.close()


def http(body, status=200, content_type="application/json", *headers):
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = "".join(f"{header}\r\n" for header in headers)
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\n{more}content-length: {len(encoded)}\r\n\r\n"
    return head.encode() + encoded


def outcome(failure):
    assert isinstance(failure, Failure), failure
    return failure.code.value, failure.retryable, failure.sent


# --- statuses


STATUSES = {
    400: ("bad-request", False),
    401: ("auth", False),
    402: ("forbidden", False),
    403: ("forbidden", False),
    404: ("not-found", False),
    408: ("timeout", True),
    409: ("bad-request", True),
    413: ("too-large", False),
    422: ("bad-request", False),
    429: ("rate-limited", True),
    500: ("server-error", True),
    501: ("server-error", False),
    502: ("server-error", True),
    503: ("overloaded", True),
    504: ("timeout", True),
    529: ("overloaded", True),
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_status_has_its_code_whatever_the_body(kind, status, stream):
    code, retryable = STATUSES[status]
    async with raw(kind, http(b"<h1>no</h1>", status, "text/html")) as adapter:
        failure = await adapter.complete(Task.of("x"), [].append if stream else None)
    assert outcome(failure) == (code, retryable, "yes")
    assert (failure.status, failure.where) == (status, "m")


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_a_status_has_its_code_with_the_vendors_body(kind, status):
    async with speaking(kind) as (adapter, server):
        server.fault("status", status=status)
        failure = await adapter.complete(Task.of("x"))
    assert outcome(failure) == (*STATUSES[status], "yes")
    assert f"status {status} on demand" in failure.message


async def test_a_redirect_is_a_failure_and_never_followed_with_a_key(kind):
    async with speaking(kind) as (adapter, server):
        server.fault("redirect")
        failure = await adapter.complete(Task.of("x"))
        assert len(server.requests) == 1
    assert outcome(failure) == ("not-found", False, "yes")
    assert "base_url" in failure.message


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refused_key_is_told_without_the_key(kind, stream):
    async with speaking(kind, secret=KEY) as (adapter, _):
        failure = await adapter.complete(Task.of("x"), [].append if stream else None)
    assert failure.code == FailureCode.AUTH
    assert "***" in failure.message
    assert "api_key" in failure.message
    assert KEY not in repr(failure) + repr(adapter)


async def test_the_providers_words_are_one_printable_line_of_bounded_length(kind):
    body = {"error": {"message": f"bad\n\x1b[31m {KEY} " + "x" * 100_000, "type": "invalid_request_error"}}
    async with raw(kind, http(body, 400), secret=KEY) as adapter:
        failure = await adapter.complete(Task.of("x"))
    assert failure.message.isprintable()
    assert len(failure.message) < 600
    assert KEY not in failure.message


@pytest.mark.parametrize(
    "body", [{"error": "as text"}, {"detail": "as text"}, {"object": "error", "message": "as text"}, [{"error": {"message": "as text"}}]]
)
async def test_error_bodies_of_other_servers_are_read_too(kind, body):
    async with raw(kind, http(body, 400)) as adapter:
        assert "as text" in (await adapter.complete(Task.of("x"))).message


async def test_a_status_speaks_for_a_body_that_breaks_off(kind):
    cut = b"HTTP/1.1 429 X\r\ncontent-type: application/json\r\nretry-after: 3\r\ncontent-length: 100\r\n\r\n{"
    async with raw(kind, cut, once=True) as adapter:
        failure = await adapter.complete(Task.of("x"))
    assert (failure.code, failure.retry_after_s) == (FailureCode.RATE_LIMITED, 3)


async def test_a_status_speaks_for_a_body_that_never_comes(kind, monkeypatch):
    monkeypatch.setattr("partsong.adapters.http._WORDS_S", 0.1)
    stalled = b"HTTP/1.1 429 X\r\ncontent-type: application/json\r\nretry-after: 3\r\ncontent-length: 100\r\n\r\n"
    async with raw(kind, stalled) as adapter, asyncio.timeout(5):
        failure = await adapter.complete(Task.of("x"))
    assert (failure.code, failure.retry_after_s) == (FailureCode.RATE_LIMITED, 3)


async def test_a_status_speaks_for_a_body_without_end(kind):
    endless = b"HTTP/1.1 503 X\r\ncontent-type: application/json\r\ncontent-length: 60000000\r\n\r\n" + b"x" * 2**21
    async with raw(kind, endless) as adapter, asyncio.timeout(5):
        failure = await adapter.complete(Task.of("x"))
    assert (failure.code, len(failure.message) < 600) == (FailureCode.OVERLOADED, True)


@pytest.mark.parametrize(("status", "says"), [(400, True), (500, False)])
async def test_a_provider_that_says_whether_to_ask_again_is_believed(kind, status, says):
    async with speaking(kind) as (adapter, server):
        server.fault("status", status=status, headers=(("x-should-retry", str(says).lower()),))
        assert (await adapter.complete(Task.of("x"))).retryable is says


# --- waiting


async def test_retry_after_is_handed_on(kind):
    async with speaking(kind) as (adapter, server):
        server.fault("status", status=429, headers=(("retry-after", "7"),))
        assert (await adapter.complete(Task.of("x"))).retry_after_s == 7
        server.fault("status", status=429)
        assert (await adapter.complete(Task.of("x"))).retry_after_s is None


async def test_what_will_not_help_has_no_time_to_wait(kind):
    async with speaking(kind) as (adapter, server):
        server.fault("status", status=401, headers=(("retry-after", "7"),))
        assert (await adapter.complete(Task.of("x"))).retry_after_s is None


# --- connections


async def test_a_refused_connection_was_not_sent(kind):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        adapter = adapter_of(kind, f"http://127.0.0.1:{held.getsockname()[1]}")
        await adapter.open()
        failure = await adapter.complete(Task.of("x"))
        await adapter.close()
    assert outcome(failure) == ("connect", True, "no")
    assert "refused" in failure.message


@pytest.mark.parametrize("fault", ["close", "reset"])
async def test_a_connection_lost_before_the_reply_may_have_been_sent(kind, fault):
    async with speaking(kind) as (adapter, server):
        server.fault(fault)
        assert outcome(await adapter.complete(Task.of("x"))) == ("connection-lost", True, "maybe")
        server.fault(fault)
        assert outcome(await adapter.complete(Task.of("x"), [].append)) == ("connection-lost", True, "maybe")
        assert isinstance(await adapter.complete(Task.of("x")), Completion)


async def test_a_reply_cut_in_its_middle_was_sent(kind):
    async with speaking(kind) as (adapter, server):
        server.fault("cut")
        assert outcome(await adapter.complete(Task.of("x"))) == ("connection-lost", True, "yes")


async def test_a_stream_cut_in_its_middle_is_broken(kind):
    async with speaking(kind) as (adapter, server):
        server.fault("cut", after=2)
        assert outcome(await adapter.complete(Task.of("one two three four"), [].append)) == ("stream-broken", True, "yes")


async def test_a_stream_that_ends_well_but_too_early_is_broken(kind):
    async with speaking(kind) as (adapter, server):
        server.fault("bare", after=2)
        assert outcome(await adapter.complete(Task.of("one two three four"), [].append)) == ("stream-broken", True, "yes")


@pytest.mark.parametrize("fault", ["cut", "cut-mid-event", "stall"])
async def test_a_stream_that_breaks_off_behind_its_finish_reason_is_answered(fault):
    async with speaking("openai", stall_timeout=0.1) as (adapter, server):
        server.fault(fault, after=4)
        reply = await adapter.complete(Task.of("two words"), [].append)
    assert (reply.text, reply.finish_reason, reply.usage.estimated) == ("two words", "stop", True)


async def test_a_thousand_calls_one_after_another_use_one_connection(kind):
    async with speaking(kind) as (adapter, server):
        for number in range(1000):
            reply = await adapter.complete(Task.of("x"), [].append if number % 2 else None)
            assert isinstance(reply, Completion)
        assert server.connections == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["slow", "stall"])
async def test_a_cancelled_call_is_closed_upstream(kind, fault, stream):
    async with speaking(kind) as (adapter, server):
        server.fault(fault)
        call = asyncio.create_task(adapter.complete(Task.of("never mind"), [].append if stream else None))
        await server.until(lambda: server.in_flight)
        await asyncio.sleep(0.02)
        call.cancel()
        await server.until(lambda: server.abandoned["never mind"])
        with pytest.raises(asyncio.CancelledError):
            await call
        assert isinstance(await adapter.complete(Task.of("and on")), Completion)


async def test_as_many_calls_are_in_flight_as_are_asked_for(kind):
    async with speaking(kind, latency_s=0.1) as (adapter, server):
        replies = await asyncio.gather(*(adapter.complete(Task.of("x")) for _ in range(200)))
        assert server.most_in_flight == 200
    assert all(isinstance(reply, Completion) for reply in replies)


async def test_what_comes_after_the_end_mark_is_not_waited_for():
    chunk = json.dumps({"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]})
    stream = f"data: {chunk}\n\ndata: [DONE]\n\n".encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 100000\r\n\r\n"
    async with raw("openai", head + stream) as adapter, asyncio.timeout(5):
        reply = await adapter.complete(Task.of("x"), [].append)
    assert isinstance(reply, Completion)
    assert reply.text == "hi"


# --- replies


@pytest.mark.parametrize("fault", ["malformed", "empty", "bare"])
async def test_a_reply_that_is_none_may_come_right_the_next_time(kind, fault):
    async with speaking(kind) as (adapter, server):
        server.fault(fault)
        assert outcome(await adapter.complete(Task.of("x"))) == ("malformed-reply", True, "yes")


async def test_a_web_page_says_that_the_address_is_wrong(kind):
    async with speaking(kind) as (adapter, server):
        server.fault("html")
        failure = await adapter.complete(Task.of("x"))
        assert outcome(failure) == ("malformed-reply", False, "yes")
        assert "base_url" in failure.message


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_of_another_content_type_that_cannot_be_read_names_it(kind, stream):
    async with raw(kind, http(b"upstream is away", 200, "text/plain")) as adapter:
        failure = await adapter.complete(Task.of("x"), [].append if stream else None)
    assert outcome(failure) == ("malformed-reply", True, "yes")
    assert "text/plain" in failure.message


async def test_the_providers_word_for_withholding_is_bounded_and_holds_no_key():
    body = {"promptFeedback": {"blockReason": f"{KEY} " + "x" * 10_000}}
    async with raw("gemini", http(body), secret=KEY) as adapter:
        failure = await adapter.complete(Task.of("x"))
    assert failure.code == FailureCode.CONTENT_FILTER
    assert KEY not in failure.message
    assert len(failure.message) < 200


async def test_malformed_json_within_a_stream_is_a_malformed_reply(kind):
    async with speaking(kind) as (adapter, server):
        server.fault("malformed")
        assert outcome(await adapter.complete(Task.of("one two three"), [].append)) == ("malformed-reply", True, "yes")


@pytest.mark.parametrize(("stream", "after"), [(False, 1), (True, 0), (True, 2)])
async def test_an_error_under_status_200_is_that_error(kind, stream, after):
    async with speaking(kind) as (adapter, server):
        server.fault("error-body", after=after)
        failure = await adapter.complete(Task.of("one two three"), [].append if stream else None)
    assert failure.code in (FailureCode.OVERLOADED, FailureCode.SERVER_ERROR)
    assert outcome(failure)[1:] == (True, "yes")
    assert "error on demand" in failure.message


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'"text"',
        b"[]",
        b"null",
        b"1",
        b"\xff\xfe\xfa",
        b'{"choices": 1, "content": [1], "candidates": {"a": 1}}',
        b"9" * 5000,
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_no_body_whatever_makes_the_adapter_raise(kind, body, stream):
    async with raw(kind, http(body)) as adapter:
        assert outcome(await adapter.complete(Task.of("x"), [].append if stream else None))[0] == "malformed-reply"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def spots(value, path=()):
    """Yield the path of every value within a JSON value."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from spots(inner, (*path, key))


def replaced(value, path, by):
    if not path:
        return by
    copy = value.copy()
    copy[path[0]] = replaced(copy[path[0]], path[1:], by)
    return copy


SAID = Reply("two words", tool_calls=(ToolUse("weather", {"city": "Köln"}),))
ASKED = Asked(prompt="x", model="m", body={"stream_options": {"include_usage": True}, "generationConfig": {}}, logprobs=True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("speaks", KINDS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_reply_with_anything_in_a_place_of_it_is_a_completion_or_a_failure_and_never_raises(speaks, stream, data):
    wire = KINDS[speaks][0]()
    if stream:
        events = [event for _, event in wire.events(ASKED, SAID)]
        place = data.draw(st.sampled_from([place for place, event in enumerate(events) if isinstance(event, dict)]))
        events[place] = replaced(events[place], data.draw(st.sampled_from(list(spots(events[place])))), data.draw(JSON))
        body = "".join(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in events).encode()
    else:
        whole = wire.whole(ASKED, SAID)
        body = json.dumps(replaced(whole, data.draw(st.sampled_from(list(spots(whole)))), data.draw(JSON))).encode()

    async def asked():
        async with raw(speaks, http(body, 200, "text/event-stream" if stream else "application/json")) as adapter:
            return await adapter.complete(Task.of("x"), [].append if stream else None)

    assert isinstance(asyncio.run(asked()), Completion | Failure)


async def test_a_reply_over_the_cap_is_too_large(kind):
    async with speaking(kind, reply="x" * 5000, reply_cap="2kB") as (adapter, _):
        for on_text in (None, [].append):
            failure = await adapter.complete(Task.of("x"), on_text)
            assert outcome(failure) == ("too-large", False, "yes")
            assert "reply_cap" in failure.message


async def test_a_stream_that_is_answered_whole_is_handed_on_whole():
    body = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}
    pieces = []
    async with raw("openai", http(body)) as adapter:
        reply = await adapter.complete(Task.of("x"), pieces.append)
    assert (reply.text, pieces) == ("hello", ["hello"])


# --- completions


async def test_plain_and_streamed_completions_are_the_same(kind):
    async with speaking(kind, price=PRICE) as (adapter, _):
        pieces = []
        plain = await adapter.complete(Task.of("grüße aus Köln 🙂"))
        streamed = await adapter.complete(Task.of("grüße aus Köln 🙂"), pieces.append)
    assert plain.text == "grüße aus Köln 🙂"
    assert len(pieces) == 4
    assert plain.model_copy(update={"timing": None}) == streamed.model_copy(update={"timing": None})
    assert plain.timing.first_token_s is None
    assert 0 < streamed.timing.first_token_s <= streamed.timing.total_s


@pytest.mark.parametrize("stream", [False, True])
async def test_text_of_any_script_comes_back_as_it_was(kind, stream):
    text = "Grüße, 世界! 🎶\nnew line  two spaces"
    async with speaking(kind) as (adapter, _):
        assert (await adapter.complete(Task.of(text), [].append if stream else None)).text == text


CALL = ToolCall(id="c1", name="weather", arguments='{"city": "Köln"}')
TURNS = (
    Message(role="system", parts=(TextPart(text="Be brief."),)),
    Message(role="user", parts=(TextPart(text="Weather?"), ImagePart(data=b"\x89PNG"), PDF)),
    Message(role="assistant", parts=(), tool_calls=(CALL,)),
    Message(role="tool", parts=(TextPart(text="rain"),), tool_call_id="c1"),
)
EVERYTHING = Sampling(temperature=1.5, top_p=0.9, max_tokens=50, seed=7, stop=("END",), logprobs=True)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_vendors_rules_take_all_that_a_task_can_hold(kind, stream):
    tools = (Tool(name="weather", description="Tells it.", parameters={"type": "object", "properties": {"city": {"type": "string"}}}),)
    async with speaking(kind) as (adapter, _):
        reply = await adapter.complete(Task(id="1", messages=TURNS, tools=tools, sampling=EVERYTHING), [].append if stream else None)
    assert isinstance(reply, Completion), reply


async def test_the_model_is_what_the_provider_says_answered(kind):
    async with speaking(kind) as (adapter, _):
        reply = await adapter.complete(Task.of("x"))
    assert reply.model != KINDS[kind][2]
    assert reply.model.startswith(KINDS[kind][2])


@pytest.mark.parametrize("stream", [False, True])
async def test_usage_counts_cached_and_reasoning_tokens_and_makes_the_cost(kind, stream):
    said = Reply("one two", cached_tokens=1, reasoning_tokens=5)
    async with speaking(kind, reply=said, price=Price(input=10.0, output=1.0, cached_input=1.0)) as (adapter, _):
        reply = await adapter.complete(Task.of("twelve chars"), [].append if stream else None)
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.cached_tokens) == (3, 7, 1)
    assert not reply.usage.estimated
    assert reply.cost_usd == pytest.approx((2 * 10 + 1 + 7) / 1e6)


@pytest.mark.parametrize("stream", [False, True])
async def test_without_usage_tokens_are_estimated_at_four_characters_each(kind, stream):
    async with speaking(kind, reply="answer", price=PRICE) as (adapter, server):
        server.fault("no-usage")
        reply = await adapter.complete(Task.of("question?"), [].append if stream else None)
    assert reply.usage.estimated
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (3, 2)
    assert reply.cost_usd > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_cut_at_its_limit_says_so(kind, stream):
    async with speaking(kind, reply=Reply("cut", finish="length")) as (adapter, _):
        assert (await adapter.complete(Task.of("x"), [].append if stream else None)).finish_reason == "length"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_that_is_withheld_is_a_failure_that_tells_what_it_cost(kind, stream):
    async with speaking(kind, reply=Reply("", refusal="I cannot."), price=PRICE) as (adapter, _):
        failure = await adapter.complete(Task.of("how to?"), [].append if stream else None)
    assert outcome(failure) == ("content-filter", False, "yes")
    assert failure.cost_usd > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_that_says_nothing_not_even_why_is_malformed(stream):
    body = http(b"data: [DONE]\n\n", 200, "text/event-stream") if stream else http({"choices": [{"message": {}}]})
    async with raw("openai", body) as adapter:
        assert (await adapter.complete(Task.of("x"), [].append if stream else None)).code == FailureCode.MALFORMED_REPLY


async def test_halves_of_a_character_in_two_pieces_are_joined():
    def chunk(text, finish=None):
        return "data: " + json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": finish}]}) + "\n\n"

    stream = (chunk("\ud83d") + chunk("\ude42 \ud83d") + chunk("", "stop") + "data: [DONE]\n\n").encode()
    async with raw("openai", http(stream, 200, "text/event-stream")) as adapter:
        assert (await adapter.complete(Task.of("x"), [].append)).text == "🙂 \ufffd"


# --- the mesh file


def spec(**fields):
    return OpenAISpec.model_validate({"adapter": "openai", "model": "m"} | fields)


@pytest.mark.parametrize(
    "url", ["api.openai.com", "ftp://x", "https://", "https://key@host/v1", "https://host/v1?key=1", "https://host/v1#a"]
)
def test_an_address_is_http_without_secrets(url):
    with pytest.raises(ValidationError, match="base_url"):
        spec(base_url=url)


def test_an_address_may_end_in_a_slash():
    assert spec(base_url="http://host:8000/v1/").base_url == "http://host:8000/v1"


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "X-Goog-Api-Key", "api-key", "X-Auth-Token", "Cookie"])
def test_a_literal_key_among_the_headers_is_refused(name):
    with pytest.raises(ValidationError, match="api_key"):
        spec(headers={name: "sk-1"})


def test_a_header_that_would_break_the_request_is_refused():
    with pytest.raises(ValidationError):
        spec(headers={"x": "a\r\nb: c"})
    with pytest.raises(ValidationError):
        spec(headers={"x y": "a"})


def test_what_the_model_takes_is_the_default_of_accepts():
    assert "image" in spec(model="gpt-4o-mini").accepts
    assert spec(model="llama-3.1-8b").accepts == ("text", "code")
    assert spec(model="gpt-4o-mini", accepts=["text"]).accepts == ("text",)


async def test_headers_of_the_mesh_file_are_sent(kind):
    async with speaking(kind, headers={"x-team": "blue"}) as (adapter, server):
        await adapter.complete(Task.of("x"))
        assert server.requests[-1].headers["x-team"] == "blue"


async def test_without_a_key_none_is_sent():
    async with raw("openai", http({"choices": [{"message": {"content": "hi"}}]}), secret=None) as adapter:
        assert isinstance(await adapter.complete(Task.of("x")), Completion)


async def test_a_part_that_the_protocol_has_no_place_for_is_not_sent():
    parts = (TextPart(text="look"), ImagePart(data=b"x"))
    async with speaking("openai") as (adapter, server):
        assert isinstance(await adapter.complete(Task(id="1", messages=(Message(role="user", parts=parts),))), Completion)
    async with speaking("gemini", model="gemma-3-27b-it") as (adapter, server):
        task = Task.of("x").model_copy(update={"tools": (Tool(name="weather"),)})
        assert outcome(await adapter.complete(task)) == ("unsupported", False, "no")
        assert not server.requests


class TestOpenAIConforms(AdapterConformance):
    @asynccontextmanager
    async def adapter(self):
        async with KINDS["openai"][0](reply=_answered) as server:
            yield adapter_of("openai", server.url)


class TestAnthropicConforms(AdapterConformance):
    @asynccontextmanager
    async def adapter(self):
        async with KINDS["anthropic"][0](reply=_answered) as server:
            yield adapter_of("anthropic", server.url)


class TestGeminiConforms(AdapterConformance):
    @asynccontextmanager
    async def adapter(self):
        async with KINDS["gemini"][0](reply=_answered) as server:
            yield adapter_of("gemini", server.url)


def _answered(asked):
    return f"to {asked.prompt}"
