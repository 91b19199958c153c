"""Input becomes rows: every format, from any position on, and a bad row costs itself alone."""

import bz2
import gzip
import io
import json
from datetime import date
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from partsong_cluster.batch.as_task import Columns, Shape
from partsong_cluster.batch.ingest import Ingest, InputRules
from partsong_cluster.batch.ledger import Ledger
from partsong_cluster.batch.places import fingerprint, input_files
from partsong_cluster.batch.position import BadRow, Position, Read

from partsong.contracts import AudioPart, FilePart, ImagePart, Task, TextPart
from partsong.errors import InputError

PNG = b"\x89PNG"


@pytest.fixture
def ledger(tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


class AnyId:
    """Takes every id for new."""

    def first_row(self, id: str, row: int) -> int:
        return row


ANY_ID = AnyId()


def reads(ledger: Ledger | AnyId, given: Path | str, start: Position | None = None, **rules: object) -> list[Read]:
    ingest = Ingest(input_files(str(given)), InputRules(**rules), ledger.first_row, start)  # type: ignore[arg-type]
    found: list[Read] = []
    while block := ingest.block():
        found += block
    return found


def one(ledger: Ledger | AnyId, folder: Path, row: object, **rules: object) -> Task | BadRow:
    path = folder / "one.jsonl"
    path.write_bytes(row if isinstance(row, bytes) else json.dumps(row).encode())
    [read] = reads(ledger, path, **rules)
    return read.task


def reason(task: Task | BadRow) -> str:
    assert isinstance(task, BadRow)
    return task.reason


def good(task: Task | BadRow) -> Task:
    assert isinstance(task, Task), task
    return task


def test_a_plain_row_is_id_prompt_and_metadata(ledger: Ledger, tmp_path: Path):
    task = good(one(ledger, tmp_path, {"id": 7, "prompt": "hi", "use": "vote", "expected": "yes", "metadata": {"a": 1}}))
    assert (task.id, task.text, task.use, task.metadata) == ("7", "hi", "vote", {"a": 1, "expected": "yes"})


def test_a_row_without_id_is_named_by_its_number(ledger: Ledger, tmp_path: Path):
    assert good(one(ledger, tmp_path, {"prompt": "hi"})).id == "row-1"


def test_constraints_take_units(ledger: Ledger, tmp_path: Path):
    row = {"prompt": "hi", "constraints": {"deadline": "2m", "max_cost_usd": 0.5, "max_calls": 3, "urgency": "high", "fallbacks": False}}
    limits = good(one(ledger, tmp_path, row)).constraints
    assert (limits.deadline_s, limits.max_cost_usd, limits.max_calls, limits.urgency) == (120.0, 0.5, 3, "high")
    assert not limits.fallbacks


def test_an_openai_row_becomes_messages_sampling_schema_and_tools(ledger: Ledger, tmp_path: Path):
    body = {
        "model": "vote",
        "messages": [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "max_completion_tokens": 9,
        "stop": "END",
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
        "metadata": {"kind": "a"},
    }
    row = {"custom_id": "r1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    task = good(one(ledger, tmp_path, row, shape=Shape(names=frozenset({"vote"}))))
    assert [m.role for m in task.messages] == ["system", "user"]
    assert (task.id, task.use, task.answer_schema, task.tools[0].name) == ("r1", "vote", {"type": "object"}, "look")
    assert (task.sampling.temperature, task.sampling.max_tokens, task.sampling.stop) == (0.5, 9, ("END",))
    assert task.metadata == {"kind": "a"}


def test_an_openai_model_that_the_mesh_does_not_have_leaves_the_choice_to_the_routes(ledger: Ledger, tmp_path: Path):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
    assert good(one(ledger, tmp_path, {"custom_id": "r", "body": body}, shape=Shape(names=frozenset({"vote"})))).use is None


def test_content_parts_become_typed_parts(ledger: Ledger, tmp_path: Path):
    content = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,iVBORw=="}},
        {"type": "input_audio", "input_audio": {"data": "iVBORw==", "format": "mp3"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,iVBORw=="}},
    ]
    task = good(one(ledger, tmp_path, {"custom_id": "r", "body": {"messages": [{"role": "user", "content": content}]}}))
    assert task.messages[0].parts == (
        TextPart(text="look"),
        ImagePart(url="https://example.org/a.png"),
        ImagePart(data=PNG, media_type="image/jpeg"),
        AudioPart(data=PNG, media_type="audio/mpeg"),
        FilePart(name="a.pdf", data=PNG, media_type="application/pdf"),
    )


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b'{"id": "a", "prompt":', "broken JSON"),
        (b"[1, 2]", "a row is a JSON object, not a list"),
        (b'"text"', "a row is a JSON object, not text"),
        (b'{"prompt": "\xff"}', "byte 13 (0xff) is not UTF-8"),
        (b'{"prompt": "\\ud800"}', "broken JSON"),
        (b'{"prompt": "a\\u0000b"}', "NUL"),
        (b'{"prompt": NaN}', "broken JSON"),
        (b"[" * 5000, "broken JSON"),
        (b'{"id": "a"}', "no prompt"),
        (b'{"prompt": "  "}', "prompt is empty"),
        (b'{"prompt": 5}', "prompt is a number, not text"),
        (b'{"prompt": "x", "id": true}', "the id is a bool"),
        (b'{"prompt": "x", "id": ""}', "the id has 0 characters"),
        (b'{"prompt": "x", "use": "no such\\nname"}', "use:"),
        (b'{"prompt": "x", "metadata": 3}', "metadata is a number, not an object"),
        (b'{"prompt": "x", "constraints": {"deadlin": 3}}', "deadlin"),
        (b'{"prompt": "x", "system": 3}', "text:"),
        (b'{"custom_id": "r", "url": "/v1/embeddings", "body": {}}', "only /v1/chat/completions"),
        (b'{"custom_id": "r", "method": "GET", "body": {}}', "method"),
        (b'{"custom_id": "r", "body": {"messages": []}}', "messages is empty"),
        (b'{"custom_id": "r", "body": {"n": 2, "messages": []}}', "one row gets one answer"),
        (b'{"custom_id": "r", "body": {"messages": [{"role": "king", "content": "x"}]}}', "messages[0].role is 'king'"),
        (b'{"custom_id": "r", "body": {"messages": [{"role": "user", "content": [{"type": "video"}]}]}}', "'video'"),
        (b'{"custom_id": "r", "body": {"messages": [{"role": "user", "content": 3}]}}', "messages[0].content is a number, not a list"),
        (b'{"custom_id": "r", "body": {"temperature": 9, "messages": [{"role": "user", "content": "x"}]}}', "temperature"),
        (b'{"custom_id": "r", "body": {"stop": [3], "messages": [{"role": "user", "content": "x"}]}}', "stop"),
    ],
)
def test_a_row_that_is_no_task_says_why(ledger: Ledger, tmp_path: Path, row: bytes, why: str):
    assert why in reason(one(ledger, tmp_path, row))


def test_a_huge_row_is_skipped_without_being_held(ledger: Ledger, tmp_path: Path):
    path = tmp_path / "in.jsonl"
    with path.open("wb") as file:
        file.write(b'{"prompt": "a"}\n{"prompt": "')
        for _ in range(50):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n{"prompt": "b"}\n')
    first, huge, last = reads(ledger, path, longest_row_bytes=1_000_000)
    assert "50,000,015 bytes" in reason(huge.task)
    assert isinstance(huge.task, BadRow)
    assert len(huge.task.raw) == 10_000
    assert (good(first.task).text, good(last.task).text, last.at.line) == ("a", "b", 3)


def test_a_second_row_with_the_same_id_names_the_first(ledger: Ledger, tmp_path: Path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": "a", "prompt": "1"}\n\n{"id": "b", "prompt": "2"}\n{"id": "a", "prompt": "3"}\n')
    assert reason(reads(ledger, path)[2].task) == "the id 'a' is taken by row 1"


def test_rows_read_again_are_not_their_own_duplicates(ledger: Ledger, tmp_path: Path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": "a", "prompt": "1"}\n{"id": "b", "prompt": "2"}\n')
    reads(ledger, path)
    assert all(isinstance(read.task, Task) for read in reads(ledger, path))


def test_a_csv_has_a_header_quotes_and_line_ends_in_cells(ledger: Ledger, tmp_path: Path):
    path = tmp_path / "in.csv"
    path.write_bytes(b'\xef\xbb\xbfticket,text,team\r\n1,"say ""hi"",\nplease",red\r\n2,bye,blue\r\n')
    first, second = reads(ledger, path, shape=Shape(Columns("ticket", "text")))
    assert (good(first.task).id, good(first.task).text, good(first.task).metadata) == ("1", 'say "hi",\nplease', {"team": "red"})
    assert (second.at.line, good(second.task).text) == (4, "bye")


def test_bad_csv_rows_cost_themselves_alone(ledger: Ledger, tmp_path: Path):
    path = tmp_path / "in.csv"
    path.write_bytes(b'id,prompt\n1,a\n2,b,c\n3,"x"y\n4,\xff\n5,' + b"z" * 2000 + b"\n6,f\n")
    tasks = [read.task for read in reads(ledger, path, longest_row_bytes=1000)]
    assert [good(task).id for task in (tasks[0], tasks[5])] == ["1", "6"]
    assert "3 cells, the header 2" in reason(tasks[1])
    assert "broken CSV" in reason(tasks[2])
    assert "not UTF-8" in reason(tasks[3])
    assert "2,003 bytes" in reason(tasks[4])


def test_a_quote_that_never_ends_costs_at_most_the_longest_row(ledger: Ledger, tmp_path: Path):
    path = tmp_path / "in.csv"
    path.write_bytes(b'id,prompt\n1,"a\n' + b"".join(b"%d,question\n" % n for n in range(2, 400)))
    tasks = [read.task for read in reads(ledger, path, longest_row_bytes=1000)]
    assert "bytes" in reason(tasks[0])
    assert len([task for task in tasks if isinstance(task, Task)]) > 300


def test_a_header_with_twins_is_refused(ledger: Ledger, tmp_path: Path):
    path = tmp_path / "in.csv"
    path.write_text("id,prompt,id\n1,a,b\n")
    with pytest.raises(InputError, match="named twice: id"):
        reads(ledger, path)


def test_parquet_rows_are_read_with_their_types(ledger: Ledger, tmp_path: Path):
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"id": [1, 2], "prompt": ["a", None], "day": [date(2026, 1, 2), None], "n": [1.5, float("nan")]}), path)
    first, second = reads(ledger, path)
    assert (good(first.task).id, good(first.task).metadata) == ("1", {"day": "2026-01-02", "n": 1.5})
    assert reason(second.task) == "prompt is null"


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "parquet", "jsonl.gz", "csv.bz2"])
def test_reading_can_start_at_any_row(ledger: Ledger, tmp_path: Path, kind: str):
    path = tmp_path / f"in.{kind}"
    write(path, [f"question {n}, \n'x' ü" for n in range(700)])
    rows = reads(ledger, path)
    assert len(rows) == 700
    for start in (0, 1, 255, 256, 699):
        assert reads(ledger, path, rows[start].at) == rows[start:]
    assert reads(ledger, path, rows[-1].after) == []
    assert all(one.after.row == other.at.row for one, other in pairwise(rows))


