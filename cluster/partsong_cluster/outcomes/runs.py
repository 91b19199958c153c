"""Runs: their rows with every model's own reply to the plain task, whichever plan asked it; rows of several runs are joined."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean

from partsong.contracts import Answer, CallRecord, Completion, Failure, ModelSpec, RowRecord, Task
from partsong.contracts.feedback import Feedback
from partsong.contracts.task import KIND_FIELDS
from partsong.errors import InputError, Place, RunError
from partsong.evaluation.grading import Grader
from partsong.evaluation.marked import EXPECTED, expected_of, grader_of
from partsong.journal.store import Store
from partsong.learning.tabled import RatedAnswer, Replies, Tabled, tabled
from partsong.work.asked import Fingerprint
from partsong_cluster.batch.finished import finished_rows, manifest_of, runs_of, store_of
from partsong_cluster.outcomes.asked import asked_in, models_of_run, who

__all__ = ["Reading", "mean_ratings", "models_of", "outcomes_of_runs", "replies_of_runs"]

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Reading:
    """How a run's rows are read."""

    expected: str = EXPECTED
    """The metadata field with the right answer."""
    over_all: Grader | None = None
    """Grades whatever a row says."""
    kind_fields: tuple[str, ...] = KIND_FIELDS
    """The metadata fields with the kind of task, the first that a row has."""

    def row(self, record: RowRecord, task: Task) -> Replies:
        """Return the row, still without replies."""
        grader = self.over_all or grader_of(record)
        return Replies(record.custom_id, task, task.kind_by(self.kind_fields), expected_of(record, self.expected), grader)


def outcomes_of_runs(
    folders: Sequence[Path],
    reading: Reading,
    models: Mapping[str, ModelSpec] | None = None,
    judge: Callable[[Sequence[Replies]], Sequence[str]] = lambda _: (),
    also: Collection[str] = (),
) -> Tabled:
    """Return the outcomes of the runs' models, or of these: what else a model of the same name was is not theirs.

    InputError when no row holds a reply. `judge` gives rows verdicts where nobody else did, and says what to know of them; `also` are
    models that stand in the table even without a reply.
    """
    specs = models_of(folders) if models is None else models
    rows = list(replies_of_runs(folders, reading, specs))
    heard = [name for name in specs if any(name in row.replies for row in rows)]
    if not heard:
        what = "the runs hold no reply of a model to a row's plain task" + ("" if models is None else " as this mesh would ask it")
        remedy = "run each model over the rows (--model NAME), or a plan that asks them all"
        raise InputError("no-outcomes", what, at=Place(str(folders[0])), remedy=remedy)
    remarks = judge(rows)
    shown = [name for name in specs if name in heard or name in also]
    found = tabled(rows, shown, {name: price for name in shown if (price := specs[name].price) is not None})
    return replace(found, warnings=(*found.warnings, *remarks))


def models_of(folders: Sequence[Path]) -> Mapping[str, ModelSpec]:
    """Return the models of the meshes that the runs were started with; RunError where two of one name differ in what they answer."""
    found: dict[str, ModelSpec] = {}
    for folder in folders:
        manifest_of(folder)  # says so where there is no run
        for name, spec in models_of_run(folder).items():
            if name in found and who(name, found[name]) != who(name, spec):
                what = f"model {name!r} is another one in this run than in {folders[0]}"
                raise RunError("models-differ", what, at=Place(str(folder)), remedy="look at these runs one by one, or rename the model")
            found.setdefault(name, spec)
    return found


def replies_of_runs(folders: Sequence[Path], reading: Reading, models: Mapping[str, ModelSpec]) -> Iterable[Replies]:
    """Return the rows of all runs in the order they are first met; the same question under the same id and label is one.

    A model's reply counts where one of these runs asked that model about the row: what other runs of the store asked is none of theirs.
    """
    known = {name: who(name, spec) for name, spec in models.items()}
    prints = {name: Fingerprint(spec, name) for name, spec in models.items()}
    found: dict[tuple[str, str, str], Replies] = {}
    for folder in folders:
        runs, asked = runs_of(folder), asked_in([folder])
        with closing(store_of(folder)) as store:
            rows = _readable(folder)
            while records := list(islice(rows, _ROWS_AT_ONCE)):
                own = [{name: prints[name] for name in prints if known[name] in asked.get(record.row, ())} for record, _ in records]
                _hear(store, runs, records, own, reading, found)
    return found.values()


def _readable(folder: Path) -> Iterator[tuple[RowRecord, Task]]:
    return ((record, record.task) for record in finished_rows(folder) if record.task is not None)


def _hear(
    store: Store,
    runs: Sequence[str],
    records: Sequence[tuple[RowRecord, Task]],
    own: Sequence[Mapping[str, Fingerprint]],
    reading: Reading,
    found: dict[tuple[str, str, str], Replies],
) -> None:
    """Add what the store holds of these rows' `own` models: completions by what was asked, failures among the run's own calls.

    A completion that the run was given from the cache stands under another run's name.
    """
    run, numbers = runs[0], [record.row for record, _ in records]
    failures = {call.ask_hash: call for call in store.failed_calls(run, min(numbers), max(numbers))}
    asked = [{name: _plain_asks(task, one) for name, one in prints.items()} for (_, task), prints in zip(records, own, strict=True)]
    completions = store.cached([ask for row in asked for asks in row.values() for ask in asks], runs)
    ratings = mean_ratings(store.ratings(run, min(numbers), max(numbers)))
    for (record, task), plain in zip(records, asked, strict=True):
        fresh = reading.row(record, task)
        row = found.setdefault((record.custom_id, task.text, repr(fresh.expected)), fresh)
        if record.row in ratings and isinstance(record.reply, Answer):
            row.ratings.append(RatedAnswer(record.reply.text, ratings[record.row]))
        for name, asks in plain.items():
            reply = _reply(asks, completions, failures)
            if reply is not None and not isinstance(row.replies.get(name), Completion):
                row.replies[name] = reply


def mean_ratings(ratings: Sequence[Feedback]) -> Mapping[int, float]:
    """Return the mean score of each row that has any."""
    scores: dict[int, list[float]] = {}
    for one in ratings:
        if one.score is not None:
            scores.setdefault(one.row, []).append(one.score)
    return {row: fmean(given) for row, given in scores.items()}


def _plain_asks(task: Task, fingerprint: Fingerprint) -> tuple[bytes, ...]:
    """Return what the model is asked when it is asked the row's task: as it stands, and with log-probabilities, as trust rules want it."""
    with_logprobs = task.model_copy(update={"sampling": task.sampling.model_copy(update={"logprobs": True})})
    return fingerprint.of(with_logprobs), fingerprint.of(task)


def _reply(
    asks: Sequence[bytes], completions: Mapping[bytes, Completion], failures: Mapping[bytes, CallRecord]
) -> Completion | Failure | None:
    for ask in asks:
        if ask in completions:
            return completions[ask]
    failed = next((failures[ask] for ask in asks if ask in failures), None)
    if failed is None or isinstance(failed.reply, Completion):
        return None
    return failed.reply.model_copy(update={"cost_usd": failed.cost_usd})
