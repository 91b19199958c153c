"""`partsong journal`: a damaged journal is told, salvaged, and the run goes on by its own command."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from partsong_cluster.cli import main

MESH = """
version: 1
models:
  shout: {adapter: python, target: "workers:shout"}
routes: [{use: shout}]
"""

WORKERS = """
import os

async def shout(task):
    with open(os.path.join(os.path.dirname(__file__), "asked.txt"), "a") as file:
        file.write(task.id + chr(10))
    return task.text.upper() + "!"
"""

RUN = ("run", "mesh.yaml", "in.jsonl", "-o", "out", "--engine", "inline", "--quiet")
ROWS = 300


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "workers.py").write_text(WORKERS)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": f"q{n}", "prompt": f"question {n}"}) + "\n" for n in range(ROWS)))
    return tmp_path


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int | None)
    return ended.value.code or 0


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 4096 // 2 * 4096
    content[middle : middle + 4 * 4096] = random.Random(1).randbytes(4 * 4096)
    path.write_bytes(content)


def test_a_sound_journal_is_called_sound(home: Path, capsys: pytest.CaptureFixture[str]):
    assert code_of(*RUN) == 0
    for path in ("out", "out/journal.db"):
        assert code_of("journal", "check", path) == 0
        assert code_of("journal", "salvage", path) == 0
    assert capsys.readouterr().out == "sound\nsound: there is nothing to salvage\n" * 2


def test_a_damaged_journal_is_told_and_salvaged_and_its_run_goes_on(home: Path, capsys: pytest.CaptureFixture[str]):
    assert code_of(*RUN) == 0
    damage(home / "out" / "journal.db")
    assert code_of("journal", "check", "out") == 6
    assert "partsong journal salvage out" in capsys.readouterr().err
    assert code_of("journal", "salvage", "out") == 0
    kept = int(capsys.readouterr().out.split()[1])
    assert ROWS // 2 < kept < ROWS
    assert code_of("journal", "check", "out") == 0
    (home / "asked.txt").unlink()
    assert code_of(*RUN) == 0
    lines = [json.loads(line) for line in (home / "out" / "output.jsonl").read_text().splitlines()]
    assert sorted(line["custom_id"] for line in lines) == sorted(f"q{n}" for n in range(ROWS))
    asked = Counter((home / "asked.txt").read_text().split())
    assert asked.total() == len(asked) <= ROWS - kept


def test_where_there_is_no_journal_that_is_said(home: Path, capsys: pytest.CaptureFixture[str]):
    assert code_of("journal", "check", "out") == 6
    assert "store-missing: there is no journal" in capsys.readouterr().err


def test_of_a_run_whose_journal_is_in_postgresql_it_is_said_what_checks_it(tmp_path, capsys):
    (tmp_path / "mesh.json").write_text('{"store": {"url": "postgresql://me@db/partsong"}}')
    assert code_of("journal", "check", str(tmp_path)) != 0
    assert "pg_amcheck" in capsys.readouterr().err
