"""Code: whether a text looks like source code."""

import time

import pytest

from partsong.routing.code import looks_like_code

CODE = [
    "def add(a, b):\n    return a + b",
    "Why does this fail?\n```\nx = 1\n```",
    "#include <stdio.h>\nint main() { return 0; }",
    "SELECT name FROM users WHERE id = 1",
    "const f = (x) => x + 1;\nconsole.log(f(2));",
    'fn main() { println!("hi"); }',
    "func Add(a int, b int) int {\n\treturn a + b\n}",
    "for (int i = 0; i < n; i++) {\n  total += i;\n}",
    "import numpy as np\nx = np.zeros(3)",
    "public static void main(String[] args) { }",
]
PROSE = [
    "How do I select a new card from the list?",
    "Write a function that adds two numbers.",
    "Dear team,\nI am unhappy (very!) with the service; please refund me.\nReturn my call.",
    "If x = 3 and y = 4, what is x + y?",
    "id,name\n1,Ann\n2,Bob",
    '{"name": "Ann", "age": 3}',
    '[{"a": [1, 2]},\n {"a": []}]',
    "Wie geht es dir? Mir geht es gut -- danke.",
    "see https://example.org/a?b=c for more",
    "",
]


@pytest.mark.parametrize("text", CODE)
def test_code_looks_like_code(text):
    assert looks_like_code(text)


@pytest.mark.parametrize("text", PROSE)
def test_prose_tables_and_json_do_not(text):
    assert not looks_like_code(text)


@pytest.mark.parametrize(
    "text", ["\n" * 50_000, " " * 50_000, "a.b(" * 9_000, "SELECT " * 9_000, "if (" * 9_000, "a" * 50_000, "let a:" * 9_000]
)
def test_hostile_texts_are_judged_in_no_time(text):
    began_s = time.process_time()
    looks_like_code(text)
    assert time.process_time() - began_s < 1.0
