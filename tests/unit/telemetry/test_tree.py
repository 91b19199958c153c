"""The trace of one row, read back from what several processes wrote, and drawn."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from partsong_cluster.cli.trace import drawn, trace
from rich.console import Console
from typer.testing import CliRunner

from partsong.contracts import Answer, Call, Completion, Failure, FailureCode, Task, Timing, Usage
from partsong.errors import RunError
from partsong.telemetry import Telemetry, TelemetrySpec
from partsong.telemetry.tree import RowTrace, read_trace

PARIS = Completion(
    text="Paris", model="mini-2024", usage=Usage(prompt_tokens=21, completion_tokens=3), cost_usd=0.0021, timing=Timing(total_s=0.1)
)
BUSY = Failure(code=FailureCode.OVERLOADED, message="the provider is busy", retryable=True)


def run_row(coordinator: Telemetry, worker: Telemetry, row: int, custom_id: str) -> str:
    """Send one row through a plan of one call with a retry, as two processes would."""
    with coordinator.span("row", None, {"partsong.row": row, "partsong.custom_id": custom_id}) as top:
        with coordinator.span("plan faq", top.traceparent) as plan, coordinator.span("call mini", plan.traceparent) as called:
            for reply in (BUSY, PARIS):
                call = Call(model="mini", task=Task.of("?"), step="faq/0", timeout_s=1, traceparent=called.traceparent)
                with worker.model_span("mini", call, "openai") as attempt:
                    attempt.completed(reply)
            called.set({"partsong.attempts": 2})
        with coordinator.span("journal", top.traceparent):
            pass
        top.settled(Answer(text="Paris", stopped="trusted"))
    return top.trace_id


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of three rows."""
    coordinator, worker = (Telemetry.start(TelemetrySpec(file="traces.jsonl"), name, tmp_path) for name in ("coordinator", "worker-mini"))
    for row, custom_id in enumerate(["first", "3", 'odd "id" \x1b[31m']):
        run_row(coordinator, worker, row, custom_id)
    coordinator.close()
    worker.close()
    return tmp_path


def outline(found: RowTrace) -> list[str]:
    return ["  " * depth + node.name for depth, node in found.walk()]


def test_spans_of_several_processes_make_one_tree(folder: Path) -> None:
    found = read_trace(folder, "first")
    assert outline(found) == ["row", "  plan faq", "    call mini", "      chat mini", "      chat mini", "  journal"]
    assert (found.custom_id, found.row, found.earlier_traces) == ("first", 0, 0)
    [row] = found.roots
    assert (row.start_s, row.duration_s) == (0.0, pytest.approx(found.duration_s, abs=0.01))
    assert {node.service for _, node in found.walk()} == {"coordinator", "worker-mini"}


def test_a_spans_facts_come_back(folder: Path) -> None:
    attempts = [node for _, node in read_trace(folder, "first").walk() if node.name == "chat mini"]
    assert [node.error for node in attempts] == ["the provider is busy", ""]
    assert attempts[1].attributes["gen_ai.usage.input_tokens"] == 21
    assert attempts[1].attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert attempts[1].attributes["partsong.cost_usd"] == 0.0021


def test_a_row_is_found_by_its_number_too(folder: Path) -> None:
    assert read_trace(folder, "0").custom_id == "first"


def test_a_custom_id_goes_before_a_number(folder: Path) -> None:
    assert read_trace(folder, "3").row == 1


def test_a_custom_id_may_hold_anything(folder: Path) -> None:
    assert read_trace(folder, 'odd "id" \x1b[31m').row == 2


def test_of_several_passages_the_last_is_shown(folder: Path) -> None:
    again = Telemetry.start(TelemetrySpec(file="traces.jsonl"), "coordinator", folder)
    trace_id = run_row(again, again, 0, "first")
    again.close()
    found = read_trace(folder, "first")
    assert (found.trace_id, found.earlier_traces) == (trace_id, 1)


