"""The decision tree of a mesh file: read, routed by, and checked leaf by leaf."""

from partsong.contracts import Task
from partsong.mesh import Mesh, load_text

MESH = """\
version: 1
models:
  mini: {adapter: echo}
  large: {adapter: echo}
routes: [{when: {matches: "^hi"}, use: mini}]
tree:
  if: {more_numbers_than: 2}
  then: {use: large}
  else: mini
"""


def test_rows_go_down_the_tree_when_no_rule_takes_them(folder):
    found = folder.check(MESH)
    assert found.mesh is not None
    assert [found.mesh.router().decide(Task.of(text)).use for text in ("hi 1 2 3", "1 2 3", "1 2")] == ["mini", "large", "mini"]
    assert found.warnings == ()


def test_a_tree_travels(tmp_path):
    mesh = load_text(MESH.replace("{adapter: echo}", '{adapter: python, target: "w:f"}'), tmp_path, env={}).mesh
    assert Mesh.unpack(mesh.pack()) == mesh


def test_every_leaf_that_nobody_is_called_is_named(folder):
    text = MESH.replace("use: large}", "use: lage}").replace("else: mini", "else: {if: {code: true}, then: mimi}")
    found = folder.check(text)
    assert folder.spots(found.errors) == [
        ("unknown-name", "8:15", "tree.then.use"),
        ("unknown-name", "9:34", "tree.else.then"),
    ]
    assert found.errors[0].remedy == "did you mean 'large'?"


def test_what_is_wrong_in_a_branch_is_told_at_its_place(folder):
    found = folder.check(MESH.replace("more_numbers_than: 2", "more_numbres_than: 2"))
    assert folder.spots(found.errors) == [("unknown-key", "7:8", "tree.if.more_numbres_than")]
    found = folder.check(MESH.replace("  then: {use: large}\n", ""))
    assert folder.spots(found.errors) == [("wrong-value", "6:1", "tree")]


def test_a_tree_replaces_the_one_of_the_file_that_is_extended(folder):
    folder.write("base.yaml", MESH)
    mesh = folder.check("version: 1\nextends: base.yaml\ntree: {use: large}\n").mesh
    assert mesh is not None
    assert mesh.router().decide(Task.of("1 2 3 4")).use == mesh.router().decide(Task.of("none")).use == "large"
