import gzip
import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from unit.learning.made import made

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def quality() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quality_benchmark", ROOT / "benchmarks" / "quality.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["quality_benchmark"] = module
    spec.loader.exec_module(module)
    return module


def written(folder: Path, rows: int, seed: int) -> Path:
    table = made(rows, seed)
    folder.mkdir(parents=True)
    questions = [{"qid": f"t/{seed}/{i}", "task": "t", "prompt": f"{p} ({seed})"} for i, p in enumerate(table.prompts)]
    responses = [
        {"qid": questions[i]["qid"], "model": m, "answer": table.answers[i][j], "correct": int(table.right[i, j]), "out_chars": 100}
        for i in range(rows)
        for j, m in enumerate(table.models)
    ]
    prices = {m: {"in": 1.0, "out": 10.0 / (j + 1) ** 2, "source": "a list"} for j, m in enumerate(table.models)}
    (folder / "models.json").write_text(json.dumps({"models": prices}))
    for name, lines in (("questions", questions), ("responses", responses)):
        with gzip.open(folder / f"{name}.t.jsonl.gz", "wt") as out:
            out.writelines(json.dumps(line) + "\n" for line in lines)
    return folder


@pytest.fixture(scope="module")
def parts(quality: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    root = tmp_path_factory.mktemp("data")
    train, test = (next(quality.recorded(written(root / name, rows, seed))) for name, rows, seed in (("a", 240, 1), ("b", 80, 2)))
    return train, test, quality.fitted(train, [train])


def test_a_decision_depends_on_the_prompt_and_the_answers_that_were_asked_for_and_on_nothing_else(quality: ModuleType, parts: tuple):
    _, test, learned = parts

    def oracles(spoil: bool):
        def oracle(i: int):
            answers = dict(zip(test.outcomes.models, test.outcomes.answers[i], strict=True))
            if spoil:  # what was not asked in the first round changes; a policy that peeks would decide otherwise
                heard = asked[i]
                answers = {m: a if m in heard else "spoilt" for m, a in answers.items()}
            return quality.Oracle(answers)

        return oracle

    def run(spoil: bool) -> list:
        return list(quality.decide(learned, test.outcomes.prompts, test.qids, oracles(spoil)))

    asked: dict[int, set[str]] = {}
    first = run(False)
    place = {q: i for i, q in enumerate(test.qids)}
    for policy in sorted({line["policy"] for line in first}):
        mine = [line for line in first if line["policy"] == policy]
        asked = {place[line["qid"]]: set(line["asked"]) for line in mine}
        assert [line for line in run(True) if line["policy"] == policy] == mine


def test_labels_costs_and_kinds_of_the_test_part_are_out_of_reach(quality: ModuleType, parts: tuple):
    _, test, learned = parts
    names = quality.decide.__annotations__
    assert set(names) == {"learned", "prompts", "qids", "oracles", "return"}
    lines = quality.decided(learned, test)
    assert {line["policy"] for line in lines} == {"route", "frugal@best", "frugal@cost", "frugal@vote"}
    assert all(len(line["asked"]) == len(set(line["asked"])) >= 1 for line in lines)
    assert all(set(line) == {"policy", "qid", "asked", "answer", "p_correct", "score"} for line in lines)


def test_every_figure_follows_from_the_decisions_and_the_responses(quality: ModuleType, parts: tuple):
    _, test, learned = parts
    lines = quality.decided(learned, test)
    figures = quality.judge(test, lines, tuple(learned.facts["pair"]))
    right = [line["answer"] == "right" for line in lines if line["policy"] == "frugal@best"]
    assert figures["frugal@best"]["accuracy"] == pytest.approx(np.mean(right))
    assert figures["frugal@best"]["of_best"] > 0


def test_a_promise_over_splits_holds_even_when_every_cheaper_level_breaks_it(quality: ModuleType):
    dice = np.random.default_rng(0)
    losses = np.hstack([np.zeros((400, 1)), (dice.random((400, 2)) < 0.3).astype(float)])
    found = quality.promise_over_splits(losses, np.ones((400, 3)), np.ones(400))
    assert (found["held"], found["found_cheaper"]) == (1.0, 0.0)


def test_a_model_that_the_test_part_lacks_stops_the_judgement_by_name(quality: ModuleType, parts: tuple):
    with pytest.raises(SystemExit, match="no responses of m9"):
        quality.of_models(parts[1], ("m0", "m9"))
    assert quality.of_models(parts[1], ("m2", "m0")).outcomes.models == ("m2", "m0")


def test_the_test_part_of_the_same_data_set_comes_before_one_of_the_same_task(quality: ModuleType, parts: tuple):
    train, test, _ = parts
    same, one, two = (quality.Recorded(name, test.qids, test.outcomes) for name in ("a.t", "b.t", "c.t"))
    assert quality.counterpart(train, [one, same]).name == "a.t"
    assert quality.counterpart(train, [one]).name == "b.t"
    assert quality.counterpart(train, []) is None
    with pytest.raises(SystemExit, match=r"b\.t and c\.t are test parts"):
        quality.counterpart(train, [one, two])


def test_a_missing_response_is_said_and_no_figure_is_lost_to_it(quality: ModuleType, parts: tuple):
    train, test, _ = parts
    right = test.outcomes.right.copy()
    right[:5, 0] = np.nan
    lines, figures = quality.once(train, quality.Recorded("b.t", test.qids, replace(test.outcomes, right=right)), [train])
    assert "5 of 80 questions lack some model's response: nothing is judged on them" in figures["warnings"]
    assert (figures["n"], len(lines)) == (75, 4 * 75)
    assert not np.isnan([figures[policy]["accuracy"] for policy in ("route", "frugal@best", "frugal@vote")]).any()


def test_folds_give_no_share_of_calls_over_scores_of_different_fits(quality: ModuleType, parts: tuple):
    few = parts[0].rows(np.arange(90))
    _, figures = quality.crossed(few, [few], 2)
    assert {"apgr", "apgr_by_fold"} < set(figures["route"])
    assert not any(name.startswith("cpt") for name in figures["route"])
    assert figures["guarantee"]["as_learned"]["level"] == 0.95
