"""Experiments: a champion and a challenger on the same stream of rows, and which of them answers a row.

The arm is drawn by a hash of the row's key, salted by the experiment's name: the same key has the same arm on every machine and at every
time, and no other experiment's draw tells anything of this one's (Tang et al. 2010, KDD: layers).
"""

from abc import ABC
from collections.abc import Mapping
from hashlib import blake2b
from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt, model_validator

from partsong.contracts import Arm, Duration, Frozen, Name, Route, Task, Usd
from partsong.contracts.onekey import OneKey
from partsong.evaluation.guardrails import Guardrails

__all__ = [
    "EXPERIMENTS",
    "Experiment",
    "ExperimentField",
    "Rollout",
    "Shadow",
    "Split",
    "Stage",
    "recorded_runs",
    "rollout_run",
    "shadow_run",
]

_METADATA = "metadata."


class Experiment(Frozen, ABC):
    """Two ways of answering, one of which may take the other's place."""

    kind: ClassVar[str]
    """The key that names it in the mesh file: `split`."""

    champion: Name
    """The model or plan that is in use."""
    challenger: Name
    """The model or plan that may take its place."""
    key: Annotated[str, Field(pattern=r"^(id|metadata\..+)$")] = "id"
    """What the arm is drawn by: `id`, the row's own, or one of its metadata, as `metadata.user`; a row without it is drawn by its id."""
    guardrails: Guardrails = Guardrails()
    """How much worse than the champion the challenger may be."""
    decided: Arm | None = None
    """The arm that answers every row from now on: `partsong experiment promote` and `rollback` write it."""

    @model_validator(mode="after")
    def _differs(self) -> "Experiment":
        if self.champion == self.challenger:
            raise ValueError("champion and challenger are the same; name two")
        return self

    @property
    def first_share(self) -> float:
        """The challenger's share of the answers at the start."""
        return 0.0

    def key_of(self, task: Task) -> str:
        """Return what the row's arm is drawn by."""
        found = task.metadata.get(self.key.removeprefix(_METADATA)) if self.key.startswith(_METADATA) else None
        return task.id if found is None else str(found)

    def drawn(self, name: str, task: Task) -> float:
        """Return the row's place in [0, 1) in the experiment of this name."""
        digest = blake2b(self.key_of(task).encode("utf-8", "surrogatepass"), digest_size=8, salt=_salt(name)).digest()
        return int.from_bytes(digest, "big") / 2.0**64

    def routed(self, name: str, route: Route, task: Task, share: float | None = None) -> Route:
        """Return the route to the arm of a row that came to this experiment; `share` is the challenger's now, where it changes."""
        if self.decided is not None:
            return self._to(self.decided, 1.0, name, route, f"{name} is decided for the {self.decided}")
        now = self.first_share if share is None else share
        arm: Arm = "challenger" if self.drawn(name, task) < now else "champion"
        return self._to(arm, now if arm == "challenger" else 1.0 - now, name, route, f"{name} at {now * 100:.4g} %: {arm}")

    def _to(self, arm: Arm, propensity: float, name: str, route: Route, why: str) -> Route:
        use = self.challenger if arm == "challenger" else self.champion
        told = {"use": use, "reason": f"{route.reason}; {why}", "propensity": propensity, "experiment": name, "arm": arm}
        return route.model_copy(update=told)


class Split(Experiment):
    """A fixed share of the rows goes to the challenger: champion against challenger."""

    kind = "split"

    share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """The challenger's share of rows."""

    @property
    def first_share(self) -> float:
        """See Experiment.first_share."""
        return self.share


class Shadow(Experiment):
    """The champion answers every row; a share of them goes to the challenger too, in the background, for comparison alone."""

    kind = "shadow"

    share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Share of rows that the challenger gets too."""
    usd_per_run: Usd
    """What the challenger may cost in one run; rows past it are not shadowed. A limit of dollars a day is one of the challenger's models
    (`limits`)."""
    at_once: PositiveInt = 4
    """Rows that a coordinator shadows at the same time."""
    waiting: PositiveInt = 256
    """Rows that may wait for that in each coordinator, all that they ask in memory; past it they are dropped, and counted."""
    finish_within: Duration = 20.0
    """How long the engine's end waits for them."""

    def samples(self, name: str, task: Task) -> bool:
        """Return whether the challenger gets the row too."""
        return self.decided is None and self.drawn(name, task) < self.share

    def shadow_route(self, name: str) -> Route:
        """Return the route of a row's shadow."""
        return Route(use=self.challenger, reason=f"shadow of {name}", propensity=self.share, experiment=name, arm="challenger")


class Stage(Frozen):
    """One step of a rollout."""

    share: Annotated[float, Field(gt=0.0, le=1.0)]
    """The challenger's share of rows."""
    rows: PositiveInt | None = None
    """Rows of the experiment that are finished at this stage before the next begins; only the last has none."""


class Rollout(Experiment):
    """The challenger's share grows stage by stage while the guardrails hold, and falls to none when one is surely broken."""

    kind = "rollout"

    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    """The steps, from few rows to all of them."""

    @model_validator(mode="after")
    def _grows(self) -> "Rollout":
        shares = [stage.share for stage in self.stages]
        if any(later <= earlier for earlier, later in pairwise(shares)):
            raise ValueError("each stage's share is larger than the one before")
        if any(stage.rows is None for stage in self.stages[:-1]):
            raise ValueError("every stage but the last says after how many `rows` the next begins")
        return self

    @property
    def first_share(self) -> float:
        """See Experiment.first_share."""
        return self.stages[0].share


EXPERIMENTS: dict[str, type[Experiment]] = {"split": Split, "shadow": Shadow, "rollout": Rollout}
"""The kinds of experiments."""

ExperimentField = Annotated[Experiment, OneKey("experiment", EXPERIMENTS)]
"""An experiment as the mesh file writes it: `{split: {champion: A, challenger: B, share: 0.1}}`."""


def shadow_run(run: str, experiment: str) -> str:
    """Return the name under which the journal keeps a run's shadow rows: a run of its own, beside the one whose rows they are."""
    return f"{run}~{experiment}"


def rollout_run(name: str, rollout: Rollout) -> str:
    """Return the name under which the journal keeps what a rollout has come to, whichever run brought it there.

    A rollout of the same name with the same arms is the same one.
    """
    return f"rollout~{name}~{rollout.champion}~{rollout.challenger}"


def recorded_runs(run: str, experiments: Mapping[str, Experiment]) -> list[str]:
    """Return the names under which the journal keeps rows of a run: its own, and its shadows'."""
    return [run, *(shadow_run(run, name) for name, one in experiments.items() if isinstance(one, Shadow))]


def _salt(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=blake2b.SALT_SIZE).digest()
