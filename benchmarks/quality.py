"""Quality: fit what is learned on one folder of recorded outcomes, judge it on another.

    python benchmarks/quality.py --train DIR --test DIR [--decisions OUT] [--json]
    python benchmarks/quality.py --train DIR --folds 5 [--json]
    ... --embeddings DIR                      # with the sentence-embedding model of that folder (scripts/embedding-model)

A folder is one data set (questions.TASK.jsonl.gz, responses.TASK.jsonl.gz, models.json) or holds several. With --folds instead of --test
the figures are cross-validated. Policies: `route` (from the prompt alone), `frugal@best`, `frugal@cost`, `frugal@vote`. Of a test question
a policy gets the prompt, and an Oracle that hands out the answers of the models it asks, one by one, and keeps the list.
"""

import argparse
import gzip
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from partsong.errors import InputError
from partsong.evaluation.repeated import repeats_told
from partsong.learning.calibration import expected_calibration_error
from partsong.learning.curves import apgr, calls_for
from partsong.learning.embedding import Embedder
from partsong.learning.folds import folds, same_text
from partsong.learning.frugal import Goal, at_every_rung, vote_accuracy
from partsong.learning.gate import Need, fit_need
from partsong.learning.guarantee import keep_promise
from partsong.learning.memory import shared_questions
from partsong.learning.outcomes import Embedded, Floats, Ints, Outcomes, sound
from partsong.learning.policies import Policies, best_model, fit_policies, pair_of
from partsong.learning.thresholds import Climb, Way, fit_thresholds
from partsong.learning.weights import log_odds

CHARS_PER_TOKEN = 4.0
"""As the data sets' baselines count: tokens are not recorded."""
LEARNED_LEVEL = 0.95
"""The confidence that `partsong learn` promises with."""


@dataclass(frozen=True)
class Recorded:
    """One task of a data set."""

    name: str
    qids: tuple[str, ...]
    outcomes: Outcomes
    doubts: tuple[str, ...] = ()
    """What is odd about its labels."""

    def rows(self, which: Ints) -> "Recorded":
        return replace(self, qids=tuple(self.qids[int(i)] for i in which), outcomes=self.outcomes.rows(which))


@dataclass
class Meaning:
    """Embeds prompts, each once."""

    embedder: Embedder
    _known: dict[str, Floats] = field(default_factory=dict)

    def of(self, prompts: Sequence[str]) -> Embedded:
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        if new:
            vectors = self.embedder.embedded(
                new, lambda done: print(f"\rembedding {done:,} of {len(new):,}", end="", file=sys.stderr)
            ).vectors
            print(file=sys.stderr)
            self._known |= dict(zip(new, vectors, strict=True))
        return Embedded(self.embedder.by, np.stack([self._known[prompt] for prompt in prompts]))


@dataclass
class Oracle:
    """The only way to a test question's answers: it hands out one model's answer at a time and remembers who was asked."""

    _answers: dict[str, str | None]
    asked: list[str] = field(default_factory=list)

    def ask(self, model: str) -> str | None:
        self.asked.append(model)
        return self._answers[model]


def recorded(folder: Path) -> Iterator[Recorded]:
    """Read every task under a folder."""
    found = sorted(folder.glob("questions.*.jsonl.gz")) or sorted(folder.glob("*/questions.*.jsonl.gz"))
    for path in found:
        task = path.name.split(".", 1)[1].removesuffix(".jsonl.gz")
        yield _task(path.parent, task)


