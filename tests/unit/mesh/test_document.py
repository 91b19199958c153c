"""How YAML becomes a tree with places, and what is refused."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.errors import MeshError
from partsong.mesh.document import read_document


def read(text):
    return read_document(text.encode() if isinstance(text, str) else text, "m.yaml")


def refusal(text):
    with pytest.raises(MeshError) as caught:
        read(text)
    problem = caught.value.problems[0]
    return problem.code, f"{problem.at.line}:{problem.at.column}", problem.what


def test_every_value_knows_where_it_and_its_key_stand():
    root = read("a:\n  - x: 1\n  - {y: two}\n")
    y = root.step("a").step(1).step("y")
    assert (y.content, str(y.key_at), str(y.at)) == ("two", "m.yaml:3:6", "m.yaml:3:9")


def test_words_that_older_yaml_took_for_booleans_or_times_stay_words():
    assert read("a: [yes, no, on, 1:30, 2020-01-01, 60s]").plain() == {"a": ["yes", "no", "on", "1:30", "2020-01-01", "60s"]}


def test_scalars_have_their_types():
    plain = read("a: [1, -2, 0x1F, 0o17, 1_000, 1.5, 1e3, true, null, ~, '1', ]").plain()
    assert plain == {"a": [1, -2, 31, 15, 1000, 1.5, 1000.0, True, None, None, "1"]}


def test_a_merge_key_brings_in_what_the_mapping_does_not_say_itself():
    plain = read("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [{a: 4}, *x], c: 5}\n").plain()
    assert plain["y"] == {"a": 1, "b": 3}
    assert plain["z"] == {"a": 4, "b": 2, "c": 5}


def test_a_byte_order_mark_is_left_out():
    assert read("\ufeffa: 1".encode()).plain() == {"a": 1}


@pytest.mark.parametrize(
    ("text", "code", "at", "words"),
    [
        ("", "mesh-empty", "0:0", "empty"),
        ("# nothing\n", "mesh-empty", "0:0", "empty"),
        ("- a\n", "not-a-mapping", "1:1", "mapping"),
        ("just words\n", "not-a-mapping", "1:1", "mapping"),
        ("a: 1\nb: 2\na: 3\n", "duplicate-key", "3:1", "'a' stands here a second time"),
        ("a: {b: 1, b: 2}\n", "duplicate-key", "1:11", "'b'"),
        ("a:\n\tb: 1\n", "yaml-tab", "2:1", "tab"),
        ("a: [1, 2\nb: 3\n", "yaml", "2:2", "expected"),
        ("a: 'open\n", "yaml", "2:1", ""),
        ("a: *nobody\n", "yaml", "1:4", "undefined alias"),
        ("a: 1\n---\nb: 2\n", "yaml", "2:1", "another document"),
        ("1: x\n", "key-not-text", "1:1", "text"),
        ("null: x\n", "key-not-text", "1:1", "text"),
        ("? [a, b]\n: x\n", "key-not-text", "1:3", "text"),
        ("a: !!python/object:os.system x\n", "yaml-tag", "1:4", "no meaning"),
        ("a: .inf\n", "not-finite", "1:4", "finite"),
        ("a: [1, .nan]\n", "not-finite", "1:8", "finite"),
        ("a: 1e999\n", "not-finite", "1:4", "finite"),
        ("a: 99999999999999999999\n", "number-too-large", "1:4", "64 bits"),
        (f"a: {'9' * 5000}\n", "number-too-large", "1:4", "64 bits"),
        ("a: x\nb: y\0\n", "control-character", "2:5", "U+0000"),
        ('a: "\\ud800"\n', "control-character", "1:4", "U+D800"),
        ('a: "\\0"\n', "control-character", "1:4", "U+0000"),
        ("a: x\nb: caf\xe9\n".encode("latin-1"), "not-utf-8", "2:7", "0xe9"),
        ("a: &a [*a]\n", "mesh-too-deep", "1:4", "levels"),
        (f"a: {'[' * 200}{']' * 200}\n", "mesh-too-deep", "1:104", "levels"),
        (f"a: {'[' * 20000}\n", "mesh-too-deep", "1:104", "levels"),
        ("a: x\n" * 300_000, "mesh-too-large", "0:0", "1,500,000 bytes"),
    ],
)
def test_what_is_no_mesh_file_is_refused_at_its_place(text, code, at, words):
    found_code, found_at, what = refusal(text)
    assert (found_code, found_at) == (code, at)
    assert words in what


def test_all_duplicate_keys_are_named_at_once():
    with pytest.raises(MeshError) as caught:
        read("a: 1\na: 2\nb: 1\nb: 2\n")
    assert [str(p.at) for p in caught.value.problems] == ["m.yaml:2:1", "m.yaml:4:1"]


def test_aliases_of_aliases_cannot_grow_without_limit():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    begin = time.process_time()
    assert refusal(bomb)[0] == "mesh-too-large"
    assert time.process_time() - begin < 5


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(raw):
    with suppress(MeshError):
        read(raw)


@given(st.text("ab:{}[],&*!|>-?'\"#\n \t<%@", max_size=60))
def test_random_yaml_is_read_or_refused(text):
    with suppress(MeshError):
        read(text)
