"""What the vendors' own clients make of replies that nobody told the servers: typed answers, tools, logprobs, retries, pings."""

import anthropic
import openai
import pytest
from google import genai
from google.genai import types as genai_types
from providers.anthropic import AnthropicServer
from providers.gemini import GeminiServer
from providers.openai import OpenAIServer
from pydantic import BaseModel

# Google's client subclasses aiohttp's session, which aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}


class Sum(BaseModel):
    total: int
    words: str


@pytest.fixture
async def openai_pair():
    async with OpenAIServer() as server, openai.AsyncOpenAI(base_url=server.url, api_key="test-key", max_retries=0) as client:
        yield server, client


@pytest.fixture
async def anthropic_pair():
    async with AnthropicServer() as server, anthropic.AsyncAnthropic(base_url=server.url, api_key="test-key", max_retries=0) as client:
        yield server, client


@pytest.fixture
async def gemini_pair():
    async with GeminiServer() as server:
        client = genai.Client(api_key="test-key", http_options=genai_types.HttpOptions(base_url=server.root))
        yield server, client.aio
        await client.aio.aclose()
        client.close()


def openai_asked(prompt: str) -> dict:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]}


def anthropic_asked(prompt: str) -> dict:
    return {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": prompt}]}


async def test_openais_client_reads_an_answer_of_its_class(openai_pair):
    _, client = openai_pair
    reply = await client.chat.completions.parse(**openai_asked("it is 42"), response_format=Sum)
    assert reply.choices[0].message.parsed == Sum(total=42, words="it is 42")


async def test_openais_client_streams_a_tool_call_that_the_prompt_asks_for(openai_pair):
    _, client = openai_pair
    tools = [{"type": "function", "function": {"name": "weather", "parameters": CITY, "strict": True}}]
    async with client.chat.completions.stream(**openai_asked("call weather"), tools=tools) as stream:
        final = await stream.get_final_completion()
    [call] = final.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "call weather"}')
    assert final.choices[0].finish_reason == "tool_calls"


async def test_openais_client_reads_as_many_alternatives_as_it_asks_for(openai_pair):
    _, client = openai_pair
    reply = await client.chat.completions.create(**openai_asked("two words"), logprobs=True, top_logprobs=3)
    first = reply.choices[0].logprobs.content[0]
    assert (len(first.top_logprobs), first.top_logprobs[0].token) == (3, first.token)


async def test_openais_client_waits_as_told_and_tries_again(openai_pair):
    server, client = openai_pair
    server.fault("status", status=429, headers=(("retry-after", "0.01"),))
    reply = await client.with_options(max_retries=1).chat.completions.create(**openai_asked("hello"))
    assert (reply.choices[0].message.content, server.calls["hello"]) == ("hello", 2)


async def test_openais_client_notices_a_stream_that_is_cut(openai_pair):
    server, client = openai_pair
    server.fault("cut-mid-event", after=2)
    stream = await client.chat.completions.create(**openai_asked("some more words"), stream=True)
    with pytest.raises(openai.APIConnectionError):
        [chunk async for chunk in stream]


async def test_openais_client_that_goes_away_is_noticed(openai_pair):
    server, client = openai_pair
    server.pace_s = 0.05
    async with await client.chat.completions.create(**openai_asked("so many words to say"), stream=True) as stream:
        await anext(aiter(stream))
    await server.until(lambda: server.abandoned["so many words to say"])


async def test_anthropics_client_calls_the_tool_it_must(anthropic_pair):
    _, client = anthropic_pair
    tools = [{"name": "weather", "input_schema": CITY}]
    reply = await client.messages.create(**anthropic_asked("hello"), tools=tools, tool_choice={"type": "tool", "name": "weather"})
    assert (reply.stop_reason, reply.content[0].input) == ("tool_use", {"city": "hello"})


async def test_anthropics_client_reads_an_answer_by_its_schema(anthropic_pair):
    _, client = anthropic_pair
    form = {"format": {"type": "json_schema", "schema": CITY}}
    reply = await client.messages.create(**anthropic_asked("hello"), output_config=form)
    assert reply.content[0].text == '{"city": "hello"}'


async def test_anthropics_client_notices_an_error_within_a_stream(anthropic_pair):
    server, client = anthropic_pair
    server.fault("error-body", after=3)
    with pytest.raises(anthropic.APIStatusError, match="on demand"):
        async with client.messages.stream(**anthropic_asked("some more words")) as stream:
            await stream.get_final_message()


async def test_googles_client_reads_an_answer_of_its_class(gemini_pair):
    _, client = gemini_pair
    config = genai_types.GenerateContentConfig(response_mime_type="application/json", response_schema=Sum)
    reply = await client.models.generate_content(model="gemini-2.5-flash", contents="it is 42", config=config)
    assert reply.parsed == Sum(total=42, words="it is 42")


async def test_googles_client_reads_a_function_call(gemini_pair):
    _, client = gemini_pair
    function = {"name": "weather", "parameters_json_schema": CITY}
    config = genai_types.GenerateContentConfig(tools=[{"function_declarations": [function]}])
    reply = await client.models.generate_content(model="gemini-2.5-flash", contents="call weather", config=config)
    assert reply.function_calls[0].args == {"city": "call weather"}


async def test_googles_client_is_told_of_a_filtered_reply(gemini_pair):
    server, client = gemini_pair
    server.fault("filtered")
    reply = await client.models.generate_content(model="gemini-2.5-flash", contents="hello")
    assert reply.candidates[0].finish_reason.name == "SAFETY"