def _task(folder: Path, task: str) -> Recorded:
    questions = _lines(folder / f"questions.{task}.jsonl.gz")
    responses = _lines(folder / f"responses.{task}.jsonl.gz")
    prices = json.loads((folder / "models.json").read_text())["models"]
    models = tuple(sorted({r["model"] for r in responses}))
    row, column = {q["qid"]: i for i, q in enumerate(questions)}, {m: j for j, m in enumerate(models)}
    right = np.full((len(questions), len(models)), np.nan)
    chars = np.zeros(right.shape)
    answers: list[list[str | None]] = [[None] * len(models) for _ in questions]
    for r in responses:
        i, j = row[r["qid"]], column[r["model"]]
        right[i, j] = r["correct"] or 0
        chars[i, j] = r.get("out_chars") or 0
        answers[i][j] = r.get("answer")
    given = np.array([len(q["prompt"]) + q.get("instruction_chars", 0) for q in questions], dtype=np.float64)
    cost = np.full(right.shape, np.nan)
    for model, j in column.items():
        price = prices.get(model, {})
        if price.get("in") is not None and "no cost can be computed" not in (price.get("source") or ""):
            cost[:, j] = (given * price["in"] + chars[:, j] * price["out"]) / CHARS_PER_TOKEN / 1e6
    outcomes = Outcomes(
        models,
        tuple(q["prompt"] for q in questions),
        right,
        tuple(tuple(a) for a in answers),
        cost,
        tuple(q["category"] for q in questions) if questions and all("category" in q for q in questions) else (),
    )
    name = f"{folder.name}.{task}"
    doubts = repeats_told((q["prompt"], q.get("reference")) for q in questions)
    return Recorded(name, tuple(q["qid"] for q in questions), _without_hidden(outcomes, prices), tuple(f"{name}: {d}" for d in doubts))


def of_models(task: Recorded, models: Sequence[str]) -> Recorded:
    """Return the task with these models' columns, in this order; stop when one was not recorded."""
    missing = sorted(set(models) - set(task.outcomes.models))
    if missing:
        sys.exit(
            f"{task.name}: the test part has no responses of {', '.join(missing)}, which the training part has; judge on the same models"
        )
    return replace(task, outcomes=task.outcomes.columns([task.outcomes.models.index(m) for m in models]))


def _without_hidden(outcomes: Outcomes, prices: dict[str, Any]) -> Outcomes:
    """Leave out models that bill tokens nobody recorded: neither their cost nor a vote with them can be judged."""
    keep = [j for j, m in enumerate(outcomes.models) if "no cost can be computed" not in (prices.get(m, {}).get("source") or "")]
    return outcomes.columns(keep)


def _lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def beside(task: Recorded, others: Sequence[Recorded]) -> Floats | None:
    """Return other data sets' outcomes on this task's questions, by the question's words."""
    columns = []
    for other in others:
        if other.name == task.name:
            continue
        at = {same_text(p): i for i, p in enumerate(other.outcomes.prompts)}
        rows = [at.get(same_text(p)) for p in task.outcomes.prompts]
        if sum(r is not None for r in rows) >= 0.6 * len(rows):
            blank = np.full(len(other.outcomes.models), np.nan)
            columns.append(np.stack([blank if r is None else other.outcomes.right[r] for r in rows]))
    return np.hstack(columns) if columns else None


@dataclass(frozen=True)
class Fitted:
    """What one training part taught."""

    policies: Policies
    need: Need
    half: float
    """The need above which half of the questions lie: a route asks the strong model from there on."""
    facts: dict[str, Any]
    meaning: Meaning | None = None

    def vectors(self, prompts: Sequence[str]) -> Floats | None:
        return None if self.meaning is None else self.meaning.of(prompts).vectors


def fitted(train: Recorded, others: Sequence[Recorded], meaning: Meaning | None = None) -> Fitted:
    """Fit everything on one part: what `partsong learn` does, and the need of the strong model of a pair."""
    outcomes = train.outcomes if meaning is None else replace(train.outcomes, embedded=meaning.of(train.outcomes.prompts))
    started = time.process_time()
    warnings = usable(train)
    policies, _ = fit_policies(outcomes)
    need = fit_need(outcomes, *pair_of(outcomes), beside=beside(train, others))
    half = float(np.median(need.score(outcomes.prompts, outcomes.vectors)))
    spent = round(time.process_time() - started, 2)
    facts: dict[str, Any] = {"warnings": warnings, "pair": [need.weak, need.strong], "fit_cpu_s": spent}
    found = Fitted(policies, need, half, facts, meaning)
    facts["route_ms_p50"], facts["route_ms_p99"] = decision_ms(lambda p: need.score([p], found.vectors([p])), outcomes.prompts[:200])
    return found


