"""Refusing: a request that makes no sense is answered as its vendor would, and never counts as a call."""

import pytest
from providers.calling import SERVERS, hear, http, request

NONSENSE = {
    "openai": [{"model": None}, {"messages": []}, {"messages": ["x"]}, {"messages": [{"role": "x"}]}, {"temperature": 3}, {"typo": 1}],
    "anthropic": [{"model": None}, {"messages": []}, {"messages": ["x"]}, {"max_tokens": None}, {"temperature": 2}, {"typo": 1}],
    "gemini": [{"contents": []}, {"contents": ["x"]}, {"contents": [{"parts": []}]}, {"generationConfig": {"typo": 1}}, {"typo": 1}],
}
NO_KEY = {"openai": (401, "invalid_request_error"), "anthropic": (401, "authentication_error"), "gemini": (400, "INVALID_ARGUMENT")}
UNKNOWN = {"openai": "invalid_request_error", "anthropic": "not_found_error", "gemini": "NOT_FOUND"}


@pytest.fixture(params=SERVERS)
async def vendor(request):
    async with SERVERS[request.param]() as server:
        yield request.param, server


@pytest.mark.parametrize("number", range(6))
async def test_nonsense_is_a_bad_request(vendor, number):
    name, server = vendor
    fields = NONSENSE[name][number % len(NONSENSE[name])]
    heard = await hear(server, request(server, "hello", more=fields))
    assert (heard.status, bool(heard.whole["error"]["message"]), server.calls.total()) == (400, True, 0)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000], ids=["nothing", "array", "cut", "no UTF-8", "deep"])
async def test_a_body_that_is_no_object_is_a_bad_request(vendor, body):
    _, server = vendor
    head = request(server, "hello").partition(b"content-length")[0]
    heard = await hear(server, head + b"content-length: %d\r\n\r\n" % len(body) + body)
    assert (heard.status, server.calls.total()) == (400, 0)


async def test_half_a_character_is_a_bad_request(vendor):
    _, server = vendor
    assert (await hear(server, request(server, "half \ud83c only"))).status == 400


async def test_a_wrong_key_is_refused_with_the_vendors_words(vendor):
    name, server = vendor
    heard = await hear(server, request(server, "hello", key="wrong"))
    status, kind = NO_KEY[name]
    error = heard.whole["error"]
    assert (heard.status, error.get("status", error.get("type"))) == (status, kind)
    assert server.calls.total() == 0


async def test_an_unknown_path_is_not_found(vendor):
    name, server = vendor
    rest = request(server, "hello").partition(b"\r\n")[2]
    heard = await hear(server, b"POST /v1/typo HTTP/1.1\r\n" + rest)
    error = heard.whole["error"]
    assert (heard.status, error.get("status", error.get("type"))) == (404, UNKNOWN[name])


async def test_a_refused_request_leaves_the_server_well(vendor):
    _, server = vendor
    await hear(server, http("/", b"\x00"))
    assert (await hear(server, request(server, "hello"))).status == 200
