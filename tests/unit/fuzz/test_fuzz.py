"""Whatever bytes come, what reads them returns something or says what is wrong; a short search each time, a long one under `-m chaos`.

What a search has found stays as an example.
"""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from partsong_cluster.batch.as_task import Columns, Shape
from partsong_cluster.batch.ingest import Ingest, InputRules
from partsong_cluster.batch.output_line import error_line, output_line
from partsong_cluster.batch.places import InputFile
from partsong_cluster.batch.position import BadRow
from pydantic import ValidationError

from partsong.adapters.sse import EventTooLongError, SseParser
from partsong.contracts import Answer, Completion, Failure, FailureCode, RowRecord, Task
from partsong.contracts.messages import CompletedOrFailed
from partsong.errors import InputError, MeshError, WireError
from partsong.mesh import load_text
from partsong.mesh.document import read_document
from partsong.prompts import PromptTemplate
from partsong.wire import WIRE_VERSION, Codec

MESHES = sorted((Path(__file__).parents[3] / "deploy" / "meshes").glob("*.yaml"))
SHORT, LONG = 60, 20_000
LENGTHS = [pytest.param(SHORT, id="short"), pytest.param(LONG, id="long", marks=[pytest.mark.chaos, pytest.mark.timeout(1800)])]
searches = pytest.mark.parametrize("examples", LENGTHS)


def search(examples: int, check: Callable[..., None], *found: object, **strategies: st.SearchStrategy[object]) -> None:
    """Look for an input that the check does not bear; those found earlier come first."""
    searched = given(**strategies)(check)
    for case in found:
        searched = example(**case)(searched)  # type: ignore[arg-type]
    settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=set(Phase) - {Phase.reuse}
    )(searched)()


TEXT = st.text(st.characters(), max_size=12)  # halves of surrogate pairs too
ODD = st.sampled_from(
    [
        "",
        "\0",
        "\ud800",
        "\u202e",
        "\x1b[2J",
        "../../x",
        "=1+1",
        "1e999",
        "-0",
        "NaN",
        "9" * 400,
        "{",
        "[" * 200,
        "null",
        "\ufeff",
        "\r",
        '"',
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | ODD, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "id",
        "prompt",
        "use",
        "constraints",
        "schema",
        "sampling",
        "system",
        "messages",
        "body",
        "custom_id",
        "tools",
        "metadata",
        "url",
        "raw",
    ]
)
ROW = st.dictionaries(FIELDS | TEXT, JSON, max_size=6).map(lambda row: json.dumps(row).encode())
LINE = ROW | st.binary(max_size=40) | ODD.map(lambda text: text.encode("utf-8", "surrogatepass"))
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r", b"", b"\n\n"])