def decide(learned: Fitted, prompts: Sequence[str], qids: Sequence[str], oracles: Callable[[int], Oracle]) -> Iterator[dict[str, Any]]:
    """Decide on test questions: of them come prompts and, one by one, the answers that an oracle is asked for; nothing else."""
    policies, vectors = learned.policies, learned.vectors(prompts)
    p_right, scores = policies.gate.p_right(prompts, vectors), learned.need.score(prompts, vectors)
    column = {m: j for j, m in enumerate(policies.models)}
    for i, qid in enumerate(qids):
        oracle = oracles(i)
        model = learned.need.strong if scores[i] >= learned.half else learned.need.weak
        yield _line("route", qid, oracle, oracle.ask(model), p_right[i, column[model]], scores[i])
    for goal, policy in policies.frugal.items():
        own = p_right[:, [column[m] for m in policy.posterior.models]]
        votes, nothing = policy.posterior.votes(own), policy.posterior.nothing(own)
        for i, qid in enumerate(qids):
            oracle = oracles(i)
            decision = policy.decide(votes[i], float(nothing[i]), oracle.ask)
            yield _line(f"frugal@{goal.value}", qid, oracle, decision.answer, decision.p_right, scores[i])


def decided(learned: Fitted, test: Recorded) -> list[dict[str, Any]]:
    """Let the policies decide on a recorded part."""
    return list(decide(learned, test.outcomes.prompts, test.qids, lambda i: Oracle(_answers_of(test, i))))


def _answers_of(task: Recorded, i: int) -> dict[str, str | None]:
    return dict(zip(task.outcomes.models, task.outcomes.answers[i], strict=True))


def _line(policy: str, qid: str, oracle: Oracle, answer: str | None, p: float, score: float) -> dict[str, Any]:
    sure, order = round(float(p), 6), round(float(score), 6)
    return {"policy": policy, "qid": qid, "asked": list(oracle.asked), "answer": answer, "p_correct": sure, "score": order}


def decision_ms(decide_one: Callable[[str], Any], prompts: Sequence[str], rounds: int = 5) -> tuple[float, float]:
    """Return the median and the 99th percentile over prompts of the processor's milliseconds: the least of several rounds each.

    A machine that is busy takes nothing from it: what it spends on others is no time of this process, and caches that they emptied are
    full again in some round. Between two decisions on one prompt come those on all others.
    """
    taken = np.full((rounds, len(prompts)), np.inf)
    for one in taken:
        for i, prompt in enumerate(prompts):
            started = time.process_time_ns()
            decide_one(prompt)
            one[i] = (time.process_time_ns() - started) / 1e6
    least = taken.min(axis=0)
    return round(float(np.median(least)), 3), round(float(np.quantile(least, 0.99)), 3)


