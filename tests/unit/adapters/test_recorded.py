"""Recorded outcomes: looked up by row, model and sample, with estimated usage and real waiting."""

import gzip
import json
import time

import pytest

from partsong.adapters.adapter import Surroundings
from partsong.adapters.recorded import RecordedAdapter, RecordedSpec
from partsong.contracts import Completion, Failure, FailureCode, Price, Sampling, Task, Usage
from partsong.errors import MeshError

LINES = [
    {"id": "gsm/0", "model": "gpt-4o", "answer": "18", "correct": 1, "out_chars": 199},
    {"id": "gsm/0", "model": "gpt-4o", "answer": "17", "sample": 1},
    {"id": "gsm/0", "model": "claude-3-haiku", "answer": "12", "usage": {"prompt_tokens": 50, "completion_tokens": 7}},
    {"id": "gsm/1", "model": "gpt-4o", "answer": None, "out_chars": 2, "in_chars": 400},
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "outcomes.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(line) + "\n" for line in LINES)
    return path


async def opened(file, **fields):
    spec = RecordedSpec(**{"adapter": "recorded", "file": file.name, "model": "gpt-4o"} | fields)
    adapter = RecordedAdapter(spec, Surroundings(name="strong", folder=file.parent))
    await adapter.open()
    return adapter


async def test_a_row_is_answered_by_its_id_with_tokens_estimated_from_characters(file):
    adapter = await opened(file, price=Price(input=2.5, output=10.0))
    reply = await adapter.complete(Task.of("x" * 400, id="gsm/0"))
    assert isinstance(reply, Completion)
    assert (reply.text, reply.model) == ("18", "gpt-4o")
    assert reply.usage == Usage(prompt_tokens=100, completion_tokens=50, estimated=True)
    assert reply.cost_usd == pytest.approx((100 * 2.5 + 50 * 10) / 1e6)


async def test_recorded_usage_outranks_the_estimate(file):
    reply = await (await opened(file, model="claude-3-haiku")).complete(Task.of("how many?", id="gsm/0"))
    assert reply.usage == Usage(prompt_tokens=50, completion_tokens=7)


async def test_the_recorded_length_of_the_prompt_outranks_the_tasks(file):
    reply = await (await opened(file)).complete(Task.of("?", id="gsm/1"))
    assert (reply.text, reply.usage.prompt_tokens) == ("", 100)


async def test_a_row_can_be_named_by_metadata(file):
    adapter = await opened(file, key="qid")
    assert (await adapter.complete(Task.of("?", id="7").model_copy(update={"metadata": {"qid": "gsm/0"}}))).text == "18"


async def test_samples_are_kept_apart(file):
    adapter = await opened(file)
    task = Task.of("?", id="gsm/0")
    second = await adapter.complete(task.model_copy(update={"sampling": Sampling(sample=1)}))
    third = await adapter.complete(task.model_copy(update={"sampling": Sampling(sample=2)}))
    assert second.text == "17"
    assert isinstance(third, Failure)
    assert third.code is FailureCode.NO_RECORDING


async def test_a_missing_row_is_a_failure_that_names_row_model_and_file(file):
    reply = await (await opened(file)).complete(Task.of("?", id="gsm/9"))
    assert isinstance(reply, Failure)
    assert (reply.code, reply.retryable, reply.where) == (FailureCode.NO_RECORDING, False, "strong")
    assert all(part in reply.message for part in ("gsm/9", "gpt-4o", "outcomes.jsonl.gz"))


async def test_latency_and_token_rate_are_really_waited_for(file):
    adapter = await opened(file, latency="20ms", tokens_per_s=1000)
    start_s = time.perf_counter()
    reply = await adapter.complete(Task.of("?", id="gsm/0"))
    assert time.perf_counter() - start_s >= 0.069
    assert reply.timing.total_s >= 0.069


async def test_the_text_is_streamed(file):
    pieces: list[str] = []
    await (await opened(file)).complete(Task.of("?", id="gsm/0"), pieces.append)
    assert pieces == ["18"]


async def test_models_of_one_file_share_one_reading_of_it(file):
    first, second = await opened(file), await opened(file, model="claude-3-haiku")
    assert first._recording is second._recording


async def test_a_plain_file_is_read_too(tmp_path):
    (tmp_path / "plain.jsonl").write_text('{"id": "1", "model": "gpt-4o", "answer": "yes"}\n\n', encoding="utf-8")
    assert (await (await opened(tmp_path / "plain.jsonl")).complete(Task.of("?"))).text == "yes"


async def test_a_model_that_is_not_recorded_is_told_with_the_nearest_name(file):
    with pytest.raises(MeshError, match=r"gpt-4-o.*(\n.*)*it holds: gpt-4o"):
        await opened(file, model="gpt-4-o")


@pytest.mark.parametrize(
    "line", ["{", '{"id": "1", "model": "m"}', '{"id": 1, "model": "m", "answer": "a"}', "[]", '{"id":"1","model":"m","answer":3}']
)
async def test_a_malformed_line_is_told_with_its_number(tmp_path, line):
    (tmp_path / "bad.jsonl").write_text(f'{{"id": "1", "model": "m", "answer": "a"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(MeshError, match=r"bad\.jsonl:2"):
        await opened(tmp_path / "bad.jsonl")


async def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(MeshError, match="recording-unreadable"):
        await opened(tmp_path / "none.jsonl")


@pytest.mark.parametrize("line_ends", [False, True], ids=["one line", "many lines"])
async def test_a_packed_bomb_is_refused_before_memory_is_full(tmp_path, monkeypatch, line_ends):
    monkeypatch.setattr("partsong.adapters.recorded._MOST_CHARS", 50_000_000)
    file = tmp_path / "bomb.jsonl.gz"
    with gzip.open(file, "wb", compresslevel=9) as packed:
        for _ in range(100):
            packed.write(b" " * 999_999 + (b"\n" if line_ends else b" "))
    adapter = RecordedAdapter(RecordedSpec(adapter="recorded", file=file.name), Surroundings(name="strong", folder=tmp_path))
    with pytest.raises(MeshError, match="recording-too-large"):
        await adapter.open()
