"""Failing: what each fault sends, in each protocol, plain and streamed."""

import json
from math import inf

import pytest
from providers.calling import SERVERS, hear, request
from providers.faults import FAULTS
from providers.openai import OpenAIServer

PROMPT = "some words with a ü in them"
MODES = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


@pytest.fixture(params=SERVERS)
async def server(request):
    async with SERVERS[request.param]() as server:
        yield server


async def heard(server, kind, *, stream=False, patience_s=5.0, **fields):
    server.fault(kind, **fields)
    return await hear(server, request(server, PROMPT, stream=stream), patience_s=patience_s)


@MODES
async def test_without_a_fault_the_reply_is_complete(server, stream):
    reply = await hear(server, request(server, PROMPT, stream=stream))
    assert (reply.status, reply.complete, server.in_flight) == (200, True, 0)


@MODES
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529])
async def test_a_status_has_the_vendors_error_body(server, status, stream):
    reply = await heard(server, "status", status=status, stream=stream)
    assert reply.status == status
    assert reply.whole["error"]["message"] == f"status {status} on demand"


@pytest.mark.parametrize("wait", ["7", "Wed, 21 Oct 2099 07:28:00 GMT", "999999999999", "soon"])
async def test_a_status_carries_the_wait_it_is_told(server, wait):
    reply = await heard(server, "status", status=429, headers=(("retry-after", wait),))
    assert reply.headers["retry-after"] == wait


@MODES
@pytest.mark.parametrize(
    ("kind", "arrived"), [("reset", b""), ("reset-in-headers", b"HTTP/1.1 200 OK\r\ncontent-ty"), ("reset-after-headers", None)]
)
async def test_a_reset_is_a_reset_where_it_is_said_to_be(server, kind, arrived, stream):
    reply = await heard(server, kind, stream=stream)
    assert reply.ended == "reset"
    assert reply.raw == arrived if arrived is not None else (reply.raw.endswith(b"\r\n\r\n") and not reply.complete)


@MODES
async def test_a_close_sends_nothing(server, stream):
    reply = await heard(server, "close", stream=stream)
    assert (reply.raw, reply.ended) == (b"", "closed")


@MODES
@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind.startswith("cut")])
async def test_a_cut_reply_is_not_complete(server, kind, stream):
    reply = await heard(server, kind, stream=stream)
    assert (reply.status, reply.ended, reply.complete) == (200, "closed", False)
    assert reply.body or stream


async def test_a_stream_is_cut_after_as_many_events_as_it_is_told(server):
    reply = await heard(server, "cut", stream=True, after=3)
    assert (len(reply.events), reply.body.endswith(b"\n\n")) == (3, True)


async def test_a_stream_is_cut_in_the_middle_of_an_event(server):
    reply = await heard(server, "cut-mid-event", stream=True, after=2)
    assert (len(reply.events), reply.body.endswith(b"\n\n")) == (2, False)


@MODES
async def test_a_reply_is_cut_in_the_middle_of_a_character(server, stream):
    reply = await heard(server, "cut-mid-character", stream=stream)
    assert reply.body[-1:] == "ü".encode()[:1]
    with pytest.raises(UnicodeDecodeError):
        reply.body.decode()


async def test_a_reply_is_cut_when_all_is_said_but_the_usage(server):
    reply = await heard(server, "cut-before-usage")
    assert "them" in reply.body.decode()
    assert '"usage' not in reply.body.decode()


async def test_a_stream_is_cut_when_all_is_said_but_the_last_usage(server):
    good = await hear(server, request(server, PROMPT, stream=True))
    reply = await heard(server, "cut-before-usage", stream=True)
    assert reply.body.decode().count("them") == good.body.decode().count("them") == 1
    assert reply.events == good.events[: len(reply.events)]
    assert "usage" in json.dumps(good.events[len(reply.events)])


@MODES
async def test_a_stall_begins_and_stays_open(server, stream):
    reply = await heard(server, "stall", stream=stream, patience_s=0.2)
    assert (reply.status, reply.ended, reply.complete) == (200, "open", False)
    await server.until(lambda: server.abandoned[PROMPT])