def judge(test: Recorded, lines: Sequence[dict[str, Any]], pair: tuple[str, str]) -> dict[str, Any]:
    """Recompute every figure from the decisions and the responses alone."""
    o = test.outcomes
    row, column = {q: i for i, q in enumerate(test.qids)}, {m: j for j, m in enumerate(o.models)}
    best = max(o.priced, key=lambda m: o.accuracy[m]) if o.priced else int(o.accuracy.argmax())
    best_cost, vote_cost = float(o.mean_cost_usd[best]), float(np.nansum(o.mean_cost_usd))
    figures: dict[str, Any] = {
        "n": len(o),
        "best_single": o.models[best],
        "best_accuracy": float(o.accuracy[best]),
        "best_usd_per_1k": best_cost * 1000,
    }
    if any(a is not None for a in o.answers[0]):
        figures |= {"vote_accuracy": vote_accuracy(o, log_odds(o.accuracy)), "vote_usd_per_1k": vote_cost * 1000}
    for policy in sorted({line["policy"] for line in lines}):
        mine = [line for line in lines if line["policy"] == policy]
        at = [row[line["qid"]] for line in mine]
        right = np.array([_is_right(o, i, line, column) for i, line in zip(at, mine, strict=True)])
        cost = np.array([sum(o.cost_usd[i, column[m]] for m in line["asked"]) for i, line in zip(at, mine, strict=True)])
        figures[policy] = {
            "accuracy": float(right.mean()),
            "gain": float(right.mean() - o.accuracy[best]),
            "gain_se": float((right - o.right[at, best]).std() / np.sqrt(len(at))),
            "usd_per_1k": float(cost.mean() * 1000),
            "of_best": float(cost.mean() / best_cost),
            "of_vote": float(cost.mean() / vote_cost),
            "asked": float(np.mean([len(line["asked"]) for line in mine])),
            "ece": expected_calibration_error(np.array([line["p_correct"] for line in mine]), right),
        }
        if policy == "route":
            score = np.array([line["score"] for line in mine])
            weak, strong = o.right[at][:, column[pair[0]]], o.right[at][:, column[pair[1]]]
            cpt = {f"cpt{round(s * 100)}": calls_for(s, score, weak, strong) for s in (0.5, 0.8)}
            figures[policy] |= {"pair": list(pair), "apgr": apgr(score, weak, strong), **cpt}
    return figures


def _is_right(o: Outcomes, i: int, line: dict[str, Any], column: dict[str, int]) -> float:
    for model in line["asked"]:
        j = column[model]
        if o.answers[i][j] == line["answer"] and (line["answer"] is not None or line["policy"] == "route"):
            return float(o.right[i, j])
    return 0.0


