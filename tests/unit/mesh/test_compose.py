"""How `extends` and `include` make one mesh of several files."""

import pytest

from partsong.errors import MeshError
from partsong.mesh.compose import composed_file, composed_text

BASE = """\
version: 1
models:
  a: {adapter: echo, timeout: 10s, price: {input: 1, output: 2}}
  b: {adapter: wire, api_key: {env: B_KEY}}
plans:
  p: {direct: a}
routes: [{use: a}, {use: b}]
store: {cache: true}
"""


def refused(path):
    with pytest.raises(MeshError) as caught:
        composed_file(path)
    return caught.value.problems


def test_own_keys_win_and_mappings_are_merged_key_by_key(folder):
    folder.write("base.yaml", BASE)
    path = folder.write(
        "mesh.yaml", "extends: base.yaml\nmodels:\n  a: {price: {input: 9}}\n  c: {adapter: echo}\nstore: {url: 'sqlite:///x'}\n"
    )
    plain = composed_file(path).root.plain()
    assert plain["models"]["a"] == {"adapter": "echo", "timeout": "10s", "price": {"input": 9, "output": 2}}
    assert list(plain["models"]) == ["a", "b", "c"]
    assert plain["store"] == {"cache": True, "url": "sqlite:///x"}
    assert "extends" not in plain


def test_lists_plans_secrets_and_models_of_another_adapter_are_replaced_whole(folder):
    folder.write("base.yaml", BASE)
    own = """\
extends: base.yaml
models:
  a: {adapter: wire}
  b: {api_key: {file: b.key}}
plans:
  p: {ensemble: {members: [a, b]}}
routes: [{use: p}]
"""
    plain = composed_file(folder.write("mesh.yaml", own)).root.plain()
    assert plain["models"] == {"a": {"adapter": "wire"}, "b": {"adapter": "wire", "api_key": {"file": "b.key"}}}
    assert plain["plans"] == {"p": {"ensemble": {"members": ["a", "b"]}}}
    assert plain["routes"] == [{"use": "p"}]


def test_included_models_and_plans_are_added(folder):
    folder.write("lib/more.yaml", "models: {x: {adapter: echo}}\nplans: {q: {direct: x}}\n")
    plain = composed_file(folder.write("mesh.yaml", BASE + "include: [lib/more.yaml]\n")).root.plain()
    assert list(plain["models"]) == ["a", "b", "x"]
    assert plain["plans"]["q"] == {"direct": "x"}


def test_names_start_at_the_file_that_names_them(folder):
    folder.write("lib/one.yaml", "include: two.yaml\nmodels: {x: {adapter: echo}}\n")
    folder.write("lib/two.yaml", "models: {y: {adapter: echo}}\n")
    composed = composed_file(folder.write("mesh.yaml", BASE + "include: lib/one.yaml\n"))
    assert list(composed.root.plain()["models"]) == ["a", "b", "x", "y"]
    assert [file.name for file in composed.files] == ["mesh.yaml", "one.yaml", "two.yaml"]


def test_a_file_included_on_two_ways_counts_once(folder):
    folder.write("one.yaml", "include: shared.yaml\n")
    folder.write("two.yaml", "include: shared.yaml\n")
    folder.write("shared.yaml", "models: {s: {adapter: echo}}\n")
    plain = composed_file(folder.write("mesh.yaml", BASE + "include: [one.yaml, two.yaml]\n")).root.plain()
    assert "s" in plain["models"]


def test_a_name_defined_twice_is_refused_at_the_second_place(folder):
    folder.write("more.yaml", "models:\n  a: {adapter: echo}\n")
    (problem,) = refused(folder.write("mesh.yaml", BASE + "include: more.yaml\n"))
    assert (problem.code, problem.at.line, problem.at.column) == ("defined-twice", 2, 3)
    assert problem.at.file.endswith("more.yaml")
    assert "mesh.yaml:3:3" in problem.remedy


def test_an_included_file_has_models_and_plans_alone(folder):
    folder.write("more.yaml", "version: 1\nmodels: {}\nroutes: []\n")
    (problem,) = refused(folder.write("mesh.yaml", BASE + "include: more.yaml\n"))
    assert (problem.code, problem.at.line) == ("not-included", 3)


@pytest.mark.parametrize("key", ["extends", "include"])
def test_files_that_name_each_other_in_a_circle_are_refused_with_the_circle(folder, key):
    folder.write("b.yaml", f"{key}: c.yaml\n")
    folder.write("c.yaml", f"{key}: b.yaml\n")
    (problem,) = refused(folder.write("mesh.yaml", f"version: 1\n{key}: b.yaml\n"))
    assert (problem.code, problem.at.file) == ("file-cycle", str(folder.path / "c.yaml"))
    assert "b.yaml -> c.yaml -> b.yaml" in problem.what


def test_a_missing_file_is_named_where_it_is_named_with_the_nearest_there_is(folder):
    folder.write("models.yaml", "models: {}\n")
    (problem,) = refused(folder.write("mesh.yaml", "version: 1\ninclude: [modles.yaml]\n"))
    assert (problem.code, problem.at.line, problem.at.column) == ("no-such-file", 2, 11)
    assert "models.yaml" in problem.remedy


def test_a_missing_mesh_file_and_a_folder_in_its_place_are_told_apart(folder):
    missing = refused(folder.path / "none.yaml")[0]
    assert (missing.code, missing.remedy) == ("no-such-file", "check the path")
    assert refused(folder.path)[0].code == "file-unreadable"


@pytest.mark.parametrize("value", ["3", "[a.yaml, 3]", "''", "{a: b}", "null"])
def test_what_names_no_file_is_refused(folder, value):
    folder.write("a.yaml", "models: {}\n")
    assert refused(folder.write("mesh.yaml", f"version: 1\ninclude: {value}\n"))[0].code == "bad-file-name"


def test_an_error_in_an_extended_file_names_that_file(folder):
    folder.write("base.yaml", "version: 1\nmodels:\n  a: {adapter: echo, timeot: 3}\n")
    found = folder.check("extends: base.yaml\nmodels:\n  b: {adapter: echo, timeot: 3}\n")
    assert [(p.at.file.rpartition("/")[2], p.at.line, p.at.column) for p in found.errors] == [("base.yaml", 3, 22), ("mesh.yaml", 3, 22)]


def test_a_mesh_can_be_read_from_its_text(folder):
    folder.write("base.yaml", BASE)
    assert composed_text("extends: base.yaml", folder.path, "<text>").root.plain()["version"] == 1
