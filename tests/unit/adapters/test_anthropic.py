"""Anthropic: what a task becomes in a message's request, and what a reply becomes."""

import json

import pytest
from providers.kinds import adapter_of, speaking
from providers.provider import Reply, ToolUse

from partsong.contracts import (
    AudioPart,
    CodePart,
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
MODEL = "claude-haiku-4-5"


def text(role, words, **fields):
    return Message(role=role, parts=(TextPart(text=words),), **fields)


def user(*parts):
    return Task(id="1", messages=(Message(role="user", parts=parts),))


def body(task, model=MODEL, *, stream=False):
    return adapter_of("anthropic", "http://x", model=model).ask(task, stream).body


def structured(schema, **fields):
    return Task.of("Which?").model_copy(update={"answer_schema": schema} | fields)


def test_a_plain_question_has_the_profiles_limit():
    assert body(Task.of("Why?")) == {"model": MODEL, "max_tokens": 8192, "messages": [{"role": "user", "content": "Why?"}]}
    assert body(Task.of("Why?"), "claude-3-haiku-20240307")["max_tokens"] == 4096
    assert body(Task.of("Why?"), stream=True)["stream"] is True


async def test_the_key_and_the_version_go_into_their_headers():
    async with speaking("anthropic") as (adapter, server):
        await adapter.complete(Task.of("Why?"))
        headers = server.requests[-1].headers
    assert (headers["x-api-key"], headers["anthropic-version"]) == ("test-key", "2023-06-01")
    assert "authorization" not in headers


def test_the_system_prompt_stands_at_the_top_and_tool_results_stand_together():
    calls = (ToolCall(id="a", name="weather", arguments='{"city": "Köln"}'), ToolCall(id="b", name="weather", arguments=""))
    turns = (
        text("system", "Be brief."),
        text("user", "Weather?"),
        text("assistant", "I look.", tool_calls=calls),
        text("tool", "rain", tool_call_id="a"),
        text("tool", "sun", tool_call_id="b"),
        text("system", "Be kind."),
        text("user", "And?"),
    )
    asked = body(Task(id="1", messages=turns, tools=(WEATHER,)))
    assert asked["system"] == "Be brief.\n\nBe kind."
    assert asked["messages"] == [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Köln"}},
                {"type": "tool_use", "id": "b", "name": "weather", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "rain"},
                {"type": "tool_result", "tool_use_id": "b", "content": "sun"},
            ],
        },
        {"role": "user", "content": "And?"},
    ]
    assert asked["tools"] == [{"name": "weather", "description": "Tells the weather.", "input_schema": SCHEMA}]


def test_parts_have_their_own_shapes():
    task = user(
        TextPart(text="Look"),
        CodePart(code="x = 1"),
        TextPart(text=""),
        ImagePart(url="https://example.com/a.png"),
        ImagePart(data=b"\x89PNG"),
        FilePart(name="a.pdf", data=b"%PDF", media_type="application/pdf"),
        FilePart(name="b.pdf", url="https://example.com/b.pdf", media_type="application/pdf"),
        FilePart(name="c.txt", data="grün".encode(), media_type="text/plain"),
    )
    assert body(task)["messages"][0]["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "text", "text": "x = 1"},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}, "title": "a.pdf"},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/b.pdf"}, "title": "b.pdf"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "grün"}, "title": "c.txt"},
    ]


@pytest.mark.parametrize("part", [AudioPart(data=b"x"), FilePart(name="a.zip", data=b"x", media_type="application/zip")])
async def test_a_part_without_a_shape_is_unsupported_and_not_sent(part):
    async with speaking("anthropic") as (adapter, server):
        failure = await adapter.complete(user(part))
        assert not server.requests
    assert (failure.code, failure.sent) == (FailureCode.UNSUPPORTED, "no")


async def test_an_earlier_call_whose_arguments_are_no_object_is_unsupported():
    turns = (text("user", "?"), text("assistant", "", tool_calls=(ToolCall(id="a", name="weather", arguments="[1"),)))
    async with speaking("anthropic") as (adapter, _):
        failure = await adapter.complete(Task(id="1", messages=turns))
    assert (failure.code, "weather" in failure.message) == (FailureCode.UNSUPPORTED, True)


EVERYTHING = Sampling(temperature=1.5, top_p=0.9, max_tokens=7, seed=40, stop=("END",), logprobs=True)