def joined(lines: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(line + end for line, end in lines)


@searches
@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv"])
def test_no_input_stops_the_reading_of_rows(tmp_path, examples, kind):
    path = tmp_path / f"rows.{kind}"
    header = b"" if kind == "jsonl" else b"id,prompt,schema\n" if kind == "csv" else b"id\tprompt\tschema\n"

    def check(lines: list[tuple[bytes, bytes]], headed: bool, column: str) -> None:
        path.write_bytes((header if headed else b"") + joined(lines))
        rules = InputRules(Shape(Columns(column, "prompt"), frozenset({"a"})), 200)
        ingest = Ingest([InputFile(str(path), kind, size_bytes=path.stat().st_size)], rules, lambda _, row: row)
        with contextlib.suppress(InputError):  # the header
            while reads := ingest.block():
                for read in reads:
                    assert isinstance(read.task, Task | BadRow)
                    write_back(read.at.row, read.task)

    found = [
        {"lines": [(b'{"id": "\\ud800", "prompt": "x"}', b"\n")], "headed": True, "column": "id"},
        {"lines": [(b'{"id": 1e999, "prompt": "\\u0000"}', b"\n")], "headed": True, "column": "id"},
        {"lines": [(b"[" * 100_000, b"\n")], "headed": False, "column": "id"},
    ]
    search(
        examples,
        check,
        *found,
        lines=st.lists(st.tuples(LINE, ENDS), max_size=6),
        headed=st.booleans(),
        column=st.sampled_from(["id", "prompt", "body", ""]),
    )


def write_back(row: int, task: Task | BadRow) -> None:
    """Whatever was read can be written into the run's files."""
    name, raw, kept = (task.id, "", task) if isinstance(task, Task) else (task.id, task.raw, None)
    failure = Failure(code=FailureCode.BAD_ROW, message="x")
    line = error_line(RowRecord(run="r", row=row, custom_id=name, source="f", line=1, reply=failure, raw=raw, task=kept, at_s=0.0))
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    json.loads(line)


@searches
def test_no_answer_stops_the_writing_of_rows(examples):
    def check(text: str, votes: dict[str, float], value: object, metadata: dict[str, object]) -> None:
        task = Task.of("x", id="i").model_copy(update={"metadata": metadata})
        answer = Answer(text=text, source="m", votes=votes, value=value)
        line = output_line(RowRecord(run="r", row=0, custom_id=text, source="f", line=1, reply=answer, task=task, at_s=0.0))
        assert b"\n" not in line[:-1]
        told = json.loads(line)
        assert told["custom_id"] == text
        assert told["partsong"]["votes"] == votes

    plain = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT | ODD,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | ODD, inner, max_size=3),
        max_leaves=6,
    )
    found = [{"text": "x", "votes": {"\ud800": 1.0}, "value": None, "metadata": {"\udfff": "\ud800"}}]  # ended a run
    search(
        examples,
        check,
        *found,
        text=TEXT | ODD,
        votes=st.dictionaries(TEXT | ODD, st.floats(0, 9), max_size=3),
        value=plain,
        metadata=st.dictionaries(TEXT | ODD, plain, max_size=3),
    )


CODEC: Codec[Completion | Failure] = Codec(CompletedOrFailed)


@searches
def test_no_message_raises_anything_but_a_wire_error(examples):
    whole = CODEC.pack([Failure(code=FailureCode.AUTH, message="no", where="m")])

    def check(body: bytes, flips: list[tuple[int, int]], head: bool) -> None:
        message = bytearray((bytes([WIRE_VERSION]) if head else b"") + body)
        for at, bit in flips:
            if message:
                message[at % len(message)] ^= 1 << bit
        with contextlib.suppress(WireError):
            again = CODEC.unpack(bytes(message))
            assert CODEC.unpack(CODEC.pack(again)) == again

    keys = st.sampled_from(["code", "message", "text", "bill", "sent", "x"])
    packed = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(max_size=8) | TEXT.filter(str.isascii),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner),
        max_leaves=10,
    ).map(msgpack.packb)
    search(
        examples,
        check,
        {"body": b"\x91" * 200_000, "flips": [], "head": True},
        {"body": b"\xdd\xff\xff\xff\xff", "flips": [], "head": True},
        body=packed | st.just(whole[1:]) | st.binary(max_size=60),
        flips=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 7)), max_size=4),
        head=st.booleans(),
    )