def test_reading_can_start_in_any_file(ledger: Ledger, tmp_path: Path):
    folder = tmp_path / "rows"
    folder.mkdir()
    for n in range(3):
        (folder / f"{n}.jsonl").write_text(f'{{"id": "{n}a", "prompt": "x"}}\n{{"id": "{n}b", "prompt": "x"}}\n')
    (folder / "notes.txt").write_text("no input")
    rows = reads(ledger, folder)
    assert [good(read.task).id for read in rows] == ["0a", "0b", "1a", "1b", "2a", "2b"]
    assert rows == reads(ledger, f"{folder}/*.jsonl")
    assert reads(ledger, folder, rows[3].at) == rows[3:]
    assert reads(ledger, folder, rows[1].after) == rows[2:]


def test_an_fsspec_url_is_read(ledger: Ledger):
    import fsspec

    with fsspec.open("memory://rows/in.jsonl", "wb") as file:
        file.write(b'{"id": "m", "prompt": "hello"}\n')
    assert [good(read.task).id for read in reads(ledger, "memory://rows/*.jsonl")] == ["m"]
    assert [good(read.task).id for read in reads(ledger, "memory://rows/in.jsonl")] == ["m"]


def test_standard_input_is_read_and_its_done_part_dropped(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    lines = [b'{"id": "%d", "prompt": "x"}\n' % n for n in range(5)]

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    def piped() -> object:
        return type("Stdin", (), {"buffer": Pipe(b"".join(lines))})()

    monkeypatch.setattr("sys.stdin", piped())
    rows = reads(ledger, "-")
    monkeypatch.setattr("sys.stdin", piped())
    assert reads(ledger, "-", rows[3].at) == rows[3:]


@pytest.mark.parametrize(("given", "why"), [("nope.jsonl", "no such file"), ("*.jsonl", "no file matches"), ("a.txt", "does not say")])
def test_an_input_that_is_none_is_an_error(tmp_path: Path, given: str, why: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").touch()
    with pytest.raises(InputError, match=why):
        input_files(given)


def test_a_truncated_archive_breaks_off_with_what_to_do(ledger: Ledger, tmp_path: Path):
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"prompt": "a"}\n' * 5000)[:-20])
    with pytest.raises(InputError, match="it continues"):
        reads(ledger, path)


def test_the_fingerprint_notices_a_changed_row(tmp_path: Path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"prompt": "a"}\n')
    before = fingerprint(input_files(str(path)))
    path.write_text('{"prompt": "b"}\n')
    assert fingerprint(input_files(str(path))) != before


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_stop_the_reading(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.getbasetemp() / "bytes.jsonl"
    path.write_bytes(content)
    rows = reads(ANY_ID, path, longest_row_bytes=100)
    for start in rows:
        assert reads(ANY_ID, path, start.at, longest_row_bytes=100) == rows[start.at.row :]


FIELDS = ("id", "prompt", "use", "constraints", "schema", "sampling", "system", "messages", "body", "custom_id")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(SCALARS, lambda value: st.lists(value) | st.dictionaries(st.text(), value), max_leaves=8)


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, VALUES)))
def test_no_json_object_stops_the_reading(tmp_path_factory: pytest.TempPathFactory, row: dict[str, object]):
    assert isinstance(one(ANY_ID, tmp_path_factory.getbasetemp(), row), Task | BadRow)


