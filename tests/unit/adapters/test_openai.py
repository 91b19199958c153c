"""OpenAI-compatible servers: conformance, and what chat completions carry."""

import pytest
from providers.http_conformance import PROMPT, HttpConformance
from providers.openai import OpenAIServer
from providers.provider import Reply

from partsong.adapters.openai import OpenAIAdapter
from partsong.contracts import (
    AudioPart,
    CodePart,
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

ALL_PARTS = ("text", "code", "image", "audio", "file")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}


class TestOpenAI(HttpConformance):
    kind = OpenAIAdapter
    server = OpenAIServer
    model = "some-model"

    def sampled(self):
        return Sampling(temperature=0.5, top_p=0.9, max_tokens=50, seed=7, stop=("\n\n",), logprobs=True)


def user(*parts):
    return Task(id="1", messages=(Message(role="user", parts=parts),))


async def sent(task, model="some-model", *, reply=None, stream=False):
    """Return the body of the request that the task becomes, and the reply."""
    suite = TestOpenAI()
    suite.model = model
    async with suite.both(accepts=ALL_PARTS) as (adapter, server):
        if reply is not None:
            server.reply = reply
        answer = await adapter.complete(task, [].append if stream else None)
        return server.body(), answer


async def test_parts_become_content_parts():
    body, reply = await sent(
        user(
            TextPart(text="look"),
            CodePart(code="print(1)", language="python"),
            ImagePart(data=b"\x89PNG"),
            ImagePart(url="https://example.com/a.png"),
            AudioPart(data=b"RIFF"),
            FilePart(name="a.pdf", data=b"%PDF", media_type="application/pdf"),
        )
    )
    assert isinstance(reply, Completion), reply
    content = body["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "text", "image_url", "image_url", "input_audio", "file"]
    assert content[2]["image_url"]["url"] == "data:image/png;base64,iVBORw=="
    assert content[4]["input_audio"] == {"data": "UklGRg==", "format": "wav"}
    assert content[5]["file"]["filename"] == "a.pdf"


async def test_text_alone_is_a_plain_string():
    body, _ = await sent(user(TextPart(text="one"), TextPart(text="two")))
    assert body["messages"] == [{"role": "user", "content": "one\ntwo"}]


async def test_a_conversation_with_tools_is_sent_whole():
    call = ToolCall(id="c1", name="weather", arguments='{"city":"Köln"}')
    task = Task(
        id="1",
        messages=(
            Message(role="system", parts=(TextPart(text="be kind"),)),
            Message(role="user", parts=(TextPart(text=PROMPT),)),
            Message(role="assistant", parts=(), tool_calls=(call,)),
            Message(role="tool", parts=(TextPart(text="rain"),), tool_call_id="c1"),
        ),
        tools=(Tool(name="weather", parameters=SCHEMA),),
    )
    body, reply = await sent(task)
    assert isinstance(reply, Completion), reply
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool"]
    assert body["messages"][2]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Köln"}'}
    assert body["tools"][0]["function"]["parameters"] == SCHEMA


async def test_a_schema_becomes_a_response_format():
    body, _ = await sent(Task.of(PROMPT).model_copy(update={"answer_schema": SCHEMA}))
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA


async def test_a_stream_asks_for_usage():
    body, _ = await sent(Task.of(PROMPT), stream=True)
    assert body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(("model", "field"), [("gpt-4o-mini", "max_tokens"), ("gpt-5-mini", "max_completion_tokens")])
async def test_how_the_longest_reply_is_named_is_a_row_of_the_profile(model, field):
    body, reply = await sent(Task.of(PROMPT).model_copy(update={"sampling": Sampling(max_tokens=9, temperature=0.2)}), model)
    assert isinstance(reply, Completion), reply
    assert body[field] == 9


async def test_logprobs_that_a_model_does_not_give_are_not_asked_for():
    body, reply = await sent(Task.of(PROMPT).model_copy(update={"sampling": Sampling(logprobs=True)}), "o3")
    assert "logprobs" not in body
    assert reply.logprobs is None


@pytest.mark.parametrize("sample", [0, 3])
async def test_samples_of_a_seed_differ_and_come_again(sample):
    body, _ = await sent(Task.of(PROMPT).model_copy(update={"sampling": Sampling(seed=10, sample=sample)}))
    assert body["seed"] == 10 + sample


async def test_a_file_by_its_address_has_no_place_in_a_request():
    task = user(TextPart(text="x"), FilePart(name="a.pdf", url="https://example.com/a.pdf"))
    async with TestOpenAI().both() as (adapter, server):
        reply = await adapter.complete(task)
        assert isinstance(reply, Failure)
        assert (reply.code, reply.sent, server.calls.total()) == (FailureCode.UNSUPPORTED, "no", 0)


async def test_text_that_the_filter_cut_off_is_told():
    _, reply = await sent(Task.of(PROMPT), reply=lambda asked: Reply("begun", finish="content_filter"))
    assert (reply.text, reply.finish_reason) == ("begun", "content_filter")


async def test_without_a_key_none_is_sent():
    suite = TestOpenAI()
    async with suite.both(key=None) as (adapter, server):
        server.key = ""
        assert isinstance(await adapter.complete(Task.of(PROMPT)), Completion)
        assert "authorization" not in server.requests[-1].headers