@MODES
async def test_a_slow_call_has_its_reply_later(server, stream):
    silent = await heard(server, "slow", stream=stream, patience_s=0.1)
    late = await heard(server, "slow", stream=stream, delay_s=0.01)
    assert (silent.raw, late.complete) == (b"", True)


@MODES
@pytest.mark.parametrize("kind", ["malformed", "nested"])
async def test_json_that_cannot_be_read(server, kind, stream):
    reply = await heard(server, kind, stream=stream)
    assert (reply.status, reply.complete) == (200, True)
    with pytest.raises((ValueError, RecursionError)):
        reply.events if stream else json.loads(reply.body)


@MODES
async def test_an_empty_body(server, stream):
    reply = await heard(server, "empty", stream=stream)
    assert (reply.status, reply.body, reply.complete) == (200, b"", True)


@MODES
async def test_a_web_page_instead(server, stream):
    reply = await heard(server, "html", stream=stream)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html")


@MODES
async def test_a_good_reply_of_the_wrong_type(server, stream):
    reply = await heard(server, "wrong-type", stream=stream)
    assert (reply.headers["content-type"], reply.complete) == ("text/plain", True)
    assert reply.events if stream else reply.whole


@MODES
async def test_nothing_is_chosen(server, stream):
    reply = await heard(server, "no-choices", stream=stream)
    told = reply.body.decode()
    assert reply.complete
    assert PROMPT.split()[0] not in told
    assert stream or not (reply.whole.get("choices") or reply.whole.get("content") or reply.whole.get("candidates"))


@MODES
async def test_no_usage_is_named(server, stream):
    reply = await heard(server, "no-usage", stream=stream)
    assert reply.complete
    assert '"usage' not in reply.body.decode()


@MODES
async def test_an_error_with_status_200(server, stream):
    reply = await heard(server, "error-body", stream=stream)
    last = reply.events[-1] if stream else reply.whole
    assert (reply.status, last["error"]["message"]) == (200, "error on demand")


@MODES
async def test_a_huge_reply_is_as_huge_as_it_is_told_and_good(server, stream):
    reply = await heard(server, "huge", stream=stream, size=3_000_000, patience_s=20)
    assert reply.complete
    assert len(reply.body) > 2_900_000
    assert reply.events if stream else reply.whole


@MODES
@pytest.mark.parametrize(
    ("kind", "reasons"),
    [
        ("filtered", ("content_filter", "refusal", "SAFETY")),
        ("withheld", ("content_filter", "refusal", "SAFETY")),
        ("length", ("length", "max_tokens", "MAX_TOKENS")),
    ],
)
async def test_a_reply_stops_for_the_reason_it_is_told(server, kind, reasons, stream):
    reply = await heard(server, kind, stream=stream)
    assert any(f'"{reason}"' in reply.body.decode() for reason in reasons)
    assert reply.complete


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_leads_where_it_is_told_by_the_status_it_is_told(status):
    async with OpenAIServer() as server, OpenAIServer() as other:
        reply = await heard(server, "redirect", status=status, location=f"{other.url}/chat/completions")
        assert (reply.status, reply.headers["location"]) == (status, f"{other.url}/chat/completions")


async def test_a_reply_that_is_withheld_says_nothing(server):
    assert PROMPT.split()[0] not in (await heard(server, "withheld")).body.decode()


@MODES
async def test_after_any_fault_the_next_call_is_answered_and_nothing_is_in_flight(server, stream):
    for kind in FAULTS:
        fields = {"status": 503} if kind == "status" else {"size": 100_000}
        await heard(server, kind, stream=stream, patience_s=0.05 if kind in ("stall", "slow") else 5.0, **fields)
        good = await hear(server, request(server, PROMPT, stream=stream))
        assert (good.status, good.complete) == (200, True), kind
    await server.until(lambda: server.in_flight == 0)
    assert server.calls[PROMPT] == 2 * len(FAULTS)


async def test_a_fault_without_end_ends_when_the_server_is_reset(server):
    server.fault("status", status=500, times=inf)
    statuses = [(await hear(server, request(server, PROMPT))).status for _ in range(2)]
    server.reset()
    assert statuses == [500, 500]
    assert (await hear(server, request(server, PROMPT))).status == 200
    assert server.calls.total() == 1
