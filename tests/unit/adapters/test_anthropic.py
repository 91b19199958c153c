"""Anthropic: conformance, and what messages carry."""

import json

import pytest
from providers.anthropic import AnthropicServer
from providers.http_conformance import PROMPT, HttpConformance
from providers.provider import Reply, ToolUse

from partsong.adapters.anthropic import AnthropicAdapter
from partsong.contracts import (
    AudioPart,
    Completion,
    Failure,
    FailureCode,
    FilePart,
    ImagePart,
    Message,
    Sampling,
    Task,
    TextPart,
    Tool,
    ToolCall,
)

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
NATIVE, BY_TOOL = "claude-sonnet-4-6", "claude-3-haiku-20240307"


class TestAnthropic(HttpConformance):
    kind = AnthropicAdapter
    server = AnthropicServer
    model = "claude-haiku-4-5"

    def sampled(self):
        return Sampling(temperature=1.5, top_p=0.9, max_tokens=50, seed=7, stop=("\n\n",), logprobs=True)


async def sent(task, model="claude-haiku-4-5", *, reply=None, stream=False):
    """Return the body of the request that the task becomes, and the reply."""
    suite = TestAnthropic()
    suite.model = model
    async with suite.both() as (adapter, server):
        if reply is not None:
            server.reply = lambda asked: reply
        answer = await adapter.complete(task, [].append if stream else None)
        assert isinstance(answer, Completion), answer
        return server.body(), answer


async def test_system_stands_apart_from_the_turns():
    task = Task.of("x").asking(PROMPT, system="be kind")
    body, _ = await sent(task)
    assert (body["system"], body["messages"]) == ("be kind", [{"role": "user", "content": PROMPT}])


async def test_a_limit_is_sent_where_the_task_names_none():
    assert (await sent(Task.of(PROMPT)))[0]["max_tokens"] == 8_192
    assert (await sent(Task.of(PROMPT), BY_TOOL))[0]["max_tokens"] == 4_096


async def test_newer_models_are_sent_no_sampling_parameters():
    task = Task.of(PROMPT).model_copy(update={"sampling": Sampling(temperature=0.0, top_p=0.5)})
    body, _ = await sent(task, "claude-opus-5-5")
    assert not body.keys() & {"temperature", "top_p"}


async def test_images_and_documents_become_blocks():
    parts = (
        TextPart(text=PROMPT),
        ImagePart(data=b"\x89PNG"),
        ImagePart(url="https://example.com/a.png"),
        FilePart(name="a.pdf", data=b"%PDF", media_type="application/pdf"),
    )
    body, _ = await sent(Task(id="1", messages=(Message(role="user", parts=parts),)))
    sources = [block["source"] for block in body["messages"][0]["content"][1:]]
    assert sources[0] == {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}
    assert [source["type"] for source in sources] == ["base64", "url", "base64"]


async def test_a_conversation_with_tools_is_sent_whole():
    calls = (ToolCall(id="c1", name="weather", arguments='{"city":"Köln"}'), ToolCall(id="c2", name="weather", arguments="{}"))
    task = Task(
        id="1",
        messages=(
            Message(role="user", parts=(TextPart(text=PROMPT),)),
            Message(role="assistant", parts=(TextPart(text="let me see"),), tool_calls=calls),
            Message(role="tool", parts=(TextPart(text="rain"),), tool_call_id="c1"),
            Message(role="tool", parts=(TextPart(text="sun"),), tool_call_id="c2"),
            Message(role="user", parts=(TextPart(text="so?"),)),
        ),
        tools=(Tool(name="weather", parameters=SCHEMA),),
    )
    body, _ = await sent(task)
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user", "user"]
    assert [block["type"] for block in body["messages"][1]["content"]] == ["text", "tool_use", "tool_use"]
    assert [block["tool_use_id"] for block in body["messages"][2]["content"]] == ["c1", "c2"]
    assert body["tools"][0]["input_schema"] == SCHEMA


@pytest.mark.parametrize("stream", [False, True])
async def test_a_schema_is_held_to_by_the_provider_where_it_can_be(stream):
    reply = Reply(json.dumps({"city": "Köln"}))
    body, answer = await sent(Task.of(PROMPT).model_copy(update={"answer_schema": SCHEMA}), NATIVE, reply=reply, stream=stream)
    assert body["output_config"]["format"] == {"type": "json_schema", "schema": SCHEMA}
    assert json.loads(answer.text) == {"city": "Köln"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_schema_is_held_to_by_a_forced_tool_elsewhere(stream):
    reply = Reply(tool_calls=[ToolUse("structured_answer", {"city": "Köln"})])
    body, answer = await sent(Task.of(PROMPT).model_copy(update={"answer_schema": SCHEMA}), BY_TOOL, reply=reply, stream=stream)
    assert body["tool_choice"] == {"type": "tool", "name": "structured_answer"}
    assert json.loads(answer.text) == {"city": "Köln"}
    assert (answer.finish_reason, answer.tool_calls) == ("stop", ())


async def test_sound_has_no_place_in_a_request():
    task = Task(id="1", messages=(Message(role="user", parts=(TextPart(text="x"), AudioPart(data=b"RIFF"))),))
    async with TestAnthropic().both() as (adapter, server):
        reply = await adapter.complete(task)
        assert isinstance(reply, Failure)
        assert (reply.code, reply.sent, server.calls.total()) == (FailureCode.UNSUPPORTED, "no", 0)


async def test_an_overloaded_provider_within_a_stream_is_told():
    failure = await TestAnthropic().failed("error-body", streamed=True, after=3)
    assert (failure.code, failure.retryable) == (FailureCode.OVERLOADED, True)


async def test_the_end_of_a_rate_limit_is_what_is_waited_for():
    headers = (("anthropic-ratelimit-requests-remaining", "0"), ("anthropic-ratelimit-requests-reset", "2000-01-01T00:00:00Z"))
    assert (await TestAnthropic().failed("status", status=429, headers=headers)).retry_after_s == 0.0
