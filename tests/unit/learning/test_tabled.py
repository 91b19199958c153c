import numpy as np
import pytest

from partsong.contracts import Completion, Failure, FailureCode, Price, Task
from partsong.contracts.completion import Logprobs, Timing, Usage
from partsong.evaluation.grading import Contains, Grader
from partsong.evaluation.reading import Label, Number, Text
from partsong.learning.tabled import RatedAnswer, Replies, tabled


def said(text: str, cost_usd: float = 0.001, **facts: object) -> Completion:
    return Completion(text=text, model="m-1", cost_usd=cost_usd, timing=Timing(total_s=0.5), **facts)


PRICE = Price(input=1.0, output=10.0)
FAILED = Failure(code=FailureCode.CONTENT_FILTER, message="not this", cost_usd=0.002)


def row(number: int = 0, *, expected: object = None, grader: Grader | None = None, **replies: object) -> Replies:
    return Replies(str(number), Task.of(f"question {number}", id=str(number)), None, expected, grader or Label(), dict(replies))


def test_labels_say_what_is_right_a_failure_is_wrong_and_what_was_not_asked_is_not_known():
    found = tabled([row(expected="yes", a=said("Yes."), b=said("no"), c=FAILED)], ["a", "b", "c", "d"], {"a": PRICE})
    assert found.source == "labels"
    assert found.outcomes.right[0].tolist() == pytest.approx([1.0, 0.0, 0.0, np.nan], nan_ok=True)
    assert found.outcomes.answers[0] == ("yes", "no", None, None)


def test_a_model_many_of_whose_calls_failed_is_told_of():
    rows = [row(n, expected="x", a=said("x"), b=FAILED if n < 3 else said("x"), c=FAILED if n < 1 else said("x")) for n in range(30)]
    assert tabled(rows, ["a", "b", "c"], {}).warnings == ("b: 3 of its 30 calls failed for good, and count as wrong answers",)


def test_a_model_without_a_price_has_no_known_cost_and_a_failure_costs_what_it_cost():
    found = tabled([row(expected="x", a=said("x"), b=said("x"), c=FAILED)], ["a", "b", "c"], {"a": PRICE, "c": PRICE})
    assert found.outcomes.cost_usd[0].tolist() == pytest.approx([0.001, np.nan, 0.002], nan_ok=True)


def test_a_model_that_was_never_called_costs_what_its_price_makes_of_the_others_tokens():
    counted = said("x", usage=Usage(prompt_tokens=100, completion_tokens=10))
    cost = tabled(
        [row(1, expected="x", a=counted, b=said("x")), row(2, expected="x", a=counted)], ["a", "b", "new"], {"new": PRICE}
    ).outcomes
    assert cost.cost_usd[:, 2].tolist() == pytest.approx([2e-4, 2e-4])
    assert np.isnan(tabled([row(expected="x", a=said("x"))], ["a", "new"], {"new": PRICE}).outcomes.cost_usd[:, 1]).all()


def test_feedback_on_an_answer_counts_for_every_model_that_said_the_same():
    one = row(a=said("Paris"), b=said("paris."), c=said("Rome"), d=FAILED)
    one.ratings.append(RatedAnswer("Paris", 0.9))
    assert tabled([one], list("abcd"), {}).outcomes.right[0].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert tabled([one], list("abcd"), {}).source == "feedback"


def test_feedback_that_an_answer_is_wrong_says_nothing_of_other_answers():
    one = row(a=said("Paris"), b=said("Rome"))
    one.ratings.append(RatedAnswer("Paris", 0.0))
    assert tabled([one], ["a", "b"], {}).outcomes.right[0].tolist() == pytest.approx([0.0, np.nan], nan_ok=True)


def test_of_free_text_a_right_answer_makes_no_other_one_wrong():
    one = row(grader=Contains(), a=said("It is Paris"), b=said("Paris, of course"))
    one.ratings.append(RatedAnswer("It is Paris", 1.0))
    assert tabled([one], ["a", "b"], {}).outcomes.right[0].tolist() == pytest.approx([1.0, np.nan], nan_ok=True)


def test_a_label_outranks_feedback_and_the_contradiction_is_told():
    one = row(expected="Rome", a=said("Paris"))
    one.ratings.append(RatedAnswer("Paris", 1.0))
    found = tabled([one], ["a"], {})
    assert found.outcomes.right[0, 0] == 0.0
    assert "users' feedback contradicts the label of 1 row; the label counts" in found.warnings


def test_one_question_with_two_labels_is_told():
    first, second = row(1, expected="x", a=said("x")), row(1, expected="y", a=said("x"))
    assert any("1 question stands there with labels that contradict" in warning for warning in tabled([first, second], ["a"], {}).warnings)
    assert not any("contradict" in warning for warning in tabled([first, first], ["a"], {}).warnings)


def test_without_any_word_on_what_is_right_agreement_stands_in_and_that_is_said_loudly():
    rows = [row(n, a=said("x"), b=said("x"), c=said("x" if n % 3 else "y")) for n in range(30)]
    found = tabled(rows, ["a", "b", "c"], {})
    assert found.source == "agreement"
    assert "ESTIMATE" in found.warnings[0]
    assert found.outcomes.accuracy.tolist() == pytest.approx([1.0, 1.0, 20 / 30])


def test_rows_that_nothing_is_known_of_are_counted():
    found = tabled([row(1, expected="x", a=said("x")), row(2, a=said("x"))], ["a"], {})
    assert any("1 of 2 rows" in warning for warning in found.warnings)


def test_confidences_are_those_stated_else_the_mean_token_probability():
    logprobs = Logprobs(tokens=("a", "b"), values=(-0.1, -0.3))
    found = tabled([row(expected="x", a=said("x", confidence=0.7), b=said("x", logprobs=logprobs), c=said("x"))], list("abc"), {})
    assert found.outcomes.stated is not None
    assert found.outcomes.stated[0].tolist() == pytest.approx([0.7, np.exp(-0.2), np.nan], nan_ok=True)
    assert found.outcomes.latency_s[0, 0] == 0.5


def test_how_answers_were_read_is_kept_where_all_were_read_alike():
    number, label, free = row(1, grader=Number(), a=said("1")), row(2, a=said("x")), row(3, grader=Contains(), a=said("x"))
    assert tabled([number, number], ["a"], {}).answer_kind == Number()
    assert tabled([free], ["a"], {}).answer_kind == Text()
    assert tabled([number, label], ["a"], {}).answer_kind is None
