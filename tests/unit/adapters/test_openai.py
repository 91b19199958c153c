"""OpenAI: what a task becomes in a chat completion's request, and what a reply becomes."""

import pytest
from providers.kinds import adapter_of, speaking
from providers.provider import Reply, ToolUse

from partsong.adapters.profiles import OPENAI, profile_of
from partsong.contracts import (
    AudioPart,
    CodePart,
    Completion,
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
WEATHER = Tool(name="weather", description="Tells the weather.", parameters=SCHEMA)


def text(role, words, **fields):
    return Message(role=role, parts=(TextPart(text=words),), **fields)


def user(*parts):
    return Task(id="1", messages=(Message(role="user", parts=parts),))


def body(task, model="gpt-4o-mini", *, stream=False, **fields):
    return adapter_of("openai", "http://x/v1", model=model, **fields).ask(task, stream).body


def test_a_plain_question_is_nothing_more():
    assert body(Task.of("Why?")) == {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Why?"}]}


def test_a_stream_asks_for_its_usage():
    assert body(Task.of("Why?"), stream=True) == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "Why?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_conversation_with_tools_keeps_its_turns():
    call = ToolCall(id="call_1", name="weather", arguments='{"city": "Köln"}')
    turns = (
        text("system", "Be brief."),
        text("user", "Weather?"),
        text("assistant", "", tool_calls=(call,)),
        text("tool", "rain", tool_call_id="call_1"),
    )
    assert body(Task(id="1", messages=turns, tools=(WEATHER,))) == {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}],
            },
            {"role": "tool", "content": "rain", "tool_call_id": "call_1"},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "Tells the weather.", "parameters": SCHEMA}}],
    }


def test_parts_have_their_own_shapes():
    task = user(
        TextPart(text="Look"),
        CodePart(code="x = 1", language="python"),
        ImagePart(url="https://example.com/a.png"),
        ImagePart(data=b"\x89PNG"),
        AudioPart(data=b"RIFF"),
        FilePart(name="a.pdf", data=b"%PDF", media_type="application/pdf"),
    )
    assert body(task)["messages"][0]["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "text", "text": "x = 1"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
    ]


def test_text_and_code_alone_stay_one_string_which_every_server_takes():
    assert body(user(TextPart(text="Mend:"), CodePart(code="x = 1")))["messages"][0]["content"] == "Mend:\nx = 1"


@pytest.mark.parametrize("part", [AudioPart(data=b"x", media_type="audio/ogg"), FilePart(name="a.pdf", url="https://example.com/a.pdf")])
async def test_a_part_without_a_shape_is_unsupported_and_not_sent(part):
    async with speaking("openai") as (adapter, server):
        failure = await adapter.complete(user(part))
        assert not server.requests
    assert (failure.code, failure.sent) == (FailureCode.UNSUPPORTED, "no")


EVERYTHING = Sampling(temperature=0.5, top_p=0.9, max_tokens=7, seed=40, sample=2, stop=("END",), logprobs=True)


