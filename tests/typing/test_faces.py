"""The public faces are typed as they read: what is right is inferred, what is wrong is refused."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FACES = Path(__file__).with_name("faces.py")
_FOUND = re.compile(r"faces\.py:(\d+): (error|note): (.*)")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return what mypy says of each line: the types it reveals, the codes it refuses with."""
    cache = ROOT / ".mypy_cache" / "faces"
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "--no-error-summary", str(FACES)],
        cwd=tmp_path_factory.mktemp("user"),  # as a user has it: none of this project's settings, the packages as they are installed
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    said: dict[int, set[str]] = {}
    for line, severity, message in _FOUND.findall(ran.stdout):
        revealed = re.fullmatch(r'Revealed type is "(.*)"', message)
        if revealed:
            said.setdefault(int(line), set()).add(revealed[1].replace("builtins.", ""))
        elif severity == "error":
            said.setdefault(int(line), set()).add(message.rpartition("[")[2].rstrip("]"))
    return said


def wanted(mark):
    lines = enumerate(FACES.read_text().splitlines(), 1)
    return [pytest.param(number, line.partition(f"# {mark}: ")[2], id=f"line {number}") for number, line in lines if f"# {mark}: " in line]


@pytest.mark.parametrize(("line", "kind"), wanted("reveals"))
def test_types_are_inferred(found, line, kind):
    assert found.get(line) == {kind}


@pytest.mark.parametrize(("line", "codes"), wanted("refused"))
def test_wrong_uses_are_refused(found, line, codes):
    assert found.get(line) == set(codes.split(", "))


def test_nothing_else_is_refused(found):
    assert set(found) == {param.values[0] for mark in ("reveals", "refused") for param in wanted(mark)}
