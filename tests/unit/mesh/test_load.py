"""What a loaded mesh is: equal after it was sent, with a hash of what answers depend on; random mutations are read or refused."""

import json
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from partsong.errors import MeshError
from partsong.mesh import Mesh, check_mesh, load_mesh, load_text
from partsong.mesh.show import as_yaml

MESH = """\
version: 1
models:
  words: {adapter: python, target: "workers:shout", timeout: 2m, args: {loud: true}, skills: [text]}
  old: {adapter: recorded, file: outcomes.jsonl, price: {input: 0.15, output: 0.6}, workers: {max: 4}, fallbacks: [words]}
  other: {adapter: recorded, file: outcomes.jsonl, accepts: [text, image]}
plans:
  one: {direct: words}
  vote: {ensemble: {members: [words, old, {ask: other}], merge: majority, quorum: 2}}
  climb:
    cascade:
      - {ask: words, trust: {logprob: 0.85}}
      - {ask: vote, trust: {agreement: 0.67}}
      - {ask: old, trust: {verifier: {model: other, prompt: verify.j2}}}
      - {ask: old, trust: {samples: {k: 5, merge: {majority: {kind: number}}}}}
      - {ask: words, trust: {schema: {type: object, required: [a]}}}
      - {ask: words, trust: {python: "rules:fine"}}
      - {ask: other}
routes:
  - {when: {contains: image, schema: true, metadata: {tier: [1, 2]}}, use: other}
  - {use: climb}
store: {url: "sqlite:///shared.db", cache: true}
telemetry: {file: traces.jsonl, rotate: {size: 1MB}, sample: 0.5}
"""
PROMPT = "Is {{ answer }} right?"


@pytest.fixture
def load(folder):
    folder.write("verify.j2", PROMPT)
    folder.write("outcomes.jsonl", "{}\n")
    folder.write("workers.py", "")

    def load(text=MESH):
        return load_mesh(folder.write("mesh.yaml", text), env={})

    return load


def test_a_mesh_equals_itself_after_it_was_packed_and_unpacked(load):
    mesh = load().mesh
    again = Mesh.unpack(mesh.pack())
    assert again == mesh
    assert again.pack() == mesh.pack()
    assert again.plans["climb"].tiers[2].trust.prompt.text == PROMPT


def test_a_mesh_equals_itself_after_a_json_dump(load):
    mesh = load().mesh
    assert Mesh.model_validate(json.loads(json.dumps(mesh.model_dump(mode="json", by_alias=True)))) == mesh


def test_the_effective_file_with_defaults_is_the_same_mesh(load):
    mesh = load().mesh
    assert load(as_yaml(mesh.model_dump(mode="json", by_alias=True))).mesh == mesh


def test_a_loaded_mesh_knows_its_folder_and_its_files(load, folder):
    loaded = load()
    assert loaded.folder == folder.path
    assert loaded.files == ((folder.path / "mesh.yaml").resolve(),)


def test_text_loads_as_a_file_of_the_folder_does(load, folder):
    assert load_text(MESH, folder.path, env={}).mesh == load().mesh


def test_a_mesh_that_cannot_be_used_is_one_error_with_every_problem(load):
    with pytest.raises(MeshError) as caught:
        load(MESH.replace("direct: words", "direct: wards").replace("sample: 0.5", "sample: 5"))
    assert [p.code for p in caught.value.problems] == ["unknown-name", "out-of-range"]


def test_a_mesh_file_that_cannot_be_read_is_a_finding_too(tmp_path):
    found = check_mesh(tmp_path / "none.yaml", env={})
    assert [p.code for p in found.errors] == ["no-such-file"]
    assert found.mesh is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loud: true", "loud: false"),
        ("merge: majority", "merge: {majority: {kind: number}}"),
        ("logprob: 0.85", "logprob: 0.9"),
        ("members: [words, old,", "members: [old, words,"),
        ("use: climb", "use: vote"),
        ("fallbacks: [words]", "fallbacks: [other]"),
    ],
)
def test_the_hash_changes_with_what_answers_depend_on(load, old, new):
    assert old in MESH
    assert load(MESH.replace(old, new)).hash != load().hash