@searches
def test_a_stream_split_anywhere_gives_the_same_events_or_is_too_long(examples):
    def check(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
        stream = joined(lines)
        places = sorted(cut % (len(stream) + 1) for cut in cuts)
        pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
        bytewise = [stream[n : n + 1] for n in range(len(stream))]
        assert events(pieces, 10_000) == events(bytewise, 10_000)
        assert "too long" in (events(pieces, 64), events(bytewise, 64)) or events(pieces, 64) == events(bytewise, 64)

    line = st.sampled_from(
        [b"data: x", b"data", b"data:", b"event: e", b":", b"id: 3", b"\xef\xbb\xbfdata: y", b"data: " + b"z" * 70]
    ) | st.binary(max_size=10)
    found = {"lines": [(b"data", b""), (b"data: " + b"z" * 70, b"\n")], "cuts": []}  # an unknown line in one piece counts for nothing
    search(examples, check, found, lines=st.lists(st.tuples(line, ENDS), max_size=10), cuts=st.lists(st.integers(0, 500), max_size=8))


def events(pieces: list[bytes], most_bytes: int) -> object:
    parser, told = SseParser(most_bytes), []
    try:
        for piece in pieces:
            told += parser.feed(piece)
    except EventTooLongError:
        return "too long"
    return told


WORDS = st.sampled_from(
    [
        *"[]{}:,-?&*!|>'\"#%@` \n\t",
        "- ",
        ": ",
        "<<: *a",
        "&a ",
        "*a",
        "!!python/object:os.system",
        "{{ ",
        " }}",
        "{% for x in ",
        "..",
        "0x",
        "1e9",
        "null",
        "~",
        "yes",
        "models",
        "plans",
        "extends",
        "include",
        "prompt",
        "api_key",
        "file",
        "\u2028",
        "\ud800",
        "\0",
        "é",
        "---\n",
        "...\n",
    ]
)


@searches
def test_no_mesh_file_raises_anything_but_a_mesh_error_or_takes_long(tmp_path, examples):
    texts = [path.read_text() for path in MESHES]

    def check(which: int, changes: list[tuple[int, int, str]]) -> None:
        text = texts[which]
        for at, cut, piece in changes:
            place = at % (len(text) + 1)
            text = text[:place] + piece + text[place + cut :]
        began_s = time.process_time()
        with contextlib.suppress(MeshError):
            load_text(text, tmp_path, env={}, check_secrets=False)
        assert time.process_time() - began_s < 5

    change = st.tuples(st.integers(0, 5000), st.integers(0, 12), WORDS | TEXT)
    search(examples // 2, check, which=st.integers(0, len(texts) - 1), changes=st.lists(change, min_size=1, max_size=6))


@searches
def test_no_template_raises_or_takes_long(examples):
    def check(pieces: list[str]) -> None:
        try:
            prompt = PromptTemplate.of("".join(pieces))
        except ValidationError:
            return
        began_s = time.process_time()
        assert isinstance(prompt.render(task="task " * 100, items=[1, 2], metadata={"a": "b"}), str | Failure)
        assert time.process_time() - began_s < 5

    piece = st.sampled_from(
        [
            "{{ ",
            " }}",
            "{% ",
            " %}",
            "for x in ",
            "range(99999)",
            "endfor",
            "set x = ",
            "task",
            "items",
            "x",
            " * ",
            " ~ ",
            " + ",
            "9",
            "('",
            "')",
            "if ",
            "endif",
            "macro m()",
            "endmacro",
            "m()",
            " | ",
            "join",
            "list",
            "string",
            "upper",
            "[",
            "]",
            "{",
            "}",
            ":",
            ".",
            "metadata",
            "__class__",
            "{% for x in range(9999) %}",
            "{% endfor %}",
            "{{ task ~ task }}",
            "{% set task = task ~ task %}",
            "{{ x * 99999 }}",
            "{# ",
            " #}",
        ]
    )
    search(examples, check, pieces=st.lists(piece | TEXT, max_size=14))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 500_000,
        "- " * 400_000,
        "a: " * 300_000,
        "{" * 900_000,
        "? " * 300_000,
        "x: &a [" + "*a, " * 200_000 + "]",
        "a0: &a0 [x, x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(60)),
        "a0: &a0 {k: v}\n" + "".join(f"a{n + 1}: &a{n + 1} {{<<: [*a{n}, *a{n}], k{n}: *a{n}}}\n" for n in range(60)),
        "k: " + "v" * 990_000,
        "k: |\n" + "  line\n" * 140_000,
        "\n".join(f"k{n}: v" for n in range(80_000)),
        "'" + "''" * 400_000 + "'",
        '"' + "\\u0041" * 150_000 + '"',
        "#" * 999_000,
        "x" * 1_000_001,
    ],
    ids=lambda text: text[:12].replace("\n", " "),
)
def test_a_huge_or_deep_file_is_read_or_refused_in_seconds(text):
    began_s = time.process_time()
    with contextlib.suppress(MeshError):
        read_document(text.encode(), "mesh.yaml")
    assert time.process_time() - began_s < 10
