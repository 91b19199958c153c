"""Gemini: what a task becomes in a request for generated content, and what a response becomes."""

import json

import pytest
from providers.kinds import adapter_of, speaking
from providers.provider import Reply, ToolUse

from partsong.contracts import AudioPart, CodePart, FailureCode, FilePart, ImagePart, Message, Sampling, Task, TextPart, Tool, ToolCall

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="weather", description="Tells the weather.", parameters=SCHEMA)


def text(role, words, **fields):
    return Message(role=role, parts=(TextPart(text=words),), **fields)


def ask(task, model="gemini-2.5-flash", *, stream=False):
    return adapter_of("gemini", "http://x/v1beta", model=model).ask(task, stream)


def test_a_plain_question_names_its_model_in_the_path():
    asked = ask(Task.of("Why?"))
    assert asked.path == "/models/gemini-2.5-flash:generateContent"
    assert asked.body == {"contents": [{"role": "user", "parts": [{"text": "Why?"}]}]}


def test_a_stream_is_asked_for_as_events():
    assert ask(Task.of("Why?"), stream=True).path == "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"


def test_a_tuned_model_keeps_its_own_path_and_no_model_leaves_it():
    assert ask(Task.of("?"), "tunedModels/mine").path == "/tunedModels/mine:generateContent"
    assert ask(Task.of("?"), "a b?x#y").path == "/models/a%20b%3Fx%23y:generateContent"


async def test_the_key_goes_into_its_header_and_not_into_the_address():
    async with speaking("gemini") as (adapter, server):
        await adapter.complete(Task.of("Why?"))
        request = server.requests[-1]
    assert request.headers["x-goog-api-key"] == "test-key"
    assert "test-key" not in request.target


def test_turns_have_googles_roles_and_results_bear_the_tools_names():
    calls = (ToolCall(id="a", name="weather", arguments='{"city": "Köln"}'), ToolCall(id="b", name="clock", arguments=""))
    turns = (
        text("system", "Be brief."),
        text("user", "Weather?"),
        text("assistant", "", tool_calls=calls),
        text("tool", "rain", tool_call_id="a"),
        text("tool", '{"hour": 8}', tool_call_id="b"),
        text("assistant", "Rain at 8."),
        text("user", "And?"),
    )
    asked = ask(Task(id="1", messages=turns, tools=(WEATHER, Tool(name="clock")))).body
    assert asked["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert asked["contents"] == [
        {"role": "user", "parts": [{"text": "Weather?"}]},
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "a", "name": "weather", "args": {"city": "Köln"}}},
                {"functionCall": {"id": "b", "name": "clock", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a", "name": "weather", "response": {"output": "rain"}}},
                {"functionResponse": {"id": "b", "name": "clock", "response": {"hour": 8}}},
            ],
        },
        {"role": "model", "parts": [{"text": "Rain at 8."}]},
        {"role": "user", "parts": [{"text": "And?"}]},
    ]
    assert asked["tools"] == [
        {
            "functionDeclarations": [
                {"name": "weather", "description": "Tells the weather.", "parametersJsonSchema": SCHEMA},
                {"name": "clock", "description": ""},
            ]
        }
    ]


def test_a_model_that_asks_for_signatures_of_calls_is_given_the_documented_stand_in():
    turns = (text("user", "?"), text("assistant", "", tool_calls=(ToolCall(id="a", name="clock", arguments="{}"),)))
    asked = ask(Task(id="1", messages=turns), "gemini-3-pro-preview").body
    assert asked["contents"][1]["parts"][0]["thoughtSignature"] == "skip_thought_signature_validator"


async def test_a_result_of_a_call_that_nobody_made_is_unsupported():
    async with speaking("gemini") as (adapter, server):
        failure = await adapter.complete(Task(id="1", messages=(text("user", "?"), text("tool", "x", tool_call_id="z"))))
        assert not server.requests
    assert (failure.code, failure.sent) == (FailureCode.UNSUPPORTED, "no")