def main() -> None:
    """Fit, decide, judge, tell."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--train", type=Path, required=True)
    where = options.add_mutually_exclusive_group(required=True)
    where.add_argument("--test", type=Path)
    where.add_argument("--folds", type=int)
    options.add_argument("--decisions", type=Path)
    options.add_argument("--embeddings", type=Path, help="the folder of a sentence-embedding model: model.onnx, tokenizer.json")
    options.add_argument("--only", help="one task, as DATA.TASK")
    options.add_argument("--json", action="store_true")
    args = options.parse_args()
    train = {r.name: r for r in recorded(args.train)}
    test = list(recorded(args.test)) if args.test else []
    for folder, found in ((args.train, train), (args.test, test)):
        if folder is not None and not found:
            sys.exit(f"no questions.TASK.jsonl.gz under {folder}")
    if args.only is not None and args.only not in train:
        sys.exit(f"no task {args.only} under {args.train}: there are {', '.join(train)}")
    if args.folds is not None and args.folds < 2:
        options.error("--folds: two or more, so that each is judged by what the others taught")
    meaning = None if args.embeddings is None else Meaning(Embedder.of(args.embeddings))
    report = {}
    for name, part in train.items():
        other = counterpart(part, test)
        if args.only in (None, name) and (args.folds or other):
            everything = list(train.values())
            lines, figures = once(part, other, everything, meaning) if other else crossed(part, everything, args.folds, meaning)
            report[name] = figures
            if args.decisions:
                args.decisions.mkdir(parents=True, exist_ok=True)
                (args.decisions / f"{name}.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
            if not args.json:
                tell(name, figures)
    if not report:
        sys.exit(f"{args.test} has no part of {args.only or ', '.join(train)}: nothing can be judged")
    if args.json:
        print(json.dumps(report, indent=1))


def counterpart(part: Recorded, test: Sequence[Recorded]) -> Recorded | None:
    """Return the test part of the same data set and task, else the only one of that task; stop where several data sets have it."""
    task = part.name.rsplit(".", 1)[-1]
    found = [r for r in test if r.name == part.name] or [r for r in test if r.name.rsplit(".", 1)[-1] == task]
    if len(found) > 1:
        sys.exit(f"{part.name}: {' and '.join(r.name for r in found)} are test parts of that task; call the folder as the training part's")
    return found[0] if found else None


def complete(task: Recorded) -> tuple[Recorded, list[str]]:
    """Return the questions that every model has a response to, and what to say of the others: a policy cannot be judged on those."""
    there = ~np.isnan(task.outcomes.right).any(axis=1)
    if there.all():
        return task, []
    if not there.any():
        sys.exit(f"{task.name}: no question has a response of every model: nothing can be judged on it")
    said = f"{len(there) - there.sum():,} of {len(there):,} questions lack some model's response: nothing is judged on them"
    return task.rows(np.flatnonzero(there).astype(np.int64)), [said]


def usable(task: Recorded) -> list[str]:
    """Return what is odd about the task; stop where no figure of it would be honest."""
    try:
        return [*sound(task.outcomes), *task.doubts]
    except InputError as error:
        sys.exit(f"{task.name}: {error}")


def once(
    part: Recorded, test: Recorded, everything: Sequence[Recorded], meaning: Meaning | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Fit on the whole training part, judge on the test part."""
    other, said = complete(of_models(test, part.outcomes.models))
    usable(other)  # what nothing can be learned from judges nothing
    learned = fitted(part, everything, meaning)
    learned.facts["warnings"] += [*said, *other.doubts]
    shared = shared_questions(part.outcomes.prompts, other.outcomes.prompts)
    if shared:
        learned.facts["warnings"].append(f"{shared} test questions stand in the training part too: figures on them are memory")
    lines = decided(learned, other)
    promise = {"guarantee": promise_over_splits(*_levels(learned, other))} if learned.policies.frugal else {}
    return lines, learned.facts | judge(other, lines, learned.facts["pair"]) | promise


