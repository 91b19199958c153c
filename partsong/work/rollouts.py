"""Rollouts at work: what each has come to is kept in the journal, so that later runs on the same store go on from there."""

import time
from collections.abc import Callable, Collection, Mapping

from partsong.contracts import Answer, Probability, Route, RowRecord
from partsong.journal.port import JournalPort
from partsong.routing.experiments import Experiment, rollout_run
from partsong.routing.rollout import Advanced, RolloutInstruction, Rollouts, Stopped

__all__ = ["KeptRollouts"]

_MOST = 1000
"""Stages that are read of a rollout."""
_PER_SHARE = 1_000_000
_UNTIL = "`partsong experiment rollback` or `promote` decides; another name begins anew"


class KeptRollouts:
    """All rollouts of a mesh, as one run works them and others on the same store have left them."""

    def __init__(
        self, experiments: Mapping[str, Experiment], journal: JournalPort, tell: Callable[[str], None], stops: Collection[str] = ()
    ) -> None:
        """`tell` hears, in words, where a rollout goes on, and what changes; `stops` are known to have stopped themselves."""
        self._rollouts = Rollouts(experiments)
        self._journal = journal
        self._tell = tell
        for name in self._rollouts.going.keys() & set(stops):
            self._rollouts.reached(name, 0.0)

    def __bool__(self) -> bool:
        return bool(self._rollouts.going)

    @property
    def shares(self) -> dict[str, Probability]:
        """The challenger's share now, by experiment."""
        return self._rollouts.shares

    async def begin(self) -> None:
        """Go to where earlier runs, and others at work, have brought each rollout."""
        for name, rollout in self._rollouts.going.items():
            news = ""
            for _, record in await self._journal.rows(rollout_run(name, rollout), 0, _MOST):
                route = record.reply.route
                if route is not None and route.propensity is not None and self._rollouts.reached(name, route.propensity):
                    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(record.at_s))
                    news = f"In run {record.custom_id}, {when} UTC: {route.reason}{'' if route.propensity else f'; {_UNTIL}'}"
            if news:
                self._tell(news)

    async def saw(self, record: RowRecord) -> RolloutInstruction | None:
        """Take a finished row; return what changes, which is durable by then."""
        change = self._rollouts.saw(record)
        if change is not None:
            self._tell(str(change))
        if isinstance(change, Advanced | Stopped):
            await self._journal.append([self._kept(change, record.run)])
            await self.begin()
        return change

    def _kept(self, change: Advanced | Stopped, run: str) -> RowRecord:
        """Return the change as a row of the rollout's own run: a share that others have recorded already stays as it was."""
        rollout = self._rollouts.going[change.name]
        route = Route(use=rollout.challenger, reason=str(change), propensity=change.share, experiment=change.name, arm="challenger")
        row = round(change.share * _PER_SHARE)
        name = rollout_run(change.name, rollout)
        return RowRecord(run=name, row=row, custom_id=run, reply=Answer(text="", route=route), at_s=time.time())
