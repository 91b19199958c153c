"""The worked example of docs/writing-a-plan.md works."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML

from partsong.plans import PLANS, PlanField

PAGE = (Path(__file__).parents[3] / "docs" / "writing-a-plan.md").read_text()


def block(language, start):
    """Return the page's block of this language that starts so."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return next(text for text in blocks if text.startswith(start))


@pytest.fixture
def revise(tmp_path, monkeypatch):
    """Give the page's plan as a module of the package."""
    source = tmp_path / "revise.py"
    source.write_text(block("python", "# partsong/plans/revise.py"))
    spec = importlib.util.spec_from_file_location("partsong.plans.revise", source)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "partsong.plans.revise", module)
    spec.loader.exec_module(module)
    return module


def test_its_mesh_entry_is_read_once_it_is_registered(revise, monkeypatch):
    (entry,) = YAML(typ="safe").load(block("yaml", "haiku")).values()
    with pytest.raises(ValidationError, match="no kind of plan is called 'revise'"):
        TypeAdapter(PlanField).validate_python(entry)
    monkeypatch.setitem(PLANS, "revise", revise.Revise)
    assert TypeAdapter(PlanField).validate_python(entry) == revise.Revise(writer="mini", critic="large", rounds=1)


def test_its_own_test_passes(tmp_path):
    (tmp_path / "revise.py").write_text(block("python", "# partsong/plans/revise.py"))
    (tmp_path / "conftest.py").write_text("import sys, revise\nsys.modules['partsong.plans.revise'] = revise\n")
    (tmp_path / "test_revise.py").write_text(block("python", "# tests/unit/plans/test_revise.py"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "--rootdir", str(tmp_path)]
    ran = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "13 passed" in ran.stdout
