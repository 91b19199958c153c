"""Reading: what an answer says, by its kind."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.evaluation.reading import KINDS, Exact, Json, Label, Letter, Number, Text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", "42"),
        ("$1,200.00", "1200"),
        ("1.2e3", "1200"),
        ("1.2 x 10^3", "1200"),
        (r"1.2 \times 10^3 is about **1,200**", "1200"),
        ("-5", "-5"),
        ("\u22125", "-5"),
        ("-$5.50", "-5.5"),
        ("from 10-5", "5"),
        ("First 3, then 4, so 7.", "7"),
        ("3/4", "0.75"),
        ("1 1/2", "1.5"),
        (r"\boxed{\frac{3}{4}}", "0.75"),
        (r"It is \boxed{18} dollars, not 20.", "18"),
        ("#### 18\n(see 20)", "18"),
        ("The answer is 18, because 20 - 2 = 18, and not 3.", "18"),
        ('{"reasoning": "2 + 2", "answer": "4"} Note 7.', "4"),
        ("Answer: 5 * 3 = 15 apples", "15"),
        ("So the answer is x = 7, since 7 = 3 + 4.", "7"),
        ("50%", "50"),
        (".5", "0.5"),
        ("0.000", "0"),
        ("1,2,3", "3"),
        ("2020-01-05", "5"),
        ("0.1234567890123456", "0.123456789012"),
        ("1e400", None),
        ("1/0", None),
        ("9" * 200, None),
        ("none", None),
        ("", None),
    ],
)
def test_numbers_are_read_from_texts(text, number):
    assert Number().read(text) == number


def test_a_structured_number_outranks_the_text():
    assert Number().read("about 3", 4.0) == "4"


def test_places_round_what_is_compared():
    assert Number(places=1).read("0.333") == Number(places=1).read("1/3") == "0.3"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("**B**", "B"),
        ("B.", "B"),
        ("Answer: B", "B"),
        ("The answer is (C).", "C"),
        ("**Answer:** **D**", "D"),
        (r"So \boxed{E}", "E"),
        (r"\boxed{\text{F}}", "F"),
        ("A is wrong and so is (C). The answer is B because of A.", "B"),
        ("B) Paris", "B"),
        ("B. Paris", "B"),
        ("I think it is (D)", "D"),
        ("Long reasoning.\n\nC", "C"),
        ("The answer is a tree.", None),
        ("A tree is tall.", None),
        ("Z", None),
        ("", None),
    ],
)
def test_letters_are_read_from_texts(text, letter):
    assert Letter().read(text) == letter


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("positive", "positive"),
        (" **Positive.** ", "positive"),
        ("Sentiment: negative", "negative"),
        ("The review is positive overall.", "positive"),
        ("It is not positive. Label: negative", "negative"),
        ("positive or negative", None),
        ("Card-Arrival", "card_arrival"),
        ("my card arrival", "card_arrival"),
        ("nothing of that", None),
    ],
)
def test_labels_of_a_list_are_found_in_texts(text, label):
    assert Label(among=("positive", "negative", "card_arrival", "card")).read(text) == label


def test_without_a_list_the_whole_text_is_the_label():
    assert Label().read('  "Yes,\n please!" ') == "yes, please"
    assert Label().read(" ... ") is None


def test_labels_may_be_signs():
    assert Label(among=("+", "-")).read(" - ") == "-"
    assert Label(among=("+", "-")).read("?") is None


def test_exact_keeps_case():
    assert Exact().read(" Ab \n") == "Ab"


def test_json_is_the_same_whatever_its_order_and_dress():
    said = 'Sure:\n```json\n{"b": 1.0, "a": [1, 2]}\n```'
    assert Json().read(said) == Json().read('{"a":[1,2],"b":1}') == Json().read("", {"b": 1, "a": [1, 2]}) == '{"a":[1,2],"b":1}'
    assert Json().read("NaN") is None
    assert Json().read("no json {here}") is None


def test_texts_are_the_same_from_a_similarity_on():
    assert Text(at_least=0.5).same("the cat sat", "the cat sits")
    assert not Text(at_least=0.6).same("the cat sat", "the cat sits")
    assert Text(similarity="characters").same("猫坐在垫子上", "猫坐在垫上")


@given(st.sampled_from(["words", "characters"]), st.text(), st.text())
def test_similarity_is_symmetric_and_between_0_and_1(similarity, one, other):
    text = Text(similarity=similarity)
    assert 0.0 <= text.alike(one, other) == text.alike(other, one) <= 1.0
    assert text.same(one, one)


@given(st.sampled_from(sorted(KINDS)), st.text())
def test_any_text_can_be_read_or_abstains(name, text):
    said = KINDS[name]().read(text)
    assert said is None or isinstance(said, str)


@given(st.sampled_from(sorted(KINDS)), st.text())
def test_a_normal_form_reads_as_itself(name, text):
    kind = KINDS[name]()
    said = kind.read(text)
    assert said is None or kind.read(said) in (said, None)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=3))
def test_a_number_reads_the_same_with_separators(number):
    assert Number().read(f"It is {number:,}.") == Number().read(f"{number:f}")


@pytest.mark.parametrize("piece", ["1 1/", r"\boxed{", "answer: (((((", "-", "{[", "```a\n", "1,", "**A", " "])
def test_hostile_texts_are_read_in_no_time(piece):
    began_s = time.process_time()
    for kind in (Letter(), Number(), Json(), Label(among=("a", "b c"))):
        kind.read(piece * 9_000)
    assert time.process_time() - began_s < 1.0
