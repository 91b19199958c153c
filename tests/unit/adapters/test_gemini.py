"""Gemini: conformance, and what generateContent carries."""

import json

import pytest
from providers.gemini import GeminiServer
from providers.http_conformance import PROMPT, HttpConformance
from providers.provider import Reply

from partsong.adapters.gemini import GeminiAdapter
from partsong.contracts import (
    AudioPart,
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

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class TestGemini(HttpConformance):
    kind = GeminiAdapter
    server = GeminiServer
    model = "gemini-2.5-flash"

    def sampled(self):
        return Sampling(temperature=0.5, top_p=0.9, max_tokens=50, seed=7, stop=("\n\n",), logprobs=True)


async def sent(task, model="gemini-2.5-flash", *, reply=None, stream=False):
    """Return the body of the request that the task becomes, and the reply."""
    suite = TestGemini()
    suite.model = model
    async with suite.both() as (adapter, server):
        if reply is not None:
            server.reply = lambda asked: reply
        answer = await adapter.complete(task, [].append if stream else None)
        assert isinstance(answer, Completion), answer
        return server.body(), answer


async def test_system_stands_apart_from_the_turns():
    body, _ = await sent(Task.of("x").asking(PROMPT, system="be kind"))
    assert body["systemInstruction"] == {"parts": [{"text": "be kind"}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": PROMPT}]}]


async def test_images_sounds_and_files_go_inline_or_by_address():
    parts = (
        TextPart(text=PROMPT),
        ImagePart(data=b"\x89PNG"),
        AudioPart(data=b"RIFF"),
        FilePart(name="a.pdf", url="https://example.com/a.pdf", media_type="application/pdf"),
    )
    body, _ = await sent(Task(id="1", messages=(Message(role="user", parts=parts),)))
    image, sound, file = body["contents"][0]["parts"][1:]
    assert image == {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}}
    assert sound["inlineData"]["mimeType"] == "audio/wav"
    assert file == {"fileData": {"mimeType": "application/pdf", "fileUri": "https://example.com/a.pdf"}}


async def test_a_conversation_with_tools_is_sent_whole():
    task = Task(
        id="1",
        messages=(
            Message(role="user", parts=(TextPart(text=PROMPT),)),
            Message(role="assistant", parts=(), tool_calls=(ToolCall(id="c1", name="weather", arguments='{"city":"Köln"}'),)),
            Message(role="tool", parts=(TextPart(text="rain"),), tool_call_id="c1"),
        ),
        tools=(Tool(name="weather", parameters=SCHEMA),),
    )
    body, _ = await sent(task)
    assert [turn["role"] for turn in body["contents"]] == ["user", "model", "user"]
    assert body["contents"][1]["parts"][0]["functionCall"]["args"] == {"city": "Köln"}
    answered = body["contents"][2]["parts"][0]["functionResponse"]
    assert (answered["name"], answered["response"]) == ("weather", {"output": "rain"})


@pytest.mark.parametrize("stream", [False, True])
async def test_a_schema_is_held_to_by_the_provider(stream):
    reply = Reply(json.dumps({"city": "Köln"}))
    body, answer = await sent(Task.of(PROMPT).model_copy(update={"answer_schema": SCHEMA}), reply=reply, stream=stream)
    config = body["generationConfig"]
    assert (config["responseMimeType"], config["responseJsonSchema"]) == ("application/json", SCHEMA)
    assert json.loads(answer.text) == {"city": "Köln"}


@pytest.mark.parametrize("stream", [False, True])
async def test_logprobs_come_when_they_are_asked_for(stream):
    task = Task.of(PROMPT).model_copy(update={"sampling": Sampling(logprobs=True)})
    _, answer = await sent(task, stream=stream)
    assert "".join(answer.logprobs.tokens) == PROMPT
    assert answer.logprobs.mean == pytest.approx(-0.1)


async def test_a_key_that_is_not_valid_is_told_by_its_reason_though_the_status_is_400():
    async with TestGemini().both(key="wrong-key") as (adapter, _):
        failure = await adapter.complete(Task.of(PROMPT))
    assert (failure.code, failure.status) == (FailureCode.AUTH, 400)
    assert "wrong-key" not in failure.message