def crossed(
    part: Recorded, everything: Sequence[Recorded], count: int, meaning: Meaning | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Let each fold be judged by what the others taught; APGR is the folds' mean, weighed by the gaps there were to recover.

    CPT is left out: scores of different fits are no one order, and a fold's share of calls is no part of the whole's.
    """
    judges, said = complete(part)
    fold = folds(part.outcomes.prompts, count, salt="quality")
    lines: list[dict[str, Any]] = []
    facts: dict[str, Any] = {}
    area, gaps, levels = [], [], []
    for f in range(count):
        out, _ = complete(part.rows(np.flatnonzero(fold == f).astype(np.int64)))
        learned = fitted(part.rows(np.flatnonzero(fold != f).astype(np.int64)), everything, meaning)
        mine = decided(learned, out)
        lines += mine
        facts = learned.facts
        weak, strong = (out.outcomes.models.index(m) for m in facts["pair"])
        gaps.append(float((out.outcomes.right[:, strong] - out.outcomes.right[:, weak]).sum()))
        area.append(judge(out, mine, facts["pair"])["route"]["apgr"])
        levels += [_levels(learned, out)] if learned.policies.frugal else []
    facts["warnings"] += said
    figures = facts | judge(judges, lines, facts["pair"])
    figures["route"] = {name: value for name, value in figures["route"].items() if not name.startswith("cpt")}
    figures["route"]["apgr_by_fold"] = [round(a, 4) for a in area]
    figures["route"]["apgr"] = float(
        np.nansum(np.multiply(area, gaps)) / np.sum(gaps)
    )  # a plain mean is too high: small gaps divide by little
    if (cascade := cascade_over_splits(judges.outcomes)) is not None:
        figures["cascade"] = cascade
    if levels:
        figures["guarantee"] = promise_over_splits(*_joined(levels))
    return lines, figures


def _levels(learned: Fitted, test: Recorded) -> tuple[Floats, Floats, Floats]:
    """Return loss against the best single model and cost, at each rung from the safest, and that model's cost; column 0 is it alone."""
    policy, o = learned.policies.frugal[Goal.BEST], test.outcomes
    right, cost = at_every_rung(policy, o, learned.policies.gate.p_right(o.prompts, learned.vectors(o.prompts)))
    best = o.models.index(learned.policies.best)
    losses = np.hstack([np.zeros((len(o), 1)), o.right[:, [best]] - right])
    return losses, np.hstack([o.cost_usd[:, [best]], cost]), o.cost_usd[:, best]


def _joined(levels: Sequence[tuple[Floats, Floats, Floats]]) -> tuple[Floats, Floats, Floats]:
    losses, cost, single = (np.concatenate([part[i] for part in levels]) for i in (0, 1, 2))
    return losses, cost, single


def promise_over_splits(losses: Floats, cost: Floats, single: Floats, bound: float = 0.01, splits: int = 200) -> dict[str, Any]:
    """Keep "not below the best single model by more than a point" on one random half, look whether it held on the other.

    `learn` promises at 95 %, of rows without end. Here the other half is itself a sample as large as the first: the difference of two
    halves spreads by the root of two more than one half does around the truth, so that a promise for the other half at 95 % is one at 99 %
    for the truth (1.645 times that root is 2.33). `as_learned` is the promise as `learn` makes it, which is to hold on the other half in
    88 % of splits or more (1.645 divided by that root is 1.163).
    """
    strict = _over_splits(losses, cost, single, bound, splits, 0.99)
    as_learned = {"level": LEARNED_LEVEL, **_over_splits(losses, cost, single, bound, splits, LEARNED_LEVEL)}
    more_rows = keep_promise(losses[:, 1:], bound, level=0.99).more_rows
    return {"bound": bound, "splits": splits, **strict, "more_rows": more_rows, "as_learned": as_learned}


def _over_splits(losses: Floats, cost: Floats, single: Floats, bound: float, splits: int, level: float) -> dict[str, float]:
    dice = np.random.default_rng(0)
    held, kept, spent = [], [], []
    for _ in range(splits):
        order = dice.permutation(len(losses))
        here, there = np.array_split(order, 2)
        promise = keep_promise(losses[here, 1:], bound, level=level)
        rung = promise.index + 1 if promise.kept else 0
        held.append(losses[there, rung].mean() <= bound)
        kept.append(promise.kept)
        spent.append(cost[there, rung].mean() / single[there].mean())
    return {"held": float(np.mean(held)), "found_cheaper": float(np.mean(kept)), "of_best": float(np.mean(spent))}


def cascade_over_splits(outcomes: Outcomes, bound: float = 0.01, splits: int = 200) -> dict[str, Any] | None:
    """Learn a cascade's threshold on one random half, promise included, and look on the other: a cheap pair that agrees, else the best.

    The pair: the two most accurate models at a quarter of the best one's cost or less; None where there are not two. A third of the half
    tests the promise, so that it is to hold on the other half in 92 % of splits or more (1.645 divided by the root of 4/3 is 1.425).
    """
    best, cost = best_model(outcomes), outcomes.mean_cost_usd
    cheap = sorted((m for m in outcomes.priced if cost[m] <= cost[best] / 4), key=lambda m: -outcomes.accuracy[m])[:2]
    if len(cheap) < 2:
        return None
    climb, single = _pair_then_best(outcomes, cheap, best), outcomes.columns([best])
    dice = np.random.default_rng(0)
    held, kept, spent = [], [], []
    for split in range(splits):
        here, there = np.array_split(dice.permutation(len(outcomes)), 2)
        prompts = tuple(f"{split}: {outcomes.prompts[i]}" for i in here)  # so that rows are kept back by chance, each time others
        mine = climb.rows(here)
        mine = replace(mine, tiers=replace(mine.tiers, prompts=prompts))
        found, _ = fit_thresholds(mine, replace(single.rows(here), prompts=prompts), (0,), bound)
        right, usd = single.right[there, 0], single.cost_usd[there, 0]
        walk = Way.of(climb.rows(there), found.worth).walk(found.levels) if found.levels else None
        held.append(walk is None or (right - walk.right).mean() <= bound)
        kept.append(walk is not None)
        spent.append(1.0 if walk is None else walk.cost_usd.mean() / usd.mean())
    means = {name: float(np.mean(of)) for name, of in (("held", held), ("found_cheaper", kept), ("of_best", spent))}
    return {"pair": [outcomes.models[m] for m in cheap], "bound": bound, "splits": splits, **means}


def _pair_then_best(outcomes: Outcomes, pair: Sequence[int], best: int) -> Climb:
    one, other = pair
    said = [(row[one], row[other]) for row in outcomes.answers]
    share = np.array([1.0 if a is not None and a == b else 0.5 for a, b in said])
    first = np.array([one if a is not None else other for a, _ in said])
    right = np.stack([outcomes.right[np.arange(len(said)), first], outcomes.right[:, best]], axis=1)
    cost = np.stack([outcomes.cost_usd[:, [one, other]].sum(axis=1), outcomes.cost_usd[:, best]], axis=1)
    stated = np.stack([share, np.full(len(said), np.nan)], axis=1)
    rungs = ("pair by agreement", outcomes.models[best])
    tiers = Outcomes(rungs, outcomes.prompts, right, ((None, None),) * len(said), cost, outcomes.kinds, stated=stated)
    return Climb("pair", rungs, "", tiers, np.tile([2.0, 1.0], (len(said), 1)))


def tell(name: str, figures: dict[str, Any]) -> None:
    """Print one task's figures for a person."""
    best = f"{figures['best_single']} {figures['best_accuracy']:.2%} at ${figures['best_usd_per_1k']:.4f} per 1,000"
    print(f"\n{name}  n={figures['n']}  best single {best}")
    for warning in figures["warnings"]:
        print(f"  note: {warning}")
    if "vote_accuracy" in figures:
        print(f"  log-odds vote of all {figures['vote_accuracy']:.2%} at ${figures['vote_usd_per_1k']:.3f}")
    for policy, f in ((p, f) for p, f in figures.items() if isinstance(f, dict) and "accuracy" in f):
        area = f"  APGR {f['apgr']:.3f} ({' -> '.join(f['pair'])})" if "apgr" in f else ""
        gain = f"{100 * f['gain']:+.2f} ± {196 * f['gain_se']:.2f} points"
        cost = f"${f['usd_per_1k']:.4f} = {f['of_best']:.1%} of the best's, {f['of_vote']:.1%} of the vote's cost"
        print(f"  {policy:12s} {f['accuracy']:.2%} ({gain}) at {cost}, {f['asked']:.2f} asked, ECE {f['ece']:.3f}{area}")
    if "guarantee" in figures:
        g = figures["guarantee"]
        for words, one in (("at 99 %", g), ("as learn promises it, at 95 %", g["as_learned"])):
            held = f"held in {one['held']:.1%} of {g['splits']} splits at {one['of_best']:.1%} of the best's cost"
            print(f"  not below the best by more than {100 * g['bound']:.0f} point, {words}: {held}")
    if "cascade" in figures:
        c = figures["cascade"]
        held = (
            f"held in {c['held']:.1%} of {c['splits']} splits at {c['of_best']:.1%} of the best's cost, found in {c['found_cheaper']:.1%}"
        )
        print(f"  learned threshold, {' and '.join(c['pair'])} agree or else the best, promised at 95 %: {held}")
    print(f"  fit {figures['fit_cpu_s']} s of CPU; a route decision {figures['route_ms_p50']} ms (p99 {figures['route_ms_p99']} ms)")


if __name__ == "__main__":
    main()
