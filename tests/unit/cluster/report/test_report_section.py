"""A section: several ways on the same rows, summed up and compared."""

from partsong_cluster.report import PlanRun
from partsong_cluster.report.baseline import baseline_columns
from report_builders import record, section, way


def test_accuracy_cost_and_failures_are_those_of_the_rows():
    (line,) = section(way("mini", "++-x", cost_usd=0.002, single=True)).lines
    assert (line.summary.graded, line.summary.right, line.summary.failed) == (4, 2, 1)
    assert line.summary.failures == {"timeout": 1}
    assert line.cost_per_1000("usd") == 2.0


def test_a_way_is_compared_row_by_row_with_the_best_single_model():
    found = section(way("weak", "+---", single=True), way("strong", "++--", single=True), way("vote", "+-++"))
    against = {line.name: line.against_best for line in found.lines}
    assert against["strong"] is None
    assert against["vote"] is not None
    assert (against["vote"].both_right, against["vote"].only_a, against["vote"].only_b, against["vote"].neither) == (1, 1, 2, 0)


def test_only_combinations_have_a_p_value_as_the_best_single_model_was_chosen_among_the_others_on_these_rows():
    found = section(way("weak", "----------", single=True), way("strong", "+---------", single=True), way("vote", "++++++++++"))
    against = {line.name: line.against_best for line in found.lines}
    assert against["weak"].p_holm is None
    assert against["vote"].p_holm == against["vote"].p_value < 0.05  # the other single model takes no part in the adjustment
    assert [name for name in baseline_columns(found) if name == "p"] == ["p"]


def test_of_equally_accurate_single_models_the_cheaper_is_the_best():
    found = section(way("dear", "++", cost_usd=1.0, single=True), way("cheap", "++", single=True))
    assert [line.name for line in found.lines if line.against_best is None] == ["cheap"]


def test_half_of_the_samples_are_rows_where_the_ways_differ():
    answers = "+" * 90 + "-" + "+" * 9
    found = section(way("a", answers, single=True), way("b", "+" * 100), samples=6)
    assert len(found.samples) == 6
    assert "q90" in {row.custom_id for row in found.samples}


def test_a_sample_holds_every_way_s_answer():
    found = section(way("a", "+-", single=True), way("b", "-x"))
    assert [(one.plan, one.right) for one in found.samples[0].shown] == [("a", True), ("b", False)]


def test_rows_without_an_expected_answer_are_not_graded():
    run = PlanRun("mini", "", lambda: [record(row, "yes", expected=None) for row in range(3)], single=True)
    (line,) = section(run).lines
    assert (line.summary.rows, line.summary.graded, line.against_best) == (3, 0, None)


def test_metadata_that_only_happens_to_be_called_grader_is_no_grader():
    odd = record(0, "yes")
    assert odd.task is not None
    task = odd.task.model_copy(update={"metadata": {"expected": "yes", "grader": "Mrs Smith"}})
    run = PlanRun("mini", "", lambda: [odd.model_copy(update={"task": task})], single=True)
    assert section(run).lines[0].summary.graded == 0


def test_the_share_of_rows_that_reached_the_strong_model_is_told():
    (line,) = section(way("mini", "++", single=True), strong="mini").lines
    assert (line.strong_share.value, line.strong_share.n) == (1.0, line.summary.rows)