def test_files_put_aside_are_read_too(folder: Path) -> None:
    for path in folder.glob("traces-*.jsonl"):
        path.replace(path.with_name(path.name + ".1"))
    assert len(outline(read_trace(folder, "first"))) == 6


def test_a_line_torn_by_a_crash_is_passed_over(folder: Path) -> None:
    path = folder / f"traces-coordinator-{os.getpid()}.jsonl"
    whole = path.read_text()
    path.write_text(whole + whole[: len(whole) // 2])
    assert len(outline(read_trace(folder, "first"))) == 6


def test_spans_whose_parent_was_lost_are_shown_all_the_same(folder: Path) -> None:
    whole = read_trace(folder, "first")
    path = folder / f"traces-coordinator-{os.getpid()}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        spans = line["resourceSpans"][0]["scopeSpans"][0]["spans"]
        spans[:] = [span for span in spans if span["name"] != "call mini"]
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    found = read_trace(folder, "first")
    assert len(outline(found)) == len(outline(whole)) - 1
    assert [root.name for root in found.roots] == ["row", "chat mini", "chat mini"]


def test_other_files_of_a_run_are_left_alone(folder: Path) -> None:
    (folder / "output.jsonl").write_text('{"custom_id": "first"}\n')
    (folder / "errors.jsonl").write_text("")
    assert len(outline(read_trace(folder, "first"))) == 6


def test_a_run_without_traces_says_how_to_turn_them_on(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"telemetry: \{file: traces.jsonl\}") as caught:
        read_trace(tmp_path, "1")
    assert caught.value.code == "no-traces"


def test_an_unknown_row_is_named(folder: Path) -> None:
    with pytest.raises(RunError, match="'nobody'") as caught:
        read_trace(folder, "nobody")
    assert caught.value.code == "no-trace"


def test_a_trace_is_data_for_a_page(folder: Path) -> None:
    found = read_trace(folder, "first")
    assert RowTrace.model_validate_json(found.model_dump_json()) == found


@pytest.fixture
def console() -> Iterator[Console]:
    with Path(os.devnull).open("w") as nowhere:
        yield Console(record=True, width=140, force_terminal=False, file=nowhere)


def test_the_drawing_shows_names_bars_times_costs_and_errors(folder: Path, console: Console) -> None:
    console.print(drawn(read_trace(folder, "first")))
    text = console.export_text()
    assert "│  └─ call mini" in text
    assert "━" in text
    assert "21 → 3 tokens · $0.0021" in text
    assert "2 attempts" in text
    assert "overloaded: the provider is busy" in text
    assert text.startswith("first  row 0 · ")


def test_a_custom_id_cannot_steer_the_terminal(folder: Path, console: Console) -> None:
    console.print(drawn(read_trace(folder, 'odd "id" \x1b[31m')))
    assert "\x1b" not in console.export_text()


def test_the_command_prints_the_tree_or_json(folder: Path) -> None:
    app = typer.Typer()
    app.command()(trace)
    assert "call mini" in CliRunner().invoke(app, [str(folder), "first"]).output
    printed = CliRunner().invoke(app, [str(folder), "first", "--json"]).output
    assert json.loads(printed)["roots"][0]["children"][0]["name"] == "plan faq"


def test_of_runs_that_share_a_folder_a_trace_id_chooses(folder: Path) -> None:
    first = read_trace(folder, "first").trace_id
    other = Telemetry.start(TelemetrySpec(file="traces.jsonl"), "coordinator", folder)
    run_row(other, other, 0, "first")
    other.close()
    assert read_trace(folder, "first", first).trace_id == first
    with pytest.raises(RunError, match="no trace of row"):
        read_trace(folder, "first", "0" * 32)


def moved(folder: Path, service: str, seconds: float) -> None:
    """Write a process's spans as if its clock were off."""
    [file] = folder.glob(f"traces-{service.replace('-', '_')}-*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for span in (span for line in lines for batch in line["resourceSpans"] for scope in batch["scopeSpans"] for span in scope["spans"]):
        for field in ("startTimeUnixNano", "endTimeUnixNano"):
            span[field] = str(int(span[field]) + round(seconds * 1e9))
    file.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


@pytest.mark.parametrize(("seconds", "words"), [(-3.0, "s behind"), (2.0, "s ahead")])
def test_a_clock_that_is_off_is_told_and_nothing_is_shifted(folder: Path, console: Console, seconds: float, words: str) -> None:
    moved(folder, "worker-mini", seconds)
    found = read_trace(folder, "first")
    assert found.skews == {"worker-mini": pytest.approx(-seconds, abs=0.5)}
    attempts = [node for _, node in found.walk() if node.name == "chat mini"]
    [called] = [node for _, node in found.walk() if node.name == "call mini"]
    assert attempts[0].start_s - called.start_s == pytest.approx(seconds, abs=0.5)
    assert called.skew_s == 0.0
    console.print(drawn(found))
    text = console.export_text()
    assert "clocks differ: worker-mini's is at least" in text
    assert text.count(words) == 3, "in the headline, and at both attempts"


def test_clocks_that_agree_are_not_spoken_of(folder: Path) -> None:
    assert read_trace(folder, "first").skews == {}


def on_nodes(folder: Path, *places: tuple[str, str, str]) -> None:
    """Have a row go down through parts on nodes: each a service, its host and its node's id."""
    parts = [
        Telemetry.start(TelemetrySpec(file="traces.jsonl"), service, folder / "traces", about={"host.name": host, "partsong.node.id": node})
        for service, host, node in places
    ]
    above: str | None = None
    for part in parts:
        with part.span("row", above, {"partsong.custom_id": "a"}) as span:
            above = span.traceparent
    for part in parts:
        part.close()


def test_spans_that_a_job_gathered_tell_their_nodes(tmp_path: Path, console: Console) -> None:
    on_nodes(tmp_path, ("driver", "head", "1" * 56), ("coordinator-0", "north", "2" * 56), ("worker-mini", "south", "3" * 56))
    found = read_trace(tmp_path, "a")
    assert found.nodes == ["head", "north", "south"]
    console.print(drawn(found))
    assert "south" in console.export_text()


def test_nodes_of_one_host_name_are_told_apart(tmp_path: Path) -> None:
    on_nodes(tmp_path, ("driver", "head", "1" * 56), ("coordinator-0", "pod", "2" * 56), ("worker-mini", "pod", "3" * 56))
    assert read_trace(tmp_path, "a").nodes == ["head", "pod/222222", "pod/333333"]


def test_a_tree_that_lacks_spans_says_so(tmp_path: Path, console: Console) -> None:
    on_nodes(tmp_path, ("driver", "head", "1"), ("coordinator-0", "north", "2"), ("worker-mini", "south", "3"))
    next((tmp_path / "traces").glob("traces-coordinator_0-*")).unlink()
    found = read_trace(tmp_path, "a")
    assert found.is_torn
    console.print(drawn(found))
    assert "missing" in console.export_text()


def test_the_clock_that_is_off_is_its_nodes(tmp_path: Path, console: Console) -> None:
    on_nodes(tmp_path, ("driver", "head", "1"), ("worker-nano", "north", "2"), ("worker-mini", "south", "3"))
    for path in (tmp_path / "traces").glob("traces-*"):
        text = path.read_text()
        if '"south"' in text:
            span = json.loads(text)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
            for key in ("startTimeUnixNano", "endTimeUnixNano"):
                text = text.replace(span[key], str(int(span[key]) - 3_000_000_000))
            path.write_text(text)
    found = read_trace(tmp_path, "a")
    assert found.skews == {"south": pytest.approx(3.0, abs=0.5)}
    console.print(drawn(found))
    assert "south's is at least 3.00 s behind" in console.export_text()