@pytest.mark.parametrize("name", ["verify.j2", "outcomes.jsonl", "workers.py"])
def test_the_hash_changes_with_a_file_that_the_mesh_names(load, folder, name):
    before = load().hash
    folder.write(name, "# other\n")
    assert load().hash != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("timeout: 2m", "timeout: 120"),
        ("timeout: 2m", "timeout: 3m"),
        ("workers: {max: 4}", "workers: {max: 8}"),
        ("workers: {max: 4}", "workers: {min: 0, max: 4}"),
        ("workers: {max: 4}", "concurrency: 7"),
        ("workers: {max: 4}", "scale: {queue: 2s, idle: 1h, pace: 9}"),
        ("workers: {max: 4}", "resources: {cpu: 2, memory: 4GiB, labels: {zone: a}}"),
        ("output: 0.6", "output: 0.7"),
        ("cache: true", "cache: false"),
        ("sample: 0.5", "sample: 1"),
        ("version: 1", "# a comment\nversion: 1"),
    ],
)
def test_the_hash_stays_when_answers_stay(load, old, new):
    assert old in MESH
    assert load(MESH.replace(old, new)).hash == load().hash


def test_the_hash_stays_when_the_folder_moves(load, folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("moved")
    before = load().hash
    for file in folder.path.iterdir():
        (elsewhere / file.name).write_bytes(file.read_bytes())
    assert load_mesh(elsewhere / "mesh.yaml", env={}).hash == before


def test_twice_as_many_rows_are_worth_having_in_flight_as_the_workers_take(load):
    assert load().mesh.concurrency == 2 * (64 + 4 * 64 + 64)


def test_the_only_plan_is_the_default_of_a_mesh_without_routes(folder):
    from partsong.contracts import Task

    text = "version: 1\nmodels: {a: {adapter: python, target: 'm:f'}, b: {adapter: python, target: 'm:f'}}\nplans: {p: {direct: a}}\n"
    router = load_text(text, folder.path, env={}).mesh.router()
    assert router.decide(Task.of("hello")).use == "p"


def _mutated(lines: list[str], cuts: list[tuple[int, int, str]]) -> str:
    for at, column, piece in cuts:
        number = at % len(lines)
        line = lines[number]
        lines[number] = line[: column % (len(line) + 1)] + piece + line[column % (len(line) + 1) + len(piece) % 3 :]
    return "\n".join(lines)


_PIECES = st.sampled_from(
    [*"[]{}:,-?&*!|>'\"#% \n", "- ", ": ", "null", "0", "-1", "true", "x", "words", "[]", "{}", "<<: ", "&a ", "*a", "é"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 120), _PIECES), min_size=1, max_size=4))
@example([(0, 0, "&a "), (1, 0, "&a ")])  # an anchor set twice was a Python warning
def test_a_mutated_mesh_is_read_or_refused_and_nothing_else(load, folder, cuts):
    with suppress(MeshError):
        loaded = load_text(_mutated(MESH.splitlines(), cuts), folder.path, env={})
        assert Mesh.unpack(loaded.mesh.pack()) == loaded.mesh


_JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-2, 2)
    | st.sampled_from(["", "words", "x", "{{", "a.j2", "../up.txt", "majority"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["ask", "cascade", "members", "logprob", "text", "env", "min", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def _places(value, path=()):
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _places(inner, (*path, key))


def _replaced(value, path, junk):
    if not path:
        return junk
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], junk)
    return copy


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_any_place_is_read_or_refused_at_a_line(load, folder, data):
    plain = load().written.plain()
    path = data.draw(st.sampled_from(list(_places(plain))[1:]))
    text = as_yaml(_replaced(plain, path, data.draw(_JUNK)))
    read = partial(load_text, text, folder.path, env={})
    try:
        mesh = read().mesh
    except MeshError as error:
        problems = error.problems
        assert all(problem.at is not None and problem.at.line for problem in problems)
    else:
        assert Mesh.unpack(mesh.pack()) == mesh
