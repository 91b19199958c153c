"""Local models: the real llama.cpp on a tiny model of random weights; slots, cancelling, grammars, and a clean end."""

import asyncio
import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tiny_gguf import write_tiny_gguf

from partsong.adapters.adapter import Surroundings
from partsong.adapters.local import LocalAdapter, LocalSpec
from partsong.contracts import (
    CodePart,
    Completion,
    Failure,
    FailureCode,
    ImagePart,
    Message,
    Price,
    Sampling,
    Task,
    TextPart,
    Tool,
)
from partsong.errors import WeightsError


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return write_tiny_gguf(tmp_path_factory.mktemp("weights") / "tiny.gguf")


@pytest.fixture
async def opened(tiny):
    adapters = []

    async def opened(folder=None, **fields):
        spec = LocalSpec(**{"adapter": "local", "weights": tiny.name, "threads": 1, "context": 512} | fields)
        adapters.append(LocalAdapter(spec, Surroundings(name="small", folder=folder or tiny.parent)))
        await adapters[-1].open()
        return adapters[-1]

    yield opened
    for adapter in adapters:
        await adapter.close()


def asking(prompt="Hello", schema=None, **sampling):
    chosen = Sampling(**{"temperature": 0.0, "max_tokens": 8} | sampling)
    return Task.of(prompt).model_copy(update={"sampling": chosen, "answer_schema": schema})


async def test_a_call_brings_text_usage_finish_reason_and_timing(opened):
    reply = await (await opened(model="tiny-1", price=Price(input=1.0, output=2.0))).complete(asking())
    assert isinstance(reply, Completion)
    assert (len(reply.text), reply.finish_reason, reply.model) == (8, "length", "tiny-1")
    assert reply.usage.completion_tokens == 8
    assert reply.usage.prompt_tokens > 5
    assert reply.cost_usd == pytest.approx((reply.usage.prompt_tokens * 1 + 8 * 2) / 1e6)
    assert 0 < reply.timing.first_token_s < reply.timing.total_s
    assert reply.timing.cpu_s > 0
    assert reply.logprobs is None


async def test_logprobs_come_when_asked_for_one_a_token(opened):
    reply = await (await opened()).complete(asking(logprobs=True))
    assert "".join(reply.logprobs.tokens) == reply.text
    assert len(reply.logprobs.values) == 8
    assert all(value <= 0 for value in reply.logprobs.values)


async def test_the_text_is_streamed_on_the_event_loop_and_equals_the_completion(opened):
    adapter = await opened()
    pieces: list[str] = []
    loop = asyncio.get_running_loop()

    def take(piece):
        assert asyncio.get_running_loop() is loop
        pieces.append(piece)

    streamed = await adapter.complete(asking(), take)
    assert len(pieces) > 1
    assert "".join(pieces) == streamed.text == (await adapter.complete(asking())).text


async def test_a_json_schema_shapes_the_reply(opened):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
    reply = await (await opened()).complete(asking(schema=schema, max_tokens=60))
    assert json.loads(reply.text)["ok"] in (True, False)


@pytest.mark.parametrize("words", [["red", "blue"], ['say "yes"', "größer", "a\\b"]])
async def test_a_choice_among_words_comes_as_a_json_string_in_one_piece(opened, words):
    pieces: list[str] = []
    reply = await (await opened()).complete(asking(schema={"type": "string", "enum": words}, max_tokens=40), pieces.append)
    assert json.loads(reply.text) in words
    assert pieces == [reply.text]


async def test_the_confidence_of_a_choice_is_its_probability_among_the_words(opened):
    adapter = await opened()
    one, two = [await adapter.complete(asking(schema={"enum": words})) for words in (["red"], ["red", "blue"])]
    assert one.confidence == 1.0
    assert 0.5 < two.confidence < 1.0  # the likelier of two was written
    assert two.logprobs is None


async def test_a_choice_cut_short_has_no_confidence(opened):
    reply = await (await opened()).complete(asking(schema={"enum": ["red", "blue"]}, max_tokens=1))
    assert (reply.finish_reason, reply.confidence) == ("length", None)


async def test_a_schema_without_a_grammar_is_a_bad_request(opened):
    reply = await (await opened()).complete(asking(schema={"type": "frob"}))
    assert isinstance(reply, Failure)
    assert (reply.code, reply.sent, reply.retryable) == (FailureCode.BAD_REQUEST, "no", False)


async def test_a_stop_word_ends_the_reply_before_it(opened):
    adapter = await opened()
    text = (await adapter.complete(asking())).text
    reply = await adapter.complete(asking(stop=(text[3:5],)))
    assert (reply.text, reply.finish_reason) == (text[: text.index(text[3:5])], "stop")


async def test_a_seed_repeats_a_reply_and_each_sample_of_it_differs(opened):
    adapter = await opened(slots=1)
    first, again, second = [
        (await adapter.complete(asking(temperature=1.5, seed=7, sample=sample, max_tokens=24))).text for sample in (0, 0, 1)
    ]
    assert first == again
    assert first != second


async def test_conversations_with_system_words_and_code_are_read(opened):
    messages = (
        Message(role="system", parts=(TextPart(text="Be brief."),)),
        Message(role="user", parts=(TextPart(text="What is this?"), CodePart(code="print(1)", language="python"))),
    )
    short = await (adapter := await opened()).complete(asking("What is this?"))
    long = await adapter.complete(asking().model_copy(update={"messages": messages}))
    assert long.usage.prompt_tokens > short.usage.prompt_tokens + 15


async def test_tools_are_offered_to_the_model(opened):
    adapter = await opened()
    reply = await adapter.complete(asking().model_copy(update={"tools": (Tool(name="clock", parameters={"type": "object"}),)}))
    assert isinstance(reply, Completion)


