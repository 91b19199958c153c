"""Grown: a small decision tree fitted to outcomes, in the conditions that a person would write (CART on what each model is worth)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from partsong.contracts import Task
from partsong.errors import InputError
from partsong.evaluation.intervals import wilson
from partsong.learning.folds import folds
from partsong.learning.outcomes import Bools, Floats, Ints, Outcomes, sound
from partsong.learning.policies import usual_value_usd
from partsong.routing.traits import Trait, traits
from partsong.routing.tree import Tree

if TYPE_CHECKING:
    from sklearn.tree import DecisionTreeRegressor

__all__ = ["Grown", "Leaf", "Worth", "grown"]

_FEWEST = 20
"""Rows of a leaf at least; of fewer the better model is chance."""
_PRIOR_ROWS = 5
"""What all rows say of a model counts as so many rows of each leaf."""
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Worth:
    """What asking one model, or one after another way, gave."""

    use: str
    accuracy: float
    low: float
    high: float
    """95 % interval (Wilson)."""
    n: int
    """Rows on which it is known whether it was right."""
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where rows end."""

    rows: int
    chosen: Worth
    rival: Worth
    """The most accurate of the others there."""


@dataclass(frozen=True, slots=True)
class Grown:
    """A tree, and what it is worth."""

    tree: Tree
    leaves: dict[tuple[str, ...], Leaf]
    """By the leaf's place in the tree."""
    judged: Worth
    """What trees grown in the same way gave on rows that they had not seen."""
    single: Worth
    """What one model for all rows gave there: on each part, the one that was worth most on the others."""
    rows: int
    """Those that say of some model whether it was right; the others teach nothing."""
    value_usd: float
    """What a right answer counted."""
    warnings: tuple[str, ...]


