"""The worked example of docs/writing-an-adapter.md works."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from partsong.mesh.check import Look, examined
from partsong.mesh.compose import composed_text

PAGE = (Path(__file__).parents[3] / "docs" / "writing-an-adapter.md").read_text()


def block(language, start):
    """Return the page's block of this language that starts so."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return next(text for text in blocks if text.startswith(start))


def test_its_line_of_registration_names_it_and_the_mesh_file_takes_it(tmp_path, monkeypatch):
    (registered,) = tomllib.loads(block("toml", "[project"))["project"]["entry-points"]["partsong.adapters"].items()
    name, (module_name, _, class_name) = registered[0], registered[1].partition(":")
    source = tmp_path / "ollama.py"
    source.write_text(block("python", "# partsong/adapters/ollama.py"))
    spec = importlib.util.spec_from_file_location(module_name, source)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module_name, module)
    spec.loader.exec_module(module)

    root = composed_text(block("yaml", "version"), tmp_path, "mesh.yaml").root
    assert [problem.code for problem in examined(root, Look(tmp_path, {}, adapters={})).errors] == ["unknown-adapter"]
    found = examined(root, Look(tmp_path, {}, adapters={name: getattr(module, class_name)}))
    assert found.errors == ()
    assert found.mesh.models["small"].keep_alive == "1h"


def test_its_own_test_passes(tmp_path):
    (tmp_path / "ollama.py").write_text(block("python", "# partsong/adapters/ollama.py"))
    (tmp_path / "conftest.py").write_text("import sys, ollama\nsys.modules['partsong.adapters.ollama'] = ollama\n")
    (tmp_path / "test_ollama.py").write_text(block("python", "# tests/unit/adapters/test_ollama.py"))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "asyncio_mode=auto",
        "-o",
        "asyncio_default_fixture_loop_scope=function",
        "--rootdir",
        str(tmp_path),
    ]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "11 passed" in ran.stdout
