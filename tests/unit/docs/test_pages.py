"""What the pages show works: named blocks are written into a folder, meshes in it checked, programs and commands in it run.

A block is named by the word after its language (```yaml mesh.yaml); ```console blocks are run line by line after `$`, and every line of
output they show must be there, except those with `...`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from partsong.mesh import check_mesh

DOCS = Path(__file__).parents[3] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def named(page):
    return str(page.relative_to(DOCS))


def blocks(page):
    """Return the page's blocks: language, file name or "", text."""
    return _BLOCK.findall(page.read_text())


def shell(command, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "COLUMNS": "140", "NO_COLOR": "1"}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60
    )


def show(command, shown, folder):
    """Run a command as the page shows it."""
    ran = shell(command, folder)
    assert ran.returncode in (0, *map(int, re.findall(r"^\$ echo \$\?\n(\d+)", shown, re.MULTILINE))), f"{command}\n{ran.stdout}"
    said = [" ".join(line.split()) for line in ran.stdout.splitlines()]
    for line in (" ".join(line.split()) for line in shown.splitlines()):
        assert not line or "..." in line or line in said, f"{command}\nshows: {line}\nsaid:\n{ran.stdout}"


@pytest.mark.parametrize("page", [page for page in PAGES if any(name for _, name, _ in blocks(page))], ids=named)
def test_what_a_page_shows_works(page, tmp_path):
    for language, name, text in blocks(page):
        if name:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        if language == "yaml" and text.startswith("version: ") and name and not name.startswith("wrong"):
            found = check_mesh(tmp_path / name, env={}, check_secrets=False)
            assert found.errors == (), "\n".join(map(str, found.errors))
            assert found.warnings == (), "\n".join(map(str, found.warnings))
        if name and language == "python" and "asyncio.run(" in text:
            ran = shell(f"{sys.executable} {name}", tmp_path)
            assert ran.returncode == 0, ran.stdout
        if language == "console":
            for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
                show(command, shown, tmp_path)


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    found = {}
    for heading in re.findall(r"^#+ (.*)$", re.sub(_BLOCK, "", page.read_text()), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {slug if n == 0 else f"{slug}-{n}" for slug, count in found.items() for n in range(count + 1)}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_pages_links_lead_somewhere(page):
    for link in _LINK.findall(re.sub(_BLOCK, "", page.read_text())):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        to = (page.parent / target).resolve() if target else page
        assert to.exists() or not to.is_relative_to(DOCS), link
        assert not anchor or anchor in anchors(to), link


def test_every_page_is_listed():
    listed = {(DOCS / link.partition("#")[0]).resolve() for link in _LINK.findall((DOCS / "README.md").read_text())}
    assert [named(page) for page in PAGES if page.name != "README.md" and page not in listed] == []
