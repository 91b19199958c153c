"""Edits of a mesh file's text: one word changes, everything else stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partsong.errors import MeshError
from partsong.mesh.document import read_document
from partsong.mesh.edit import with_word

BLOCK = "experiments:\n  # why\n  trial:\n    split:\n      champion: mini   # old\n      challenger: maxi\n"
FLOW = "experiments:\n  trial: {split: {champion: mini, challenger: maxi}}  # why\n"


def edited(text: str, word: str = "challenger") -> str:
    return with_word(text, "mesh.yaml", ("experiments", "trial", "split"), "decided", word, beside="champion")


def test_in_a_block_the_word_gets_a_line_of_its_own():
    assert edited(BLOCK) == BLOCK.replace("# old\n", "# old\n      decided: challenger\n")


def test_in_a_flow_mapping_it_stands_beside():
    assert edited(FLOW) == FLOW.replace("mini", "mini, decided: challenger")


@pytest.mark.parametrize("text", [BLOCK, FLOW, FLOW.replace("mini, challenger: maxi", "mini ,challenger: maxi,decided: 'champion'")])
def test_a_word_that_is_there_is_replaced(text):
    assert edited(edited(text), "champion") == edited(text, "champion")


@pytest.mark.parametrize("champion", ["'mini'", '"mini"', "mini.v-2"])
def test_quoted_names_stay_quoted(champion):
    assert champion in edited(FLOW.replace("mini", champion))
    assert champion in edited(BLOCK.replace("mini", champion))


def test_the_last_key_of_a_flow_mapping():
    assert edited("experiments: {trial: {split: {challenger: a, champion: b}}}").endswith("champion: b, decided: challenger}}}")


def test_the_last_line_may_lack_its_end():
    text = "experiments:\n  trial:\n    split:\n      challenger: maxi\n      champion: mini"
    assert edited(text) == f"{text}\n      decided: challenger"


def test_windows_line_ends_stay():
    assert edited(BLOCK.replace("\n", "\r\n")) == edited(BLOCK).replace("\n", "\r\n")


def test_what_is_not_written_here_is_refused():
    with pytest.raises(MeshError, match=r"experiments\.trial\.split is not written in this file"):
        edited("version: 1\n")


def test_an_entry_that_others_share_is_not_changed():
    shared = "models: {x: &one {champion: mini, challenger: maxi}}\nexperiments:\n  trial:\n    split: *one\n  other:\n    split: *one\n"
    with pytest.raises(MeshError, match="cannot be changed by itself"):
        edited(shared)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([2, 3, 4, 8]), st.booleans(), st.booleans(), st.sampled_from(["", "   # why: {champion, x}", " #"]))
def test_whatever_the_indent_the_document_gains_one_word(indent, first, ends, comment):
    keys = ["champion: mini", "challenger: maxi"] if first else ["challenger: maxi", "champion: mini"]
    lines = ["experiments:", f"{' ' * indent}trial:", f"{' ' * 2 * indent}split:", *(f"{' ' * 3 * indent}{key}{comment}" for key in keys)]
    text = "\n".join(lines) + "\n" * ends
    after = read_document(edited(text).encode(), "mesh.yaml").plain()
    assert after == {"experiments": {"trial": {"split": {"champion": "mini", "challenger": "maxi", "decided": "challenger"}}}}
    assert [line for line in edited(text).splitlines() if "decided" not in line] == text.splitlines()
