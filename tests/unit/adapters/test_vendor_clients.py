"""The provider servers speak the real protocols: the vendors' own clients run against them, plain and streamed."""

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types
from providers.anthropic import AnthropicServer
from providers.gemini import GeminiServer
from providers.openai import OpenAIServer
from providers.provider import Reply, ToolUse

# Google's client subclasses aiohttp's session, which aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

PROMPT = "grüße aus Köln, please"
CALL = Reply(tool_calls=[ToolUse("weather", {"city": "Köln"})])
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}


@pytest.fixture
async def openai_server():
    async with OpenAIServer() as server:
        yield server


@pytest.fixture
async def anthropic_server():
    async with AnthropicServer() as server:
        yield server


@pytest.fixture
async def gemini_server():
    async with GeminiServer() as server:
        yield server


@pytest.fixture
async def openai_client(openai_server):
    async with openai.AsyncOpenAI(base_url=openai_server.url, api_key="test-key", max_retries=0) as client:
        yield client


@pytest.fixture
async def anthropic_client(anthropic_server):
    async with anthropic.AsyncAnthropic(base_url=anthropic_server.url, api_key="test-key", max_retries=0) as client:
        yield client


@pytest.fixture
async def gemini_client(gemini_server):
    client = genai.Client(api_key="test-key", http_options=genai_types.HttpOptions(base_url=gemini_server.root))
    yield client.aio
    await client.aio.aclose()
    client.close()


OPENAI = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}]}
ANTHROPIC = {"model": "claude-haiku-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": PROMPT}]}
GEMINI = {"model": "gemini-2.5-flash", "contents": PROMPT}


async def test_openais_client_reads_text_logprobs_and_usage(openai_client):
    reply = await openai_client.chat.completions.create(**OPENAI, logprobs=True)
    choice = reply.choices[0]
    assert (choice.message.content, choice.finish_reason) == (PROMPT, "stop")
    assert "".join(token.token for token in choice.logprobs.content) == PROMPT
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


async def test_openais_client_reads_a_stream_with_usage_at_its_end(openai_client):
    stream = await openai_client.chat.completions.create(**OPENAI, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == PROMPT
    assert chunks[-1].usage.completion_tokens == 4


async def test_openais_client_reads_tool_calls_and_sends_a_schema(openai_server, openai_client):
    openai_server.reply = lambda asked: CALL
    tools = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    reply = await openai_client.chat.completions.create(**OPENAI, tools=tools, response_format=form)
    assert reply.choices[0].message.tool_calls[0].function.arguments == '{"city": "K\\u00f6ln"}'


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
async def test_openais_client_knows_the_errors(openai_server, openai_client, status, error):
    openai_server.fault("status", status=status)
    with pytest.raises(error, match="on demand"):
        await openai_client.chat.completions.create(**OPENAI)


async def test_openais_client_with_a_wrong_key_is_refused(openai_server):
    async with openai.AsyncOpenAI(base_url=openai_server.url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(**OPENAI)


async def test_anthropics_client_reads_text_and_usage(anthropic_client):
    reply = await anthropic_client.messages.create(**ANTHROPIC, system="be kind")
    assert (reply.content[0].text, reply.stop_reason, reply.usage.output_tokens) == (PROMPT, "end_turn", 4)


async def test_anthropics_client_reads_a_stream(anthropic_client):
    async with anthropic_client.messages.stream(**ANTHROPIC) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == PROMPT
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 4)


async def test_anthropics_client_reads_streamed_tool_use(anthropic_server, anthropic_client):
    anthropic_server.reply = lambda asked: CALL
    tools = [{"name": "weather", "input_schema": SCHEMA}]
    async with anthropic_client.messages.stream(**ANTHROPIC, tools=tools) as stream:
        final = await stream.get_final_message()
    assert final.stop_reason == "tool_use"
    assert final.content[0].input == {"city": "Köln"}


async def test_anthropics_client_sends_a_schema(anthropic_server, anthropic_client):
    await anthropic_client.messages.create(**ANTHROPIC, output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
    assert anthropic_server.body()["output_config"]["format"]["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, anthropic.BadRequestError), (429, anthropic.RateLimitError), (529, anthropic.InternalServerError)],
)
async def test_anthropics_client_knows_the_errors(anthropic_server, anthropic_client, status, error):
    anthropic_server.fault("status", status=status)
    with pytest.raises(error, match="on demand"):
        await anthropic_client.messages.create(**ANTHROPIC)


async def test_googles_client_reads_text_and_usage(gemini_client):
    reply = await gemini_client.models.generate_content(**GEMINI)
    assert (reply.text, reply.candidates[0].finish_reason.name) == (PROMPT, "STOP")
    assert reply.usage_metadata.candidates_token_count == 4


async def test_googles_client_reads_a_stream(gemini_client):
    pieces = [piece async for piece in await gemini_client.models.generate_content_stream(**GEMINI)]
    assert "".join(piece.text or "" for piece in pieces) == PROMPT
    assert pieces[-1].candidates[0].finish_reason.name == "STOP"


async def test_googles_client_sends_system_schema_and_tools(gemini_server, gemini_client):
    function = {"name": "weather", "parameters_json_schema": SCHEMA}
    config = genai_types.GenerateContentConfig(
        system_instruction="be kind",
        response_mime_type="application/json",
        response_json_schema=SCHEMA,
        tools=[{"function_declarations": [function]}],
        response_logprobs=True,
        logprobs=1,
    )
    reply = await gemini_client.models.generate_content(**GEMINI, config=config)
    assert reply.candidates[0].logprobs_result.chosen_candidates[0].log_probability == -0.1
    assert gemini_server.body()["generationConfig"]["responseJsonSchema"] == SCHEMA


async def test_googles_client_knows_the_errors(gemini_server, gemini_client):
    gemini_server.fault("status", status=503)
    with pytest.raises(genai_errors.ServerError, match="on demand"):
        await gemini_client.models.generate_content(**GEMINI)