def write(path: Path, prompts: list[str]) -> None:
    kind = path.name.split(".")[1]
    if kind == "parquet":
        pq.write_table(pa.table({"id": [str(n) for n in range(len(prompts))], "prompt": prompts}), path, row_group_size=100)
        return
    if kind == "jsonl":
        text = "".join(json.dumps({"id": n, "prompt": prompt}, ensure_ascii=False) + "\n" for n, prompt in enumerate(prompts))
    else:
        mark = "," if kind == "csv" else "\t"
        text = f"id{mark}prompt\n" + "".join(f'{n}{mark}"{prompt}"\n' for n, prompt in enumerate(prompts))
    squeeze = {".gz": gzip.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)
    path.write_bytes(squeeze(text.encode()))


def error_line(**line: object) -> dict[str, object]:
    return {"custom_id": "t7", "code": "overloaded", "reason": "an outage", "input": None, **line}


def test_a_line_of_an_errors_file_is_the_row_that_failed(tmp_path: Path):
    task = one(ANY_ID, tmp_path, error_line(input={"id": "t7", "prompt": "hello", "use": "mini", "metadata": {"code": 3}}))
    assert isinstance(task, Task)
    assert (task.id, task.text, task.use, task.metadata) == ("t7", "hello", "mini", {"code": 3})


def test_a_failed_row_kept_as_text_is_parsed_and_read_with_the_columns_named(tmp_path: Path):
    shape = Shape(Columns("ticket", "body"))
    task = one(ANY_ID, tmp_path, error_line(custom_id="", input='{"ticket": 7, "body": "hello"}'), shape=shape)
    assert isinstance(task, Task)
    assert (task.id, task.text) == ("7", "hello")


def test_a_failed_row_is_written_with_the_ordinary_names_whatever_the_columns(tmp_path: Path):
    task = one(ANY_ID, tmp_path, error_line(input={"id": "t7", "prompt": "hello"}), shape=Shape(Columns("ticket", "body")))
    assert isinstance(task, Task)
    assert task.id == "t7"


def test_a_failed_row_that_was_broken_stays_a_bad_row_with_its_own_text(tmp_path: Path):
    bad = one(ANY_ID, tmp_path, error_line(input='{"prompt": '))
    assert isinstance(bad, BadRow)
    assert "text that is no JSON" in bad.reason
    assert (bad.raw, bad.id) == ('{"prompt": ', "t7")


def test_a_null_prompt_is_called_null(tmp_path: Path):
    assert reason(one(ANY_ID, tmp_path, {"id": "a", "prompt": None})) == "prompt is null"
