"""Estimate: the most that a row can cost by the mesh file's prices, before any call is made."""

from collections import Counter
from collections.abc import Mapping
from functools import cached_property

from partsong.contracts import Failure, ModelSpec, Route, Task, Usage
from partsong.mesh import Mesh
from partsong.mesh.priced import check_priced
from partsong.plans import Plan
from partsong.pool.forecast import assumed_usage

__all__ = ["Estimator"]


class Estimator:
    """Counts every call that a plan may come to, of rows with a schema each one's repair too; retries after a failure are left out.

    Tokens are an estimate: four characters each, and of what a plan adds to a prompt (proposals, drafts) nothing.
    """

    def __init__(self, mesh: Mesh, use: str | None = None) -> None:
        """`use` is the model or plan of all rows, where one is given."""
        self._mesh = mesh
        self._use = use
        self._router = mesh.router()
        self._known: dict[str, Counter[str]] = {}

    def route(self, task: Task) -> Route | Failure:
        """Return where the row would go."""
        return self._router.decide(task if self._use is None else task.model_copy(update={"use": self._use}))

    def most_usd(self, task: Task) -> float:
        """Return the most that the row is thought to cost; 0 when it goes nowhere."""
        route = self.route(task)
        if isinstance(route, Failure) or self._is_free:
            return 0.0
        usage = self.usage(task)
        repairs = 1 if task.answer_schema is None else 2
        return repairs * sum(count * self._call_usd(name, usage) for name, count in self.calls(route.use).items())

    def usage(self, task: Task) -> Usage:
        """Return what one call of the row is thought to take at most."""
        return assumed_usage(task)

    def calls(self, name: str) -> Mapping[str, int]:
        """Return how often each model may be asked when this model or plan answers one row."""
        if name not in self._known:
            plan = self._mesh.plans.get(name)
            self._known[name] = Counter({name: 1}) if plan is None else self._of_plan(plan)
        return self._known[name]

    def _of_plan(self, plan: Plan) -> Counter[str]:
        calls = Counter[str]()
        for asked, times in Counter(plan.most_asks()).items():
            calls.update({model: times * count for model, count in self.calls(asked).items()})
        return calls

    def check_priced(self) -> None:
        """Raise MeshError when a model that may be asked has no price: a budget could not hold."""
        check_priced(self._mesh, self._use)

    @cached_property
    def _is_free(self) -> bool:
        return all(_call_usd(spec, Usage(prompt_tokens=1, completion_tokens=1)) == 0 for spec in self._mesh.models.values())

    def _call_usd(self, name: str, usage: Usage) -> float:
        """Return the model's or its dearest fallback's."""
        spec = self._mesh.models[name]
        return max(_call_usd(self._mesh.models[model], usage) for model in (name, *spec.fallbacks))


def _call_usd(spec: ModelSpec, usage: Usage) -> float:
    return spec.price.cost_usd(usage) if spec.price else 0.0