def test_parts_have_their_own_shapes():
    parts = (
        TextPart(text="Look"),
        CodePart(code="x = 1"),
        ImagePart(data=b"\x89PNG"),
        ImagePart(url="https://example.com/a.jpg", media_type="image/jpeg"),
        AudioPart(data=b"RIFF"),
        FilePart(name="a.pdf", data=b"%PDF", media_type="application/pdf"),
    )
    assert ask(Task(id="1", messages=(Message(role="user", parts=parts),))).body["contents"][0]["parts"] == [
        {"text": "Look"},
        {"text": "x = 1"},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/a.jpg"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}},
    ]


def test_sampling_goes_into_the_generation_config():
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=7, seed=40, sample=2, stop=("END",), logprobs=True)
    assert ask(Task.of("?").model_copy(update={"sampling": sampling})).body["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "maxOutputTokens": 7,
        "seed": 42,
        "stopSequences": ["END"],
        "responseLogprobs": True,
    }


def test_a_schema_is_asked_for_as_json():
    asked = ask(Task.of("?").model_copy(update={"answer_schema": SCHEMA})).body
    assert asked["generationConfig"] == {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}


def test_a_model_without_a_json_mode_is_told_in_words():
    asked = ask(Task.of("?").model_copy(update={"answer_schema": SCHEMA}), "gemma-3-27b-it").body
    assert "generationConfig" not in asked
    assert '"city"' in asked["systemInstruction"]["parts"][0]["text"]


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_come_back(stream):
    said = Reply(tool_calls=[ToolUse("weather", {"city": "Köln"}), ToolUse("weather", {}, "call_2")])
    async with speaking("gemini", reply=said) as (adapter, _):
        task = Task.of("?").model_copy(update={"tools": (WEATHER,)})
        reply = await adapter.complete(task, [].append if stream else None)
    assert reply.finish_reason == "tool_calls"
    assert [(call.id, call.name, json.loads(call.arguments)) for call in reply.tool_calls] == [
        ("call_1", "weather", {"city": "Köln"}),
        ("call_2", "weather", {}),
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_logprobs_come_back_one_a_token(stream):
    async with speaking("gemini", reply=Reply("one two", logprob=-0.25)) as (adapter, _):
        task = Task.of("?").model_copy(update={"sampling": Sampling(logprobs=True)})
        reply = await adapter.complete(task, [].append if stream else None)
    assert (reply.logprobs.tokens, reply.logprobs.values) == (("one", " two"), (-0.25, -0.25))


def read(body):
    from partsong.adapters.draft import Draft

    draft = Draft()
    adapter_of("gemini", "http://x").read(body, draft)
    return draft


def test_thoughts_are_no_text():
    parts = [{"text": "Hm.", "thought": True}, {"text": "Yes."}]
    assert read({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}).pieces == ["Yes."]


@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "SPII", "A_NEW_REASON"])
def test_reasons_that_withhold_a_reply_are_kept(reason):
    draft = read({"candidates": [{"finishReason": reason}]})
    assert (draft.finish, draft.withheld) == ("content_filter", reason)


async def test_a_blocked_prompt_names_the_reason():
    async with speaking("gemini", reply=Reply(refusal="blocked")) as (adapter, _):
        failure = await adapter.complete(Task.of("?"))
    assert failure.code == FailureCode.CONTENT_FILTER
    assert "SAFETY" in failure.message


async def test_a_call_that_the_model_got_wrong_is_a_malformed_reply(monkeypatch):
    async with speaking("gemini") as (adapter, server):
        server.whole = lambda *_: {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}
        failure = await adapter.complete(Task.of("?"))
    assert (failure.code, failure.retryable) == (FailureCode.MALFORMED_REPLY, True)


async def test_a_bad_key_is_told_apart_from_a_bad_request():
    async with speaking("gemini", secret="wrong") as (adapter, _):
        failure = await adapter.complete(Task.of("?"))
    assert (failure.code, failure.status) == (FailureCode.AUTH, 400)
    assert "wrong" not in failure.message


async def test_how_long_to_wait_stands_in_the_error_body():
    async with speaking("gemini") as (adapter, server):
        said = server.error(429, "slow down")
        said["error"]["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]
        server.error = lambda *_: said
        server.fault("status", status=429)
        failure = await adapter.complete(Task.of("?"))
    assert (failure.code, failure.retry_after_s) == (FailureCode.RATE_LIMITED, 34.0)
