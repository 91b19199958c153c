"""Rollout: finished rows go in, and how far the challenger may go comes out: the next stage, no further for now, or an end to it.

A machine without a clock. Its state follows from the rows alone, and a row tells by its propensity at what share it was drawn: whoever
begins anew feeds it the journal's rows, and finds at least the stage that was reached, and an end that was made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from math import isclose

from partsong.contracts import Probability, RowRecord, Task
from partsong.evaluation.guardrails import Guard, Watch
from partsong.evaluation.marked import marked
from partsong.evaluation.trial import Trial
from partsong.routing.complexity import complexity_of
from partsong.routing.experiments import Experiment, Rollout, Shadow

__all__ = ["Advanced", "Held", "RolloutInstruction", "RolloutState", "Rollouts", "Stopped", "trial_of"]


@dataclass(frozen=True, slots=True)
class Advanced:
    """The next stage begins."""

    name: str
    share: float
    guards: tuple[Guard, ...]

    def __str__(self) -> str:
        held = "; ".join(map(str, self.guards)) or "there are no guardrails"
        return f"{self.name} goes on to {self.share * 100:.4g} % of the rows for the challenger: {held}"


@dataclass(frozen=True, slots=True)
class Held:
    """The stage has its rows, but a guardrail stands against the next one; told once for each reason."""

    name: str
    share: float
    guard: Guard

    def __str__(self) -> str:
        return f"{self.name} stays at {self.share * 100:.4g} %: {self.guard}"


@dataclass(frozen=True, slots=True)
class Stopped:
    """A guardrail is surely broken: the champion answers every row from now on."""

    name: str
    guard: Guard
    share: float = 0.0

    def __str__(self) -> str:
        return f"{self.name} is stopped, the champion answers every row from now on: {self.guard}"


RolloutInstruction = Advanced | Held | Stopped


class RolloutState:
    """Where one rollout stands."""

    def __init__(self, name: str, rollout: Rollout) -> None:
        self._name = name
        self._stages = rollout.stages
        self._watch = Watch(rollout.guardrails)
        self._at = 0
        self._rows = 0
        self._held: set[str] = set()
        self._is_over = False

    @property
    def share(self) -> float:
        """The challenger's share of rows from now on."""
        return 0.0 if self._is_over else self._stages[self._at].share

    def reached(self, share: float) -> bool:
        """Take that the rollout had got to this share, 0 being its end; return whether that is news."""
        before = self.share
        self._catch_up(share)
        return self.share != before

    def saw(self, trial: Trial) -> RolloutInstruction | None:
        """Take a finished row; return what changes."""
        self._catch_up(trial.share)
        if self._is_over:
            return None
        self._watch.saw(trial)
        self._rows += isclose(trial.share, self.share)
        if (broken := self._watch.broken) is not None:
            self._is_over = True
            return Stopped(self._name, broken)
        needed = self._stages[self._at].rows
        return None if needed is None or self._rows < needed or self._at + 1 == len(self._stages) else self._next()

    def _next(self) -> RolloutInstruction | None:
        guards = self._watch.guards
        against = next((guard for guard in guards if guard.state != "within"), None)
        if against is None:
            self._at, self._rows = self._at + 1, 0
            return Advanced(self._name, self.share, guards)
        if f"{self._at} {against.name}" in self._held:
            return None
        self._held.add(f"{self._at} {against.name}")
        return Held(self._name, self.share, against)

    def _catch_up(self, share: float) -> None:
        """Go to this share, or stay where it is no later stage's: a row was drawn at it, or another run had got there."""
        self._is_over = self._is_over or share == 0.0
        later = next((at for at, stage in enumerate(self._stages) if at > self._at and isclose(stage.share, share)), None)
        if later is not None:
            self._at, self._rows = later, 0


class Rollouts:
    """All rollouts of a mesh, as one run works them."""

    def __init__(self, experiments: Mapping[str, Experiment]) -> None:
        self.going: Mapping[str, Rollout] = {
            name: one for name, one in experiments.items() if isinstance(one, Rollout) and one.decided is None
        }
        """Those that nobody has decided."""
        self._states = {name: RolloutState(name, rollout) for name, rollout in self.going.items()}

    @property
    def shares(self) -> dict[str, Probability]:
        """The challenger's share now, by experiment."""
        return {name: state.share for name, state in self._states.items()}

    def reached(self, name: str, share: float) -> bool:
        """See RolloutState.reached; of a rollout that is going."""
        return self._states[name].reached(share)

    def saw(self, record: RowRecord) -> RolloutInstruction | None:
        """Take a finished row, of whatever route."""
        name = "" if record.reply.route is None else record.reply.route.experiment
        trial = trial_of(self.going[name], record) if name in self.going else None
        return None if trial is None else self._states[name].saw(trial)


def trial_of(experiment: Experiment, record: RowRecord, rating: float | None = None) -> Trial | None:
    """Return the trial that a row of the experiment is; None when no arm was drawn for it.

    `rating` is what users made of the answer, in [0, 1]; a label outranks it.
    """
    route, task = record.reply.route, record.task
    if route is None or route.arm is None or route.propensity is None or task is None:
        return None
    share = route.propensity if route.arm == "challenger" else 1.0 - route.propensity
    by_row = experiment.key == "id" or isinstance(experiment, Shadow)  # where both arms answer, none is drawn by the key
    key = _row_key(task) if by_row else experiment.key_of(task)
    labelled = marked(record)
    right = rating >= 0.5 if labelled is None and rating is not None else labelled
    return Trial.of(route.arm, share, record.reply, right, complexity_of(task), key)


def _row_key(task: Task) -> str:
    """Return what tells the row from others in any run: the id alone may be its number there, and whole texts would take much room."""
    return blake2b(f"{task.id} {task.text}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
