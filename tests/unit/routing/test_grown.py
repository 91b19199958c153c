"""A tree that is fitted to outcomes: what it sends where, how it is written, and what it is worth on rows unseen."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from ruamel.yaml import YAML

from partsong.contracts import Task
from partsong.errors import InputError
from partsong.evaluation.intervals import wilson
from partsong.learning.outcomes import Outcomes
from partsong.routing.grown import grown
from partsong.routing.traits import traits
from partsong.routing.tree import Tree
from partsong.routing.tree_text import tree_text

MODELS = ("mini", "large")


def asked(rows: int = 300, seed: int = 0) -> tuple[list[Task], Outcomes]:
    """Sums of many numbers are hard for mini; on law it is as good as large."""
    dice = Random(seed)
    tasks, right = [], []
    for n in range(rows):
        hard, kind = dice.random() < 0.5, dice.choice(["law", "art"])
        text = f"Case {n}: {'add 1, 2, 3, 4 and 5' if hard else 'who is it'}?"
        tasks.append(Task.of(text, id=str(n)).model_copy(update={"metadata": {"kind": kind, "expected": str(n), "who": f"user {n}"}}))
        right.append([float(dice.random() < (0.3 if hard and kind == "art" else 0.95)), float(dice.random() < 0.95)])
    cost = np.tile(np.array([0.0001, 0.002]), (rows, 1))
    prompts = tuple(task.text for task in tasks)
    return tasks, Outcomes(MODELS, prompts, np.array(right), tuple((None, None) for _ in tasks), cost)


def fitted(**options: object):
    tasks, outcomes = asked()
    return grown(tasks, outcomes, value_usd=0.02, hidden=frozenset({"expected"}), **options)


def use_of(tree: Tree, text: str, kind: str) -> str:
    route = tree.decider(None)(Task.of(text).model_copy(update={"metadata": {"kind": kind}}))
    assert route is not None
    return route.use


def test_rows_go_to_the_dear_model_only_where_it_is_worth_it():
    tree = fitted().tree
    hard, easy = "Case 1000: add 1, 2, 3, 4 and 5?", "Case 1000: who is it?"
    assert [use_of(tree, hard, "art"), use_of(tree, hard, "law"), use_of(tree, easy, "art")] == ["large", "mini", "mini"]


def test_what_it_gave_on_rows_unseen_is_told_beside_the_best_model_for_all():
    found = fitted()
    assert found.single.use == "one model for all"  # which one it is may differ from part to part
    assert found.judged.accuracy > found.single.accuracy - 0.05
    assert found.judged.cost_usd < 0.6 * found.single.cost_usd


def test_each_leaf_tells_its_rows_and_what_the_models_gave_there():
    found = fitted()
    assert sum(leaf.rows for leaf in found.leaves.values()) == 300
    assert {place for place, branch in found.tree.walk() if branch.use} == set(found.leaves)
    assert all(leaf.chosen.use != leaf.rival.use for leaf in found.leaves.values())


def test_what_is_written_is_the_same_tree_in_the_mesh_files_words():
    found = fitted()
    text = tree_text(found)
    assert "rows: large right on" in text
    read = Tree.model_validate(YAML(typ="safe").load(text)["tree"])
    assert read == found.tree


def test_no_deeper_than_told_and_never_by_what_tells_the_answer_or_the_row():
    assert max(len(place) for place, _ in fitted(depth=1).tree.walk()) <= 1
    told = tree_text(fitted(depth=6))
    assert "expected" not in told
    assert "user" not in told


def test_where_one_model_is_best_everywhere_the_tree_is_one_leaf():
    tasks, outcomes = asked()
    found = grown(tasks, outcomes, value_usd=1e-6)
    assert (found.tree.use, list(found.leaves)) == ("mini", [()])
    assert tree_text(found).startswith("tree:\n  use: mini  # 300 rows: mini right on")


def right_where(rows: int, *models: float) -> tuple[list[Task], Outcomes]:
    """Return the rows with the models' outcomes changed: 1 right, 0 wrong, NaN not known, -1 as it was."""
    tasks, outcomes = asked(rows)
    return tasks, replace(outcomes, right=np.where(np.array(models) == -1, outcomes.right, np.array(models)))


@pytest.mark.parametrize(
    ("table", "code"),
    [
        (asked(30), "too-few-outcomes"),
        (right_where(300, -1, np.nan), "no-labels"),
        (right_where(300, np.nan, np.nan), "too-few-outcomes"),
        (right_where(300, 1.0, 1.0), "one-class"),
    ],
)
def test_where_no_honest_tree_can_come_of_the_outcomes_it_is_refused(table: tuple[list[Task], Outcomes], code: str):
    with pytest.raises(InputError) as caught:
        grown(*table, value_usd=1.0)
    assert caught.value.problems[0].code == code


def test_rows_that_say_nothing_of_who_is_right_are_no_rows_of_a_leaf():
    tasks, outcomes = asked()
    right = outcomes.right.copy()
    right[::3] = np.nan
    found = grown(tasks, replace(outcomes, right=right))
    assert found.rows == sum(leaf.rows for leaf in found.leaves.values()) == 200


def test_a_share_is_of_the_rows_on_which_it_is_known_and_has_its_interval():
    tasks, outcomes = asked()
    right = outcomes.right.copy()
    right[:90, 0] = np.nan
    leaf = grown(tasks, replace(outcomes, right=right), value_usd=1e-6).leaves[()]
    assert (leaf.rows, leaf.chosen.n, leaf.rival.n) == (300, 210, 300)
    assert leaf.chosen.accuracy == pytest.approx(right[90:, 0].mean())
    assert (leaf.chosen.low, leaf.chosen.high) == wilson(int(right[90:, 0].sum()), 210)


def test_a_right_answer_counts_as_twenty_of_the_best_models():
    assert grown(*asked()).value_usd == pytest.approx(20 * 0.002)


def test_traits_part_the_rows():
    tasks, _ = asked()
    columns = traits(tasks, 20, frozenset({"expected"}))
    assert columns
    assert all(min(sum(v > np.median(c.values) for v in c.values), len(tasks)) < len(tasks) for c in columns)
    assert traits(tasks[:30], 20, frozenset()) == []
