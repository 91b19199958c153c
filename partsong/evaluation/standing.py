"""Standing: what an experiment has come to so far: both arms side by side, the test, the guardrails, and whether the split is as told."""

from collections import Counter

from pydantic import NonNegativeInt

from partsong.contracts import Arm, Frozen, Name, Probability, RowRecord
from partsong.evaluation.figure import Figure, share_of
from partsong.evaluation.guardrails import Guard, Guardrails, Watch
from partsong.evaluation.intervals import Interval
from partsong.evaluation.sample_ratio import MISMATCH, sample_ratio_p
from partsong.evaluation.sequential import SURE
from partsong.evaluation.summary import PlanSummary, Summing
from partsong.evaluation.trial import Trial

__all__ = ["Gathering", "RolloutStage", "ShadowRows", "Standing", "StratumLine"]


class StratumLine(Frozen):
    """Both arms on rows alike in what they ask."""

    stratum: str
    champion: Figure | None
    """Share that is right; None when no row is graded."""
    challenger: Figure | None


class ShadowRows(Frozen):
    """What became of the rows that a shadow was to get."""

    sampled: NonNegativeInt
    shadowed: NonNegativeInt

    @property
    def missing(self) -> int:
        """Rows without a shadow: no room, no money, no time, or still under way."""
        return self.sampled - self.shadowed


class RolloutStage(Frozen):
    """How far a rollout has got."""

    share: Probability
    """The challenger's share of rows from now on; 0 when the rollout stopped itself."""
    stopped: str | None
    """Why it stopped itself; None while it has not."""


class Standing(Frozen):
    """An experiment as of now."""

    name: Name
    kind: str
    """`split`, `shadow` or `rollout`."""
    decided: Arm | None
    """The arm that answers every row, when it was promoted or rolled back."""
    champion: PlanSummary
    challenger: PlanSummary
    difference: float | None
    """Challenger's accuracy less champion's, weighed by how likely each row's arm was; None when nothing is graded."""
    interval: Interval | None
    """95 % confidence sequence of it: holds at every look together."""
    e_value: float
    """What speaks for a difference in accuracy; 20 and more is sure at 95 %, however often one looks."""
    leads: Arm | None
    """Which arm is right more often so far; None when neither is."""
    may_stop: bool
    """Whether the difference is sure."""
    tested: NonNegativeInt
    """Graded rows that the test rests on; of rows with one key the first."""
    sample_ratio_p: Probability | None
    """How likely a split this uneven is by chance; None where none was drawn."""
    guards: tuple[Guard, ...]
    strata: tuple[StratumLine, ...]
    waiting: NonNegativeInt = 0
    """Finished rows behind one that is not: the test takes them when it is."""
    shadow: ShadowRows | None = None
    rollout: RolloutStage | None = None
    """Of a rollout that nobody has decided."""

    @property
    def is_split_as_told(self) -> bool:
        """Whether the arms have the rows that they should have."""
        return self.sample_ratio_p is None or self.sample_ratio_p >= MISMATCH


class Gathering:
    """Takes an experiment's rows: each is counted and tested."""

    def __init__(self, champion: str, challenger: str, limits: Guardrails) -> None:
        self._watch = Watch(limits)
        self._sums: dict[Arm, Summing] = {"champion": Summing(champion), "challenger": Summing(challenger)}
        self._graded: Counter[tuple[str, Arm]] = Counter()
        self._right: Counter[tuple[str, Arm]] = Counter()
        self._rows: Counter[Arm] = Counter()
        self._due: dict[Arm, float] = {"champion": 0.0, "challenger": 0.0}
        self._waiting = 0

    def count(self, record: RowRecord, trial: Trial) -> None:
        """Take a row for the sums, in any order."""
        self._sums[trial.arm].add(record, trial.right)
        if trial.right is not None:
            self._graded[trial.stratum, trial.arm] += 1
            self._right[trial.stratum, trial.arm] += trial.right

    def test(self, trial: Trial, *, waits: bool = False) -> None:
        """Take a row for the test, in the input's order; one that `waits` for an earlier row of its run is left for later."""
        self._waiting += waits
        if not waits and self._watch.saw(trial):
            self._rows[trial.arm] += 1
            self._due["challenger"] += trial.share
            self._due["champion"] += 1.0 - trial.share

    def test_both(self, champion: Trial, challenger: Trial) -> None:
        """Take a row that both arms answered for the test."""
        self._watch.saw_both(champion, challenger)

    def standing(self, name: str, kind: str, decided: Arm | None, more: ShadowRows | RolloutStage | None = None) -> Standing:
        """Return what all of it comes to; `more` is what its kind alone has to tell."""
        effect = self._watch.accuracy
        difference = effect.difference if effect.rows else None
        leads: Arm | None = None if not difference else "challenger" if difference > 0.0 else "champion"
        return Standing(
            name=name,
            kind=kind,
            decided=decided,
            champion=self._sums["champion"].summary(),
            challenger=self._sums["challenger"].summary(),
            difference=difference,
            interval=effect.interval() if effect.rows else None,
            e_value=effect.e_value,
            leads=leads,
            may_stop=effect.e_value >= SURE,
            tested=effect.rows,
            sample_ratio_p=self._ratio_p(),
            guards=self._watch.guards,
            strata=tuple(self._stratum(stratum) for stratum in sorted({stratum for stratum, _ in self._graded})),
            waiting=self._waiting,
            shadow=more if isinstance(more, ShadowRows) else None,
            rollout=more if isinstance(more, RolloutStage) else None,
        )

    def _stratum(self, stratum: str) -> StratumLine:
        champion, challenger = (share_of(self._right[stratum, arm], self._graded[stratum, arm]) for arm in ("champion", "challenger"))
        return StratumLine(stratum=stratum, champion=champion, challenger=challenger)

    def _ratio_p(self) -> float | None:
        arms: tuple[Arm, Arm] = ("champion", "challenger")
        if not self._rows.total():
            return None
        return sample_ratio_p([self._rows[arm] for arm in arms], [self._due[arm] for arm in arms])
