"""The headline says no more than the numbers bear out."""

from partsong_cluster.report.headline import front_names, headline
from report_builders import section, way


def words(*ways: object) -> str:
    return " ".join(headline(section(*ways)))  # type: ignore[arg-type]


def test_a_clear_gain_is_called_one():
    assert "Combined, vote is right more often" in words(way("mini", "+" * 50 + "-" * 50, single=True), way("vote", "+" * 100))


def test_a_gain_that_may_be_chance_is_called_that():
    told = words(way("mini", "+" * 50 + "-" * 10, single=True), way("vote", "+" * 51 + "-" * 9))
    assert "may be chance" in told
    assert "right more often" not in told


def test_a_clear_loss_is_called_one():
    assert "No combination does better" in words(way("mini", "+" * 100, single=True), way("vote", "+" * 50 + "-" * 50))


def test_a_cheaper_combination_that_keeps_up_is_named_with_its_cost():
    told = words(way("mini", "+" * 40, cost_usd=0.010, single=True), way("cascade", "+" * 40, cost_usd=0.002))
    assert "cheapest combination that keeps up with mini: $2.00 per 1,000" in told


def test_a_cheaper_combination_that_is_clearly_worse_is_not_praised():
    told = words(way("mini", "+" * 100, cost_usd=0.010, single=True), way("cheap", "-" * 100, cost_usd=0.001))
    assert "No combination is both cheaper than mini and about as often right" in told


def test_a_saving_is_told_with_its_interval_and_what_a_decision_would_take():
    told = words(way("mini", "+" * 50 + "-" * 10, cost_usd=0.01, single=True), way("vote", "+" * 51 + "-" * 9, cost_usd=0.0029))
    assert "vote, is right on 85.0 % of the rows, the best single model on 83.3 %" in told
    assert "it costs 71 % less (95 % interval 71 to 71)" in told
    assert "rows would tell" in told


def test_a_chance_is_adjusted_for_all_that_were_tried():
    mini, tried = way("mini", "+" * 50 + "-" * 10, single=True), [way(f"vote-{n}", "+" * 57 + "-" * 3) for n in range(9)]
    assert "right more often" in words(mini, tried[0])
    assert "may be chance (p = 0.14, adjusted for 9 comparisons)" in words(mini, *tried)


def test_one_way_alone_is_told_with_its_interval():
    assert "95 % interval" in words(way("mini", "++-+", single=True))


def test_a_combination_of_no_single_model_is_told_too():
    assert "vote is right most often" in words(way("vote", "++"), way("cascade", "+-"))


def test_the_front_holds_what_nothing_beats():
    found = section(way("cheap", "+-", cost_usd=0.1, single=True), way("dear", "++", cost_usd=0.2), way("beaten", "+-", cost_usd=0.3))
    assert front_names(found) == {"cheap", "dear"}
