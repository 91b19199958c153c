"""Hostile texts: what models answer and rows are called never steers a terminal, becomes a path, or stops a run."""

import csv
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from partsong_cluster.terminal import as_shown, in_json, plain

PARTSONG = Path(sys.executable).with_name("partsong")
STEERING = "\x1b]52;c;Zm9v\x07\x1b[2J\x9b31m\x08\x7f\u202egnp.exe\u2066[link=file:///etc/passwd]here[/link] \ud800 \r\x1bc"
MESH = """\
version: 1
models:
  a: {adapter: python, target: "hostile:answers"}
  b: {adapter: python, target: "hostile:fails", retries: 0}
plans: {vote: {ensemble: {members: [a, a], merge: majority}}}
routes: [{when: {metadata: {kind: bad}}, use: b}, {use: vote}]
telemetry: {file: traces.jsonl, content: true}
"""
WORKERS = f"""\
from partsong import Failure, FailureCode
def answers(task): return {STEERING!r}
def fails(task): return Failure(code=FailureCode.WORKER_ERROR, message={STEERING!r}, where="b")
"""
IDS = [
    "../../../../outside",
    "/tmp/outside",
    "a/../../b",
    "..",
    ".",
    "C:\\outside",
    "\x1b]0;owned\x07id",
    "\u202ethgir",
    "=cmd|' /C calc'!A0",
]
IDS += ["+1", "@SUM(1)", "<script>alert(1)</script>", "a\nb", "%00", "$(touch outside)", "-o", "--fresh", " ", "\ufeffid", "x" * 512]
REFUSED = ["x" * 1_000_000, "nul\0byte", ""]


@pytest.fixture
def folder(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "mesh.yaml").write_text(MESH)
    (inner / "hostile.py").write_text(WORKERS)
    rows = [{"id": name, "prompt": f"row {n}"} for n, name in enumerate([*IDS, *REFUSED])]
    rows += [{"id": "bad", "prompt": "x", "kind": "bad"}, {"id": "odd", "prompt": "x", STEERING[:20]: 1}]
    lines = [json.dumps(row) for row in rows]
    lines += ['{"id": "\\ud800", "prompt": "half a pair in the id"}', '{"id": "half", "prompt": "\\udfff"}']
    (inner / "in.jsonl").write_text("\n".join(lines) + "\n")
    return inner


def on_a_terminal(folder: Path, *arguments: str) -> tuple[int, bytes]:
    """Run the command with a terminal for its output; return its code and every byte the terminal got."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "200"}
    process = subprocess.Popen([PARTSONG, *arguments], cwd=folder, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # Linux: the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    return process.wait(timeout=60), shown


def files_beside(folder: Path) -> set[Path]:
    """All files but the run's own."""
    found = {path.relative_to(folder.parent) for path in folder.parent.rglob("*")}
    return {path for path in found if not {"out", "__pycache__"} & set(path.parts)}


def unsteered(shown: bytes) -> bool:
    text = shown.decode().replace("\r\n", "\n")
    return as_shown(text) == text


def test_an_answer_does_not_steer_the_terminal(folder):
    for arguments in (["--explain"], ["--json"], ["--use", "b"], ["--use", "a", "--explain"]):
        code, shown = on_a_terminal(folder, "ask", "mesh.yaml", "question", *arguments)
        assert code == (3 if "b" in arguments else 0), shown
        assert unsteered(shown), shown
        assert b"gnp.exe" in shown
        assert b"link=file" in shown  # no markup of ours, but text


def test_an_answer_read_by_a_program_is_as_it_is(folder):
    done = subprocess.run([PARTSONG, "ask", "mesh.yaml", "question"], cwd=folder, capture_output=True, check=True, timeout=60)
    assert done.stdout.decode() == STEERING.replace("\ud800", "\ufffd") + "\n"
    done = subprocess.run([PARTSONG, "ask", "mesh.yaml", "question", "--json"], cwd=folder, capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout)["text"] == STEERING


def test_rows_with_hostile_ids_are_answered_and_never_become_paths_or_controls(folder):
    before = files_beside(folder)
    code, shown = on_a_terminal(folder, "run", "mesh.yaml", "in.jsonl", "-o", "out", "--engine", "inline")
    assert code == 3, shown
    assert unsteered(shown), shown

    assert files_beside(folder) == before
    assert not Path("/tmp/outside").exists()
    written = {path.relative_to(folder / "out").parts[0] for path in (folder / "out").rglob("*")}
    assert not written & {"b", "outside", "id", "..."}
    assert all(name.isascii() and name.isprintable() for name in written)

    answers = [json.loads(line) for line in (folder / "out" / "output.jsonl").read_text().splitlines()]
    errors = [json.loads(line) for line in (folder / "out" / "errors.jsonl").read_text().splitlines()]
    assert {line["custom_id"] for line in answers} >= set(IDS)
    assert len(answers) + len(errors) == len(IDS) + len(REFUSED) + 4
    assert all(len(line["custom_id"]) <= 512 for line in errors)
    assert all(line["response"]["body"]["choices"][0]["message"]["content"] == STEERING for line in answers)

    for name in (IDS[0], IDS[6], IDS[7]):
        code, shown = on_a_terminal(folder, "trace", "out", name)
        assert (code, unsteered(shown)) == (0, True), shown
    for arguments in (["compare", "out"], ["run", "mesh.yaml", "in.jsonl", "--dry-run"]):
        code, shown = on_a_terminal(folder, *arguments)
        assert (code, unsteered(shown)) == (0, True), shown


def test_no_cell_of_csv_is_a_formula_to_a_spreadsheet(folder):
    (folder / "rows.jsonl").write_text(
        "".join(
            json.dumps({"id": f"{kind}{n}", "prompt": f"{n}", "metadata": {"kind": kind, "expected": "x"}}) + "\n"
            for kind in ("=1+1", "@x", "sums")
            for n in range(2)
        )
    )
    subprocess.run([PARTSONG, "run", "mesh.yaml", "rows.jsonl", "-o", "kinds", "--engine", "inline"], cwd=folder, check=True, timeout=60)
    done = subprocess.run([PARTSONG, "matrix", "kinds", "--csv"], cwd=folder, capture_output=True, check=True, timeout=60, text=True)
    assert {line["kind"] for line in csv.DictReader(done.stdout.splitlines())} == {"'=1+1", "'@x", "sums"}


@pytest.mark.parametrize("text", ["grüße 🙂\n\tzeile\n", "👩\u200d💻 नमस्ते \u00a0", "مرحبا שלום"])
def test_honest_texts_are_shown_as_they_are(text):
    assert as_shown(text) == text


def test_json_that_is_shown_says_the_same():
    assert json.loads(in_json(json.dumps(STEERING, ensure_ascii=False))) == STEERING
    assert as_shown(in_json(json.dumps(STEERING, ensure_ascii=False))) == in_json(json.dumps(STEERING, ensure_ascii=False))
    assert plain("a\nb\u202e") == "a\ufffdb\ufffd"