def test_sampling_is_handed_on_and_each_sample_has_its_own_seed():
    asked = body(Task.of("?").model_copy(update={"sampling": EVERYTHING}))
    del asked["messages"], asked["model"]
    assert asked == {"temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "seed": 42, "stop": ["END"], "logprobs": True}


def test_a_reasoning_model_is_not_asked_for_what_it_refuses():
    asked = body(Task.of("?").model_copy(update={"sampling": EVERYTHING}), "o3-mini")
    del asked["messages"], asked["model"]
    assert asked == {"max_completion_tokens": 7, "seed": 42}


def test_a_strict_schema_is_asked_for_strictly():
    asked = body(Task.of("?").model_copy(update={"answer_schema": SCHEMA}))
    assert asked["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}


def test_a_schema_that_allows_more_is_not_asked_for_strictly():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    asked = body(Task.of("?").model_copy(update={"answer_schema": schema}))
    assert asked["response_format"]["json_schema"] == {"name": "answer", "schema": schema}


def test_an_older_model_is_told_the_schema_in_words():
    task = Task.of("?").model_copy(update={"answer_schema": SCHEMA})
    turbo, older = body(task, "gpt-4-turbo"), body(task, "gpt-4")
    assert turbo["response_format"] == {"type": "json_object"}
    assert "response_format" not in older
    assert all('"city"' in asked["messages"][0]["content"] for asked in (turbo, older))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_schema_that_is_no_object_is_wrapped_and_its_answer_unwrapped(stream):
    pieces = []
    async with speaking("openai", reply='{"answer": "yes"}') as (adapter, server):
        task = Task.of("?").model_copy(update={"answer_schema": {"enum": ["yes", "no"]}})
        reply = await adapter.complete(task, pieces.append if stream else None)
        asked = server.body()["response_format"]["json_schema"]["schema"]
    assert asked["properties"] == {"answer": {"enum": ["yes", "no"]}}
    assert reply.text == '"yes"'
    assert pieces == (['"yes"'] if stream else [])


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_come_back(stream):
    said = Reply(tool_calls=[ToolUse("weather", {"city": "Köln"}), ToolUse("weather", {"city": "Bonn"}, "call_2")])
    async with speaking("openai", reply=said) as (adapter, _):
        task = Task.of("?").model_copy(update={"tools": (WEATHER,)})
        reply = await adapter.complete(task, [].append if stream else None)
    assert reply.finish_reason == "tool_calls"
    assert [(call.id, call.name) for call in reply.tool_calls] == [("call_1", "weather"), ("call_2", "weather")]
    assert [call.arguments for call in reply.tool_calls] == ['{"city": "K\\u00f6ln"}', '{"city": "Bonn"}']


@pytest.mark.parametrize("stream", [False, True])
async def test_logprobs_come_back_one_a_token(stream):
    async with speaking("openai", reply=Reply("one two", logprob=-0.25)) as (adapter, _):
        task = Task.of("?").model_copy(update={"sampling": Sampling(logprobs=True)})
        reply = await adapter.complete(task, [].append if stream else None)
        without = await adapter.complete(Task.of("?"))
    assert (reply.logprobs.tokens, reply.logprobs.values) == (("one", " two"), (-0.25, -0.25))
    assert without.logprobs is None


async def test_a_filtered_reply_with_text_is_a_completion_that_says_so():
    async with speaking("openai", reply=Reply("so far", finish="content_filter")) as (adapter, _):
        reply = await adapter.complete(Task.of("?"))
    assert isinstance(reply, Completion)
    assert (reply.text, reply.finish_reason) == ("so far", "content_filter")


async def test_a_filtered_reply_without_text_is_a_failure():
    async with speaking("openai", reply=Reply("", finish="content_filter")) as (adapter, _):
        assert (await adapter.complete(Task.of("?"))).code == FailureCode.CONTENT_FILTER


@pytest.mark.parametrize(
    ("kind", "status", "code", "retryable"),
    [
        ("insufficient_quota", 429, "rate-limited", False),
        ("context_length_exceeded", 400, "too-large", False),
        ("content_filter", 400, "content-filter", False),
        ("model_not_found", 404, "not-found", False),
    ],
)
async def test_the_vendors_own_error_codes_say_more_than_the_status(kind, status, code, retryable):
    async with speaking("openai") as (adapter, server):
        said = server.error(status, "no", kind)
        server.error = lambda *_: said
        server.fault("status", status=status)
        failure = await adapter.complete(Task.of("?"))
    assert (failure.code, failure.retryable, failure.status) == (code, retryable, status)


@pytest.mark.parametrize(
    ("model", "field"),
    [("gpt-4o-mini", "max_tokens"), ("o1", "max_completion_tokens"), ("gpt-5.4-mini", "max_completion_tokens"), ("llama3", "max_tokens")],
)
def test_the_limit_of_tokens_is_called_what_the_model_calls_it(model, field):
    assert profile_of(model, OPENAI).max_tokens_field == field
