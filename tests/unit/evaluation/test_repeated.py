from partsong.evaluation.repeated import repeats_told, torn_and_copies


def test_questions_asked_once_are_nothing_to_tell():
    assert list(repeats_told([("2 + 3?", "5"), ("2 - 3?", "-1"), ("2 * 3?", None)])) == []


def test_white_space_makes_no_other_question_and_rows_without_a_label_contradict_nobody():
    assert torn_and_copies([("Is it?", None), ("Is  it?\n", "yes"), ("Is it?", "yes"), ("Is it?", None)]) == (0, 3)


def test_labels_that_contradict_are_counted_by_question():
    rows = [("a", None), ("a", "x"), ("a", "y"), ("a", "z"), ("b", 1), ("b", True), ("c", "x")]
    assert torn_and_copies(rows) == (2, 4)
    first, second = repeats_told(rows)
    assert first.startswith("Labels contradict each other on 2 questions")
    assert second.startswith("In 4 rows a question stands again")
