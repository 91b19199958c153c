"""The house's scripts: reference pages are current and say something of every field; the measures can be taken."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def ran(*command, **env):
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **env})


def test_the_reference_pages_are_what_the_code_says():
    done = ran("scripts/reference", "--check")
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_named_and_left_alone():
    page = REFERENCE / "cli.md"
    before = page.read_text()
    code = "import runpy, sys, pathlib; sys.argv = ['reference', '--check']; from reference_pages import cli; cli.page = lambda: 'other'; "
    done = ran("-c", code + "runpy.run_path('scripts/reference', run_name='__main__')", PYTHONPATH="scripts")
    assert done.returncode == 1
    assert "docs/reference/cli.md is not what the code says" in done.stderr
    assert page.read_text() == before


def test_the_pages_do_not_depend_on_the_terminal_or_the_place():
    pages = [
        ran("-c", "from reference_pages import cli, mesh; print(cli.page(), mesh.page())", PYTHONPATH="scripts", **surroundings).stdout
        for surroundings in ({}, {"COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "dumb", "HOME": "/nowhere"})
    ]
    assert pages[0] == pages[1] != "\n"
    assert str(ROOT) not in pages[0]


def test_every_field_of_the_mesh_file_says_what_it_means():
    rows = [line for line in (REFERENCE / "mesh.md").read_text().splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_option_and_command_has_its_help():
    text = (REFERENCE / "cli.md").read_text()
    assert set(re.findall(r"^## `partsong ?(\w*)", text, re.MULTILINE)) >= {"run", "ask", "compare", "trace", "config", "models"}


def test_the_measures_of_the_code_can_be_taken_and_there_is_no_import_cycle():
    done = ran("scripts/house")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^cycles +0$", done.stdout, re.MULTILINE), done.stdout