def grown(
    tasks: Sequence[Task], outcomes: Outcomes, *, value_usd: float | None = None, depth: int = 3, hidden: frozenset[str] = frozenset()
) -> Grown:
    """Return a tree of at most this depth that sends each row to the model worth most there: a right answer's value less the price.

    The depth is the least that is worth about most on rows unseen: a single leaf where no tree is surely worth more than one model for
    all. `tasks` are the outcomes' rows. `value_usd`: the usual one where nobody says. InputError when no honest tree can come of them.
    """
    labelled = outcomes.labelled
    tasks, outcomes = [tasks[int(row)] for row in labelled], outcomes.rows(labelled)
    warnings = sound(outcomes)
    value_usd = usual_value_usd(outcomes) if value_usd is None else value_usd
    fewest = max(_FEWEST, len(tasks) // 50)
    if len(tasks) < 2 * fewest:
        what = f"{len(tasks)} rows are too few for a tree: each leaf wants {fewest}"
        raise InputError("too-few-outcomes", what, remedy=f"label at least {2 * fewest} rows")
    priced = list(outcomes.priced) or list(range(len(outcomes.models)))
    table = _Table(
        names=tuple(outcomes.models[m] for m in priced),
        right=_filled(outcomes.right[:, priced]),
        known=~np.isnan(outcomes.right[:, priced]),
        cost=np.nan_to_num(outcomes.cost_usd[:, priced]),
        value_usd=value_usd,
    )
    seen = traits(tasks, fewest, hidden)
    columns = np.array([trait.values for trait in seen], dtype=np.float64).reshape(len(seen), len(tasks)).T
    rows = _Rows(columns, table, folds(outcomes.prompts, _FOLDS, salt="tree"), fewest)
    judged, single = _judged(rows, depth)
    leaves: dict[tuple[str, ...], Leaf] = {}
    best = rows.fitted(rows.best_depth(depth))
    tree = _Saying(seen, rows, best).tree(0, np.arange(len(tasks)), (), leaves)
    return Grown(tree, leaves, judged, single, len(tasks), value_usd, tuple(warnings))


@dataclass(frozen=True, slots=True)
class _Table:
    names: tuple[str, ...]
    right: Floats
    """The model's mean where it is not known."""
    known: Bools
    cost: Floats
    value_usd: float

    @property
    def worth(self) -> Floats:
        """Rows x models."""
        return self.right * self.value_usd - self.cost

    def rows(self, which: Ints) -> "_Table":
        return _Table(self.names, self.right[which], self.known[which], self.cost[which], self.value_usd)

    def of(self, model: int) -> Worth:
        return self.given(self.names[model], np.full(len(self.right), model))

    def given(self, use: str, chosen: Ints) -> Worth:
        """Return what the model that each row is sent to gave; how often it was right by the rows on which that is known."""
        rows = np.arange(len(chosen))
        right, known = self.right[rows, chosen], self.known[rows, chosen]
        n = int(known.sum())
        low, high = wilson(int(right[known].sum()), n)
        return Worth(use, float((right[known] if n else right).mean()), low, high, n, float(self.cost[rows, chosen].mean()))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows to grow trees on."""

    columns: Floats
    table: _Table
    fold: Ints
    fewest: int

    def some(self, which: Ints) -> "_Rows":
        return _Rows(self.columns[which], self.table.rows(which), self.fold[which], self.fewest)

    def best_depth(self, most: int) -> int:
        """Return the least depth within a standard error of the one worth most on rows unseen (Breiman's rule); 0: one model for all."""
        worths = [self._worths(depth) for depth in range(most + 1)]
        best = max(worths, key=lambda worth: float(worth.mean()))
        lost = [best - worth for worth in worths]
        return next(depth for depth, less in enumerate(lost) if less.mean() <= less.std() / sqrt(len(less)))

    def fitted(self, depth: int) -> "_Fitted":
        """Fit; the tree looks at how models differ on a row, not at how hard the row is for all."""
        from sklearn.tree import DecisionTreeRegressor

        worth = self.table.worth
        usual = worth.mean(axis=0)
        if not depth or not self.columns.shape[1]:
            return _Fitted(None, {0: int(usual.argmax())})
        model = DecisionTreeRegressor(max_depth=depth, min_samples_leaf=self.fewest, random_state=0)
        model.fit(self.columns, worth - worth.mean(axis=1, keepdims=True))
        leaf = model.apply(self.columns)
        rows = {int(at): leaf == at for at in np.unique(leaf)}
        kept = {at: (worth[here].sum(axis=0) + _PRIOR_ROWS * usual) / (here.sum() + _PRIOR_ROWS) for at, here in rows.items()}
        return _Fitted(model, {at: int(means.argmax()) for at, means in kept.items()})

    def unseen(self, choose: Callable[["_Rows"], "_Fitted"]) -> Ints:
        """Return the model that each row is sent to by what the other parts taught."""
        chosen = np.zeros(len(self.columns), dtype=np.int64)
        for f in np.unique(self.fold):
            taught, held = np.flatnonzero(self.fold != f).astype(np.int64), np.flatnonzero(self.fold == f)
            chosen[held] = choose(self.some(taught)).chosen(self.columns[held])
        return chosen

    def _worths(self, depth: int) -> Floats:
        chosen = self.unseen(lambda taught: taught.fitted(depth))
        return np.asarray(self.table.worth[np.arange(len(chosen)), chosen], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A fitted tree, and the model that each of its leaves uses."""

    model: "DecisionTreeRegressor | None"
    use: dict[int, int]
    """What a leaf's few rows say is mixed with what all rows say."""

    def chosen(self, columns: Floats) -> Ints:
        if self.model is None:
            return np.full(len(columns), self.use[0], dtype=np.int64)
        return np.array([self.use[int(at)] for at in self.model.apply(columns)], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Saying:
    """Says a fitted tree in conditions."""

    seen: Sequence[Trait]
    rows: _Rows
    fitted: _Fitted

    def tree(self, node: int, here: Ints, place: tuple[str, ...], leaves: dict[tuple[str, ...], Leaf]) -> Tree:
        """Return the node as a tree, its leaves noted; a branch both of whose ends use the same model is one leaf."""
        nodes: Any = None if self.fitted.model is None else self.fitted.model.tree_
        if nodes is None or nodes.children_left[node] < 0:
            return self._leaf(self.fitted.use[node], here, place, leaves)
        column = int(nodes.feature[node])
        over = self.rows.columns[here, column] > nodes.threshold[node]
        then = self.tree(int(nodes.children_right[node]), here[over], (*place, "then"), leaves)
        other = self.tree(int(nodes.children_left[node]), here[~over], (*place, "else"), leaves)
        if then.use is None or then.use != other.use:
            return Tree(condition=self.seen[column].above(float(nodes.threshold[node])), then=then, otherwise=other)
        del leaves[*place, "then"], leaves[*place, "else"]
        return self._leaf(self.rows.table.names.index(then.use), here, place, leaves)

    def _leaf(self, chosen: int, here: Ints, place: tuple[str, ...], leaves: dict[tuple[str, ...], Leaf]) -> Tree:
        table = self.rows.table.rows(here)
        rivals = [m for m in range(len(table.names)) if m != chosen]
        rival = max(rivals, key=lambda m: float(table.right[:, m].mean()), default=chosen)
        leaves[place] = Leaf(len(here), table.of(chosen), table.of(rival))
        return Tree(use=table.names[chosen])


def _judged(rows: _Rows, depth: int) -> tuple[Worth, Worth]:
    """Return what trees give on parts they have not seen, and what the model gives there that was best for all of the others."""
    by_tree = rows.unseen(lambda taught: taught.fitted(taught.best_depth(depth)))
    alone = rows.unseen(lambda taught: taught.fitted(0))
    return rows.table.given("the tree", by_tree), rows.table.given("one model for all", alone)


def _filled(right: Floats) -> Floats:
    """Return the outcomes with each model's mean where one is not known."""
    return np.where(np.isnan(right), np.nanmean(right, axis=0), right)
