"""The provider's own words: what is kept of them, and that the key is never among them."""

import base64
import json
import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.adapters.complaint import complaint, one_line

KEY = "sk-Very/Secret+0123456789="

ECHOES = {
    "as it is": KEY,
    "in upper case": KEY.upper(),
    "escaped for JSON": json.dumps(KEY).replace("/", r"\/"),
    "escaped for JSON by number": "".join(f"\\u{ord(char):04x}" for char in KEY),
    "escaped for JSON twice": "".join(f"\\\\u{ord(char):04X}" for char in KEY),
    "escaped for an address": quote(KEY, safe=""),
    "escaped for a page": KEY.replace("+", "&#43;").replace("/", "&#x2F;"),
    "broken by a line's end": f"{KEY[:9]}\n{KEY[9:]}",
    "broken by a control character": f"{KEY[:9]}\x00{KEY[9:]}",
    "broken by a character without width": f"{KEY[:9]}\u200b{KEY[9:]}",
    "letter by letter": " ".join(KEY),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_the_key_is_cut_out_however_it_is_written(echo):
    assert one_line(f"Incorrect key: {echo}.", KEY) in ("Incorrect key: ***.", 'Incorrect key: "***".')


def test_a_key_that_the_provider_masks_is_left_as_it_is():
    assert one_line("Incorrect key: sk-V***789=.", KEY) == "Incorrect key: sk-V***789=."


def test_a_stand_in_for_a_key_leaves_the_words_readable():
    assert one_line("any model is taken", "any") == "any model is taken"


@pytest.mark.parametrize("kept", range(len(KEY)))
def test_what_is_cut_off_for_its_length_leaves_no_part_of_the_key_behind(kept):
    spaces = " " * (40_000 - 4 - kept)
    assert KEY[: max(6, kept)] not in one_line(f"bad {spaces}{KEY}", KEY)


@pytest.mark.parametrize("place", ["code", "type", "status"])
def test_a_key_among_the_names_of_an_error_is_cut_out_too(place):
    found = complaint({"error": {place: f"no {KEY} " + "x" * 1000, "message": "no"}}, KEY)
    assert KEY not in repr(found.kinds)
    assert max(map(len, found.kinds)) <= 80


@given(st.text(), st.text(string.ascii_letters + string.digits + "-_/+=.", min_size=8))
def test_a_key_never_shows_whatever_stands_around_it(words, key):
    for around in (f"{words}{key}{words}", base64.b64encode(words.encode()).decode() + key):
        assert key not in one_line(around, key)


def test_of_wrong_fields_where_and_what_is_kept_and_not_what_was_sent():
    wrong = {"loc": ["body", "messages", 0], "msg": "Input should be a string", "input": "the whole prompt"}
    found = complaint({"detail": [wrong, wrong]})
    assert found.message == "; ".join(["['body', 'messages', 0]: Input should be a string"] * 2)


@pytest.mark.parametrize("depth", [100, 900, 5_000, 50_000])
@pytest.mark.parametrize("place", ['{"error": %s}', '{"detail": %s}', '{"error": {"message": %s}}'])
def test_an_error_nested_however_deep_is_read_or_left(place, depth):
    try:
        body = json.loads(place % ("[" * depth + "1" + "]" * depth))
    except RecursionError:
        return
    assert len(complaint(body).message) <= 400