@pytest.mark.parametrize(
    ("model", "sampling"),
    [
        ("claude-3-haiku-20240307", {"temperature": 1.0, "top_p": 0.9}),
        ("claude-haiku-4-5", {"temperature": 1.0}),  # one of the two
        ("claude-opus-4-8", {}),
        ("claude-of-the-future", {}),
    ],
)
def test_sampling_is_what_the_model_takes(model, sampling):
    asked = body(Task.of("?").model_copy(update={"sampling": EVERYTHING}), model)
    assert asked == {
        "model": model,
        "max_tokens": 7,
        "messages": [{"role": "user", "content": "?"}],
        "stop_sequences": ["END"],
        **sampling,
    }


def test_a_schema_is_asked_for_by_the_output_format():
    assert body(structured(SCHEMA))["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}


def test_bounds_that_the_format_does_not_know_go_into_the_description():
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "description": "A number."}}, "required": ["n"]}
    asked = body(structured(schema))["output_config"]["format"]["schema"]
    assert asked == {
        "type": "object",
        "properties": {"n": {"type": "integer", "description": 'A number. {"minimum": 1}'}},
        "required": ["n"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_an_older_model_is_made_to_answer_by_a_tool(stream):
    pieces = []
    said = Reply(tool_calls=[ToolUse("structured_answer", {"city": "Köln"})])
    async with speaking("anthropic", reply=said, model="claude-3-haiku-20240307") as (adapter, server):
        reply = await adapter.complete(structured(SCHEMA), pieces.append if stream else None)
        asked = server.body()
    assert asked["tool_choice"] == {"type": "tool", "name": "structured_answer"}
    assert asked["tools"][0]["input_schema"] == SCHEMA
    assert json.loads(reply.text) == {"city": "Köln"}
    assert (reply.finish_reason, reply.tool_calls) == ("stop", ())
    assert "".join(pieces) == (reply.text if stream else "")


async def test_a_schema_of_open_objects_is_answered_by_a_tool_too():
    schema = {"type": "object", "additionalProperties": {"type": "number"}}
    async with speaking("anthropic", reply=Reply(tool_calls=[ToolUse("structured_answer", {"a": 1})])) as (adapter, _):
        assert json.loads((await adapter.complete(structured(schema))).text) == {"a": 1}


async def test_a_schema_that_is_no_object_is_unwrapped_from_its_tool():
    said = Reply(tool_calls=[ToolUse("structured_answer", {"answer": "yes"})])
    async with speaking("anthropic", reply=said, model="claude-3-haiku-20240307") as (adapter, _):
        assert (await adapter.complete(structured({"enum": ["yes", "no"]}))).text == '"yes"'


async def test_beside_other_tools_the_answers_tool_is_one_of_them():
    said = Reply(tool_calls=[ToolUse("weather", {"city": "Köln"})])
    async with speaking("anthropic", reply=said, model="claude-3-haiku-20240307") as (adapter, server):
        reply = await adapter.complete(structured(SCHEMA, tools=(WEATHER,)))
        assert server.body()["tool_choice"] == {"type": "any"}
    assert (reply.finish_reason, reply.tool_calls[0].name) == ("tool_calls", "weather")


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_come_back_after_the_text(stream):
    said = Reply("I look.", tool_calls=[ToolUse("weather", {"city": "Köln"}), ToolUse("weather", {}, "call_2")])
    async with speaking("anthropic", reply=said) as (adapter, _):
        task = Task.of("?").model_copy(update={"tools": (WEATHER,)})
        reply = await adapter.complete(task, [].append if stream else None)
    assert (reply.text, reply.finish_reason) == ("I look.", "tool_calls")
    assert [(call.id, call.name, json.loads(call.arguments)) for call in reply.tool_calls] == [
        ("call_1", "weather", {"city": "Köln"}),
        ("call_2", "weather", {}),
    ]


async def test_a_refusal_withdraws_what_was_said_before_it():
    async with speaking("anthropic", reply=Reply("Well, you", refusal="no")) as (adapter, _):
        for on_text in (None, [].append):
            assert (await adapter.complete(Task.of("?"), on_text)).code == FailureCode.CONTENT_FILTER


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("overloaded_error", 529, "overloaded"),
        ("timeout_error", 504, "timeout"),
        ("billing_error", 400, "forbidden"),
        ("rate_limit_error", 429, "rate-limited"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_errors_are_known_by_their_type(kind, status, code, stream):
    async with speaking("anthropic") as (adapter, server):
        said = server.error(status, "no", kind)
        server.error = lambda *_: said
        server.fault("error-body" if stream else "status", status=status)
        failure = await adapter.complete(Task.of("one two three"), [].append if stream else None)
    assert failure.code == code
    assert failure.retryable == (code != "forbidden")