async def test_an_image_is_unsupported(opened):
    message = Message(role="user", parts=(ImagePart(data=b"x"),))
    reply = await (await opened()).complete(asking().model_copy(update={"messages": (message,)}))
    assert isinstance(reply, Failure)
    assert (reply.code, reply.sent) == (FailureCode.UNSUPPORTED, "no")


async def test_a_prompt_longer_than_the_context_is_too_large_and_says_what_to_raise(opened):
    reply = await (await opened(context=256)).complete(asking("word " * 200))
    assert isinstance(reply, Failure)
    assert (reply.code, reply.sent) == (FailureCode.TOO_LARGE, "no")
    assert "raise `context` of small" in reply.message


async def test_each_slot_has_the_whole_context(opened):
    adapter = await opened(context=512, slots=4)
    replies = await asyncio.gather(*(adapter.complete(asking("x" * 400)) for _ in range(4)))
    assert all(isinstance(reply, Completion) for reply in replies)


async def test_a_prompt_with_a_known_beginning_is_read_from_the_slots_cache(opened):
    adapter = await opened(slots=1)
    await adapter.complete(asking("The same long beginning, and then: one"))
    reply = await adapter.complete(asking("The same long beginning, and then: two"))
    assert reply.usage.cached_tokens > 20


async def test_a_cancelled_call_stops_and_leaves_its_slot_at_once(opened):
    adapter = await opened(slots=1, context=60000)
    streaming = asyncio.Event()
    call = asyncio.create_task(adapter.complete(asking(max_tokens=None), lambda _: streaming.set()))
    await streaming.wait()
    start_s = time.perf_counter()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert isinstance(await adapter.complete(asking()), Completion)
    assert time.perf_counter() - start_s < 3


async def test_a_call_can_be_cancelled_while_its_prompt_is_read(opened):
    adapter = await opened(slots=1, context=60000)
    call = asyncio.create_task(adapter.complete(asking("word " * 10000)))
    await asyncio.sleep(0.2)
    start_s = time.perf_counter()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert time.perf_counter() - start_s < 3


async def test_a_call_cancelled_while_it_waits_for_a_slot_never_starts(opened):
    adapter = await opened(slots=1, context=60000)
    streaming = asyncio.Event()
    running = asyncio.create_task(adapter.complete(asking(max_tokens=None), lambda _: streaming.set()))
    await streaming.wait()
    pieces: list[str] = []
    waiting = asyncio.create_task(adapter.complete(asking(), pieces.append))
    await asyncio.sleep(0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    running.cancel()
    await asyncio.wait([running])
    assert pieces == []


async def test_close_ends_calls_in_flight_as_lost(opened):
    adapter = await opened(slots=1, context=60000)
    streaming = asyncio.Event()
    calls = [asyncio.create_task(adapter.complete(asking(max_tokens=None), lambda _: streaming.set())) for _ in range(2)]
    await streaming.wait()
    await adapter.close()
    assert [(reply.code, reply.retryable) for reply in await asyncio.gather(*calls)] == [(FailureCode.WORKER_LOST, True)] * 2


async def test_close_frees_the_memory(opened):
    def resident_mb():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

    adapter = await opened(context=60000, slots=4)  # 240,000 tokens of context are 123 MB
    open_mb = resident_mb()
    await adapter.close()
    assert resident_mb() < open_mb - 90


async def test_processor_time_is_shared_out_not_counted_twice(opened):
    adapter = await opened(slots=2, context=2048)
    start_s = time.process_time()
    replies = await asyncio.gather(*(adapter.complete(asking(max_tokens=200)) for _ in range(4)))
    assert sum(reply.timing.cpu_s for reply in replies) <= time.process_time() - start_s + 0.01


async def test_concurrency_is_the_number_of_slots_unless_it_is_given():
    assert LocalSpec(adapter="local", weights="x", slots=3).concurrency == 3
    assert LocalSpec(adapter="local", weights="x", slots=3, concurrency=9).concurrency == 9


async def test_missing_weights_are_told_with_the_command_that_fetches_them(opened, tmp_path, monkeypatch):
    monkeypatch.setenv("PARTSONG_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="partsong models pull smollm2-135m"):
        await opened(weights="smollm2-135m")


async def test_a_broken_file_is_told(opened, tmp_path):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(WeightsError, match="weights-unusable"):
        await opened(tmp_path, weights="broken.gguf")


async def test_a_missing_package_is_told_with_the_extra_to_install(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(WeightsError, match=r"pip install 'partsong\[local\]'"):
        await opened()


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("await adapter.close()", 0),
        ("pass", 0),
        ("asyncio.create_task(adapter.complete(endless)); await asyncio.sleep(0.1)", 0),
        ("asyncio.create_task(adapter.complete(endless)); await asyncio.sleep(0.1); sys.exit(3)", 3),
    ],
    ids=["closed", "never closed", "in flight", "in flight and exit"],
)
def test_the_process_ends_cleanly_and_silently(tiny, ending, code):
    script = f"""
        import asyncio, pathlib, sys
        from partsong.adapters.adapter import Surroundings
        from partsong.adapters.local import LocalAdapter, LocalSpec
        from partsong.contracts import Sampling, Task
        endless = Task.of("on and on")
        around = Surroundings("small", pathlib.Path(sys.argv[1]).parent)
        async def main():
            adapter = LocalAdapter(LocalSpec(adapter="local", weights=sys.argv[1], context=60000, threads=1), around)
            await adapter.open()
            await adapter.complete(endless.model_copy(update={{"sampling": Sampling(max_tokens=4)}}))
            {ending}
        asyncio.run(main())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), tiny], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
