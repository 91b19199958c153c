"""Router: which model or plan a task goes to: the one it names, else the first rule that holds, else a learned gate, else the default.

Where that is an experiment, one of its arms.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from partsong.contracts import Failure, FailureCode, Route, Task
from partsong.errors import MeshError
from partsong.routing.experiments import Experiment
from partsong.routing.rules import RouteRule

__all__ = ["Decider", "LanguageOf", "Router"]

Decider = Callable[[Task], Route | None]
"""Says where a task should go, or None to leave it to the next one: the seat of a learned gate."""

LanguageOf = Callable[[str], str]
"""Names the language of a text by its ISO 639-1 code."""

_NO_SHARES: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class Router:
    """Decides routes; pure as far as its deciders and its detector are."""

    names: Sequence[str]
    """Every model, plan and experiment of the mesh."""
    rules: Sequence[RouteRule] = ()
    deciders: Sequence[Decider] = ()
    language_of: LanguageOf | None = None
    only: str | None = None
    """The default when no rule without `when` is there; None takes the only name there is."""
    experiments: Mapping[str, Experiment] = field(default_factory=dict)
    """Those of the names that are experiments."""

    def __post_init__(self) -> None:
        """Refuse a route on language when nothing can tell languages."""
        for number, rule in enumerate(self.rules, 1):
            if self.language_of is None and rule.when is not None and rule.when.language:
                raise MeshError(
                    "no-language-detector",
                    f"route {number} asks for the language, and no language detector is installed",
                    remedy="pip install 'partsong[specialists]' brings one (py3langid)",
                )

    def decide(self, task: Task, shares: Mapping[str, float] = _NO_SHARES) -> Route | Failure:
        """Return where the task goes and why, in words; a failure if nothing says so or it names what is not there.

        `shares` are the challengers' now, where a rollout has changed them.
        """
        route = self._chosen(task)
        experiment = None if isinstance(route, Failure) else self.experiments.get(route.use)
        if isinstance(route, Failure) or experiment is None:
            return route
        return experiment.routed(route.use, route, task, shares.get(route.use))

    def _chosen(self, task: Task) -> Route | Failure:
        if task.use is not None:
            return self._named(task.use)
        return self._ruled(task) or self._gated(task) or self._default()

    def _named(self, name: str) -> Route | Failure:
        if name in self.names:
            return Route(use=name, reason="named by the row")
        near = get_close_matches(name, self.names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self.names)}"
        return Failure(
            code=FailureCode.UNKNOWN_NAME, message=f"the row asks for {name!r}, which is no model, plan or experiment; {hint}", where=name
        )

    def _ruled(self, task: Task) -> Route | None:
        language_of = self.language_of or str  # never asked: see __post_init__
        for number, rule in enumerate(self.rules, 1):
            if rule.when is not None and not rule.when.unmet(task, language_of):
                return Route(use=rule.use, reason=f"rule {number}: {rule.when}")
        return None

    def _gated(self, task: Task) -> Route | None:
        return next((route for decider in self.deciders if (route := decider(task)) is not None), None)

    def _default(self) -> Route | Failure:
        for number, rule in enumerate(self.rules, 1):
            if rule.when is None:
                return Route(use=rule.use, reason=f"rule {number}: default")
        if self.only is not None or len(self.names) == 1:
            return Route(use=self.only or self.names[0], reason="the only one there is")
        return Failure(
            code=FailureCode.UNKNOWN_NAME,
            message="no route takes this row; name a model or plan in the row, or end `routes` with {use: NAME}",
        )
