"""Experiments: what those of one or more runs have come to, read back from the runs' folders."""

from collections.abc import Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from partsong.contracts import RowRecord
from partsong.errors import Place, RunError
from partsong.evaluation.standing import Gathering, RolloutStage, ShadowRows, Standing
from partsong.evaluation.trial import Trial
from partsong.routing.experiments import Experiment, ExperimentField, Rollout, Shadow, rollout_run
from partsong.routing.rollout import RolloutState, trial_of
from partsong_cluster.batch.finished import finished_rows, manifest_of, plans_of, recorded_rows, store_of
from partsong_cluster.batch.folder import read_snapshot
from partsong_cluster.outcomes.runs import mean_ratings
from partsong_cluster.report.billed import as_billed

__all__ = ["experiments_of", "standings_of"]

_EXPERIMENTS: TypeAdapter[dict[str, Experiment]] = TypeAdapter(dict[str, ExperimentField])
_LAST_ROW = 2**53
_EARLIER = "in an earlier run, as `partsong experiment decisions MESH` tells"


def experiments_of(folder: Path) -> Mapping[str, Experiment]:
    """Return the experiments of the mesh that the run was started with; RunError where there is no run."""
    manifest_of(folder)
    return _EXPERIMENTS.validate_python(read_snapshot(folder).get("experiments", {}))


def standings_of(folders: Sequence[Path], names: Sequence[str] = ()) -> list[Standing]:
    """Return how each experiment stands over all the runs, which follow each other in this order.

    `names` picks some; without them, those that no row came to are left out, unless that is all.
    RunError where the runs mean different experiments by one name, or have none of a name.
    """
    found: dict[str, _Read] = {}
    for folder in dict.fromkeys(folders):
        for name, experiment in experiments_of(folder).items():
            if not names or name in names:
                read = found.setdefault(name, _Read(name, experiment))
                read.check_same(experiment, folder)
                read.add(folder, experiment)
    for name in names:
        if name not in found:
            remedy = f"they have: {', '.join(sorted({n for folder in folders for n in experiments_of(folder)})) or 'none'}"
            raise RunError("no-experiment", f"no run has an experiment {name!r}", at=Place(str(folders[0])), remedy=remedy)
    standings = [read.standing() for read in found.values()]
    tried = [one for one in standings if one.champion.rows or one.challenger.rows]
    return standings if names else tried or standings


@dataclass(slots=True)
class _Read:
    """One experiment's rows, run by run."""

    name: str
    first: Experiment
    gathering: Gathering = field(init=False)
    latest: Experiment = field(init=False)
    sampled: int = 0
    shadowed: int = 0
    reached: dict[float, str] = field(default_factory=dict)
    """Shares that a rollout has got to, 0 being its end, each with the reason where that is known."""

    def __post_init__(self) -> None:
        self.gathering = Gathering(self.first.champion, self.first.challenger, self.first.guardrails)
        self.latest = self.first

    def check_same(self, experiment: Experiment, folder: Path) -> None:
        """Raise RunError where the name means something else."""
        if (experiment.kind, experiment.champion, experiment.challenger) != (self.first.kind, self.first.champion, self.first.challenger):
            what = f"{self.name} is {_in_words(experiment)} here, and {_in_words(self.first)} in an earlier run"
            raise RunError("other-experiment", what, at=Place(str(folder)), remedy="show them by themselves")
        self.latest = experiment

    def add(self, folder: Path, experiment: Experiment) -> None:
        """Take the rows of a run: first as they finished, to be summed up, then in the input's order, to be tested."""
        if isinstance(experiment, Shadow):
            self._add_shadowed(folder, experiment)
            return
        finished, trials, ratings = _Finished(), dict[int, Trial](), _ratings(folder)
        for record in finished_rows(folder):
            finished.add(record.row)
            if (trial := _trial(self.name, experiment, record, ratings.get(record.row))) is not None:
                trials[record.row] = trial
                self.gathering.count(record, trial)
        if isinstance(experiment, Rollout) and experiment.decided is None:
            self._reach(folder, experiment, {trial.share for trial in trials.values()})
        for row in sorted(trials):
            self.gathering.test(trials[row], waits=row >= finished.before)

    def _reach(self, folder: Path, rollout: Rollout, shares: Set[float]) -> None:
        """Take where the rollout has got to: by its own run in the store, or by the shares at which the rows here were drawn."""
        for record in recorded_rows(folder, rollout_run(self.name, rollout)):
            if (route := record.reply.route) is not None and route.propensity is not None:
                self.reached[route.propensity] = route.reason
        for share in shares:
            self.reached.setdefault(share, _EARLIER)

    def _add_shadowed(self, folder: Path, shadow: Shadow) -> None:
        """Take the rows of a run that both arms answered, with their bills' latency: live rows wait for their turn unlike shadows."""
        plans = plans_of(folder)
        shadows, lives = dict[int, Trial](), dict[int, Trial]()
        for record in (as_billed(one, plans) for one in finished_rows(folder, beside=self.name)):
            if (trial := _trial(self.name, shadow, record)) is not None:
                shadows[record.row] = trial
                self.gathering.count(record, trial)
        for record in (as_billed(one, plans) for one in finished_rows(folder)):
            if (trial := _trial(self.name, shadow, record)) is not None and record.task is not None:
                self.sampled += shadow.samples(self.name, record.task)
                if record.row in shadows:
                    lives[record.row] = trial
                    self.gathering.count(record, trial)
        self.shadowed += len(lives)
        for row in sorted(lives):
            self.gathering.test_both(lives[row], shadows[row])

    def standing(self) -> Standing:
        """Return what they come to."""
        return self.gathering.standing(self.name, self.first.kind, self.latest.decided, self._more())

    def _more(self) -> ShadowRows | RolloutStage | None:
        match self.latest:
            case Shadow():
                return ShadowRows(sampled=self.sampled, shadowed=self.shadowed)
            case Rollout(decided=None):
                state = RolloutState(self.name, self.latest)
                for share in self.reached:
                    state.reached(share)
                return RolloutStage(share=state.share, stopped=None if state.share else self.reached[0.0])
        return None


def _in_words(experiment: Experiment) -> str:
    return f"a {experiment.kind} of {experiment.champion} and {experiment.challenger}"


class _Finished:
    """Which rows of a run are."""

    def __init__(self) -> None:
        self._rows = bytearray()

    def add(self, row: int) -> None:
        """One more is."""
        self._rows.extend(bytes(max(0, row + 1 - len(self._rows))))
        self._rows[row] = 1

    @property
    def before(self) -> int:
        """The first row that is not: all before it are."""
        return (self._rows + b"\0").index(0)


def _ratings(folder: Path) -> Mapping[int, float]:
    with closing(store_of(folder)) as store:
        return mean_ratings(store.ratings(manifest_of(folder).run, 0, _LAST_ROW))


def _trial(name: str, experiment: Experiment, record: RowRecord, rating: float | None = None) -> Trial | None:
    route = record.reply.route
    return trial_of(experiment, record, rating) if route is not None and route.experiment == name else None
