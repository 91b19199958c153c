"""`scripts/setup`: a venv that may be in use is emptied for another lock file alone, and left alone where nothing installed has changed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """\
#!/bin/sh
echo "$@" >> "$SAID"
if [ "$2" = venv ]; then rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python; fi
"""
"""Writes down what it is asked, and makes a venv that has itself."""
EMPTIED, LOCKED, OURS = "-m venv --clear .venv", "-r requirements.lock", "-e ."


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/setup", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    assert said_by(tmp_path)
    return tmp_path


def said_by(checkout: Path) -> list[str]:
    """Run it; return what Python was asked for, one line each."""
    said = checkout / "said"
    said.write_text("")
    env = {"PATH": os.environ["PATH"], "PYTHON": str(checkout / "python"), "SAID": str(said)}
    subprocess.run([checkout / "scripts/setup"], env=env, check=True, capture_output=True)
    return said.read_text().splitlines()


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("old", ["line-length = 140", "root_packages =", '"hypothesis",', "minversion ="])
def test_settings_of_tools_install_nothing(checkout: Path, old: str):
    change(checkout / "pyproject.toml", old, f"{old} # another")
    assert said_by(checkout) == []


@pytest.mark.parametrize("old", ['version = "0.1.0"', '"httpx>=0.28,<1"', "partsong = ", "openai = ", "dev-mode-dirs ="])
def test_the_projects_own_metadata_installs_the_project_and_nothing_else(checkout: Path, old: str):
    change(checkout / "pyproject.toml", old, f"# another\n{old}")
    [line] = said_by(checkout)
    assert line.endswith(OURS)
    assert said_by(checkout) == []


def test_another_lock_file_begins_anew(checkout: Path):
    with (checkout / "requirements.lock").open("a") as lock:
        lock.write("# another\n")
    assert [end for line in said_by(checkout) for end in (EMPTIED, LOCKED, OURS) if line.endswith(end)] == [EMPTIED, LOCKED, OURS]
    assert said_by(checkout) == []
