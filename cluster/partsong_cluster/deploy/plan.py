"""Plan: what applying a deploy file would change in a system that runs, and what of it can be changed while it works."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from partsong_actors.setup import SystemSpec

from partsong.contracts import NOT_THE_ANSWER, Frozen, ModelSpec
from partsong.pool.built import NOT_THE_WORKER
from partsong_cluster.deploy.applied import Applied, Running
from partsong_cluster.deploy.overlay import system_spec

__all__ = ["Plan", "Step", "planned"]

Sign = Literal["+", "-", "~", "!"]
"""What is added, taken away, changed while it works, changed by ending the system and beginning it anew."""

_ONE_BY_ONE = "its workers are replaced one by one, when their calls are finished"
_ANSWERS = ("plans", "learned", "embeddings", "experiments", "routes", "tree", "gate", "fallbacks")


class Step(Frozen):
    """One difference."""

    sign: Sign
    what: str
    """What differs: `pool cheap`, `coordinators`."""
    field: str = ""
    """Which field of it, dotted; empty where all of it comes or goes."""
    before: Any = None
    """What is so now."""
    after: Any = None
    """What will be so."""
    note: str = ""
    """What that means for calls."""


class Plan(Frozen):
    """All differences between a system and a deploy file."""

    system: str
    """The system's name."""
    exists: bool
    """Whether it runs."""
    known: bool
    """Whether it is known what it was told to be."""
    steps: tuple[Step, ...] = ()

    @property
    def restarts(self) -> bool:
        """Whether the system has to end and begin anew."""
        return any(step.sign == "!" for step in self.steps)

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return self.exists and self.known and not self.steps


def planned(now: Running | None, after: Applied) -> Plan:
    """Return what applying would do; `now` is the system of that name, if it runs."""
    name = after.deploy.name
    if now is None:
        return Plan(system=name, exists=False, known=True, steps=tuple(_made(after)))
    if now.applied is None:
        return Plan(system=name, exists=True, known=False, steps=tuple(_assured(after)))
    return Plan(system=name, exists=True, known=True, steps=tuple(_changed(now.applied, after)))


def _made(after: Applied) -> Iterator[Step]:
    system = system_spec(after.deploy)
    yield Step(sign="+", what="journal", after=system.journal_shards)
    yield Step(sign="+", what="coordinators", after=system.coordinators)
    yield Step(sign="+", what="synthesizers", after=system.synthesizers)
    for name, spec in after.unpacked().models.items():
        yield Step(sign="+", what=f"pool {name}", after=_range(spec))


def _assured(after: Applied) -> Iterator[Step]:
    """Yield what is set whatever it was."""
    for name, spec in after.unpacked().models.items():
        yield Step(sign="~", what=f"pool {name}", after=_range(spec), note="what it was is not known")


def _changed(before: Applied, after: Applied) -> Iterator[Step]:
    if before.version != after.version:
        yield Step(sign="!", what="partsong", before=before.version, after=after.version)
    old, new = before.unpacked(), after.unpacked()
    yield from _pools(old.models, new.models)
    shown = old.model_dump(mode="json", by_alias=True), new.model_dump(mode="json", by_alias=True)
    yield from _fields("~", "accounts", shown[0]["accounts"], shown[1]["accounts"])
    differing = [part for part in _ANSWERS if shown[0][part] != shown[1][part]]
    if before.mesh_hash != after.mesh_hash:
        note = "another mesh answers; what was answered by this one stays in the journal"
        yield Step(
            sign="!", what=f"mesh ({', '.join(differing) or 'models'})", before=before.mesh_hash[:8], after=after.mesh_hash[:8], note=note
        )
    for part in ("store", "telemetry"):
        yield from _fields("!", part, shown[0][part], shown[1][part])
    yield from _actors(system_spec(before.deploy), system_spec(after.deploy))
    tenants = before.deploy.model_dump(mode="json")["tenants"], after.deploy.model_dump(mode="json")["tenants"]
    yield from _fields("~", "tenants", *tenants)


def _pools(old: Mapping[str, ModelSpec], new: Mapping[str, ModelSpec]) -> Iterator[Step]:
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new:
            yield Step(sign="-", what=f"pool {name}", before=_range(old[name]), note="its workers finish their calls, then they end")
        elif name not in old:
            yield Step(sign="+", what=f"pool {name}", after=_range(new[name]))
        else:
            was, will = (spec.model_dump(mode="json", by_alias=True) for spec in (old[name], new[name]))
            yield from map(_told, _fields("~", f"pool {name}", was, will))


def _told(step: Step) -> Step:
    """Return a pool's difference with what it means for calls."""
    top = step.field.partition(".")[0]
    if top not in NOT_THE_ANSWER:
        return step.model_copy(update={"sign": "!"})
    return step if top in NOT_THE_WORKER else step.model_copy(update={"note": _ONE_BY_ONE})


def _actors(old: SystemSpec, new: SystemSpec) -> Iterator[Step]:
    if new.coordinators != old.coordinators:
        grows = new.coordinators > old.coordinators
        note = "jobs that run already go on with those they have" if grows else ""
        yield Step(sign="~" if grows else "!", what="coordinators", before=old.coordinators, after=new.coordinators, note=note)
    for what, field in (("synthesizers", "synthesizers"), ("journal", "journal_shards"), ("python_adapter", "python_adapter")):
        if getattr(old, field) != getattr(new, field):
            yield Step(sign="!", what=what, before=getattr(old, field), after=getattr(new, field))
    kinds = {kind: (old.placed[kind].model_dump(mode="json"), new.placed[kind].model_dump(mode="json")) for kind in old.placed}
    for kind, (was, will) in kinds.items():
        if kind not in ("staff", "job"):  # with the pools' they are the deploy file's `control`
            yield from _fields("!", "control" if kind == "pools" else f"{kind}s", was, will)


def _fields(sign: Sign, what: str, old: Any, new: Any, path: str = "") -> Iterator[Step]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _fields(sign, what, old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
    elif old != new:
        yield Step(sign=sign, what=what, field=path, before=old, after=new)


def _range(spec: ModelSpec) -> str:
    return f"{spec.workers.min}..{spec.workers.max} workers of {spec.concurrency} calls"
