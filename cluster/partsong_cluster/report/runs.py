"""Runs: folders of runs as ways that a section compares, with whatever keeps them from being compared."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import fmean

from partsong.contracts import Answer, BillLine, RowRecord
from partsong.contracts.feedback import Feedback
from partsong.evaluation.edits import edit_size
from partsong.evaluation.grading import Grader
from partsong.evaluation.marked import EXPECTED, expected_of, grader_of, marked
from partsong.evaluation.repeated import repeats_told
from partsong_cluster.batch.finished import finished_rows, manifest_of, plans_of, store_of
from partsong_cluster.batch.folder import read_snapshot
from partsong_cluster.report.billed import as_billed
from partsong_cluster.report.contents import CostUnit, Section
from partsong_cluster.report.gather import PlanRun, section_of
from partsong_cluster.report.memory import Memory

__all__ = ["Marker", "memory_of", "sections_of_runs"]

_LAST_ROW = 2**62
_RIGHT_FROM = 0.5


class Marker:
    """Marks rows of runs, and remembers by which kinds of grader."""

    def __init__(self, expected: str = EXPECTED, over_all: Grader | None = None) -> None:
        """`expected` is the metadata field with the right answer; `over_all` grades whatever a row says."""
        self.expected = expected
        self.over_all = over_all
        self._kinds: dict[str, Counter[str]] = {}
        self._said: dict[tuple[str, int], list[Feedback]] = {}

    def hear(self, folder: Path) -> None:
        """Take in what users said of the run's answers: it stands where a row has no label."""
        with closing(store_of(folder)) as store:
            for one in store.ratings(manifest_of(folder).run, 0, _LAST_ROW):
                self._said.setdefault((one.run, one.row), []).append(one)

    def __call__(self, record: RowRecord) -> bool | None:
        """See marked; None only where no user said anything either."""
        right = marked(record, self.expected, self.over_all)
        said = self._said.get((record.run, record.row), ())
        if right is None and (scores := [one.score for one in said if one.score is not None]):
            self._kinds.setdefault(record.run, Counter())["feedback"] += 1
            return fmean(scores) >= _RIGHT_FROM
        if right is not None and (grader := self.over_all or grader_of(record)) is not None:
            self._kinds.setdefault(record.run, Counter())[grader.kind] += 1
        return right

    def edit(self, record: RowRecord) -> float | None:
        """Return how much of the row's answer people changed, on average; None when nobody said."""
        texts = [one.edited for one in self._said.get((record.run, record.row), ()) if one.edited is not None]
        return fmean(edit_size(record.reply.text, text) for text in texts) if texts and isinstance(record.reply, Answer) else None

    def kinds(self, folder: Path) -> tuple[str, ...]:
        """Return the kinds that the run's rows were read with, most used first."""
        return tuple(kind for kind, _ in self._kinds.get(manifest_of(folder).run, Counter()).most_common())


def sections_of_runs(folders: Sequence[Path], mark: Marker) -> list[tuple[Section, Sequence[Path]]]:
    """Return a section for the runs of each input, in the order given: only runs over the same input are compared row by row.

    Rows that one of the meshes was learned from are left out for all.
    """
    by_input: dict[str, list[Path]] = {}
    folders = list(dict.fromkeys(folders))
    for folder in folders:
        by_input.setdefault(manifest_of(folder).input_hash, []).append(folder)
    for folder in folders:
        mark.hear(folder)
    memory = memory_of(folders)
    names = dict(zip(folders, _names(folders), strict=True))
    return [(_section([(names[folder], folder) for folder in same], mark, memory), same) for same in by_input.values()]


def memory_of(folders: Sequence[Path]) -> Memory:
    """Return what the meshes of these runs were learned from; a run of one model goes by nothing learned."""
    return Memory.of([folder for folder in folders if not _is_single(folder)])


def _section(named: Sequence[tuple[str, Path]], mark: Marker, memory: Memory) -> Section:
    runs = [PlanRun(name, "", partial(_records, folder, memory), single=_is_single(folder)) for name, folder in named]
    manifest = manifest_of(named[0][1])
    asked = ((record.task.text, expected_of(record, mark.expected)) for record in runs[0].records() if record.task is not None)
    notes = (*memory.notes([folder for _, folder in named]), *repeats_told(asked))
    return section_of(manifest.input, "", _unit(runs), runs, grade=mark, edit=mark.edit, samples=0, notes=notes)


def _records(folder: Path, memory: Memory) -> Iterator[RowRecord]:
    plans = plans_of(folder)
    return (as_billed(record, plans) for record in finished_rows(folder) if not memory.has(record))


def _is_single(folder: Path) -> bool:
    use, models = manifest_of(folder).use, read_snapshot(folder).get("models", {})
    return use in models or (use is None and len(models) == 1 and not read_snapshot(folder).get("plans"))


def _unit(runs: Sequence[PlanRun]) -> CostUnit:
    """Return dollars, unless nothing costs any and processor time was told."""
    if any(line.cost_usd for line in _bills(runs)):
        return "usd"
    return "cpu_s" if any(line.cpu_s for line in _bills(runs)) else "usd"


def _bills(runs: Sequence[PlanRun]) -> Iterator[BillLine]:
    return (line for run in runs for record in run.records() for line in record.reply.bill)


def _names(folders: Sequence[Path]) -> Iterator[str]:
    """Yield a name for each run: its folder's and what answered; the whole path where two folders are called alike.

    A replay is told from what it replays by that word.
    """
    manifests = [manifest_of(folder) for folder in folders]
    seen = Counter((folder.name, bool(manifest.replay_of)) for folder, manifest in zip(folders, manifests, strict=True))
    for folder, manifest in zip(folders, manifests, strict=True):
        name = folder.name if seen[folder.name, bool(manifest.replay_of)] == 1 else str(folder)
        use = f" ({manifest.use})" if manifest.use not in (None, folder.name) else ""
        yield f"{name}{use}{' replayed' if manifest.replay_of and folder.name != 'replayed' else ''}"
