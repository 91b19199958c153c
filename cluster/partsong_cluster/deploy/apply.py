"""Apply: a deploy file carried out on the cluster that this process is connected to. No call under way is lost by it."""

import asyncio

from partsong_actors.setup import SystemSpec

from partsong.errors import EngineError, RunError
from partsong.mesh import LoadedMesh
from partsong.work.notices import Tell
from partsong_cluster.deploy.applied import Applied, forget, keep, running
from partsong_cluster.deploy.check import examined
from partsong_cluster.deploy.load import LoadedDeploy
from partsong_cluster.deploy.nodes import as_machines
from partsong_cluster.deploy.overlay import system_spec
from partsong_cluster.deploy.plan import Plan, planned

__all__ = ["UP_WITHIN_S", "apply", "end", "plan_for"]

UP_WITHIN_S = 600.0
"""Time enough for an autoscaler to bring machines."""


async def plan_for(deploy: LoadedDeploy, loaded: LoadedMesh) -> Plan:
    """Return what applying would do; MeshError when the deploy file asks for what cannot be or what no node can hold."""
    import ray

    examined(deploy, loaded.mesh, as_machines(ray.nodes())).check()  # type: ignore[no-untyped-call]
    there = await running(deploy.deploy.name, deploy.deploy.namespace)
    return planned(there[0] if there else None, Applied.of(deploy.deploy, loaded))


async def apply(plan: Plan, deploy: LoadedDeploy, loaded: LoadedMesh, tell: Tell | None = None, *, within_s: float = UP_WITHIN_S) -> None:
    """Carry the plan out: start the system, or change it; where that cannot be done while it works, end it and begin it anew.

    RunError when it would have to end while jobs are at work on it, EngineError when it is not up in time; what is there by then stays.
    """
    applied, system = Applied.of(deploy.deploy, loaded), system_spec(deploy.deploy)
    if plan.exists and plan.restarts:
        await _end_idle(system)
    try:
        async with asyncio.timeout(within_s):
            await _made_so(applied, system, loaded, tell, changes=plan.exists and not plan.restarts)
    except TimeoutError:
        what = f"{system.name} is not up after {within_s:g} s: no coordinator takes rows"
        remedy = "its actors wait for machines or for the store (`partsong doctor`, Ray's dashboard); run apply again to wait on"
        raise EngineError("not-up", what, remedy=remedy) from None
    keep(applied)


async def end(name: str, namespace: str) -> int:
    """End a system in order; return how many actors it had. RunError when there is none of that name."""
    from partsong_actors.system import end_system

    if not await running(name, namespace):
        what = f"no system {name!r} runs in namespace {namespace!r}"
        raise RunError("no-such-system", what, remedy="`partsong deploy show` lists those that do")
    ended = await end_system(name, namespace)
    forget(name, namespace)
    return len(ended)


async def _end_idle(system: SystemSpec) -> None:
    (there,) = await running(system.name, system.namespace)
    if jobs := there.of("job/"):
        what = f"{system.name} has to begin anew, and {len(jobs)} of its jobs are at work: {', '.join(jobs)[:200]}"
        raise RunError("jobs-at-work", what, remedy="wait for them or stop them (`partsong jobs ls`), or give the system another name")
    await end(system.name, system.namespace)


async def _made_so(applied: Applied, system: SystemSpec, loaded: LoadedMesh, tell: Tell | None, *, changes: bool) -> None:
    from partsong_actors.engine import RayEngine

    mesh = applied.unpacked()
    engine = RayEngine(
        mesh,
        mesh.store.url or "sqlite:///journal.db",
        loaded.folder,
        folder=loaded.folder,
        system=system,
        mesh_hash=loaded.hash,
        allowed=loaded.allowed,
        tell=tell,
    )
    async with engine:
        if changes:
            await engine.setup.around.actor(engine.setup.around.pools).change.remote(engine.setup)
