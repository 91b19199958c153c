"""Watch: the entrypoint of a Ray job: starts or finds the actor that works the run, and prints what it tells; it may come and go.

`python -m partsong_cluster.jobs.watch` runs in the folder of the job's files. SIGTERM (`ray job stop`) stops the run in order, a second one
at once. The exit code is the run's.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from partsong.errors import EngineError, PartsongError, RunError
from partsong_cluster.cli.exit_codes import ExitCode, code_of_error
from partsong_cluster.jobs.bundle import ORDER
from partsong_cluster.jobs.events import Event, failed, said
from partsong_cluster.jobs.order import JobOrder

__all__ = ["main"]

_ASKS_FOR_S = 10.0
_ANSWERS_WITHIN_S = 60.0
_TRIES_AGAIN_S = 2.0
_MOST_LIVES = 5
_NO_ANSWER = "The job's own process does not answer: it is started again if it died, and goes on from the store."


def main(arguments: Sequence[str] | None = None) -> int:
    """Watch the run of the job in this folder, or ask it to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="partsong-watch", description=__doc__)
    parser.add_argument("--stop", choices=("in-order", "at-once"), help="Ask the run to stop, and do not watch it.")
    parser.add_argument("--accept-changes", action="store_true")
    options = parser.parse_args(arguments)
    order = JobOrder.unpack(Path(ORDER).read_bytes())
    if options.accept_changes:
        order = order.model_copy(update={"accept_changes": True})
    try:
        _connect(order)
        if options.stop is not None:
            return asyncio.run(_stopped(order, at_once=options.stop == "at-once"))
        return asyncio.run(_Watch(order).until_over())
    except PartsongError as error:
        code = code_of_error(error)
        _print(failed(error, code).written())
        return code


def _connect(order: JobOrder) -> None:
    import ray

    ray.init(address="auto", namespace=order.system.namespace, log_to_driver=False, logging_level=logging.ERROR)


async def _stopped(order: JobOrder, *, at_once: bool) -> int:
    try:
        actor = order.system.around.actor(order.system.around.job(order.run))
        await asyncio.wait_for(actor.stop.remote(at_once), _ANSWERS_WITHIN_S)
    except (ValueError, TimeoutError):
        _print(said("The run is not at work.").written())
        return ExitCode.USAGE
    return ExitCode.DONE


class _Watch:
    """One watcher of one run."""

    def __init__(self, order: JobOrder) -> None:
        self._order = order
        self._around = order.system.around
        self._actor: Any = None
        self._stops = 0
        self._telling: set[asyncio.Task[None]] = set()

    async def until_over(self) -> int:
        """Print all that the run tells, to its end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop)
        await self._admitted()
        self._actor = self._found_or_started()
        life, after, deaths = "", 0, 0
        while True:
            told = await self._asked(life, after)
            if told is None:
                deaths += 1
                if deaths > _MOST_LIVES:
                    what = f"the job's actor was gone {deaths} times"
                    raise EngineError("job-lost", what, remedy="`partsong jobs logs` has more; `partsong jobs resume` goes on")
                self._actor = self._found_or_started()
                continue
            life, after, lines = told
            for line in lines:
                _print(line)
                event = Event.read(line)
                if event is not None and event.is_last:
                    await self._end()
                    return event.code

    async def _asked(self, life: str, after: int) -> tuple[str, int, list[str]] | None:
        """Return what the actor tells next; None when it is gone for good."""
        from ray.exceptions import ActorDiedError, RayActorError

        told_away = False
        while True:
            try:
                answer: tuple[str, int, list[str]] = await asyncio.wait_for(
                    self._actor.news.remote(life, after, _ASKS_FOR_S), _ANSWERS_WITHIN_S
                )
            except ActorDiedError:
                return None
            except (TimeoutError, RayActorError):
                if not told_away:
                    _print(
                        said("The job's own process does not answer: it is started again if it died, and goes on from the store.").written()
                    )
                told_away = True
                await asyncio.sleep(_TRIES_AGAIN_S)
            else:
                return answer

    def _found_or_started(self) -> Any:
        from partsong_cluster.jobs.actor import JobActor

        options = self._order.system.options("job", self._around.job(self._order.run))
        return JobActor.options(**options).remote(self._order.pack())

    async def _admitted(self) -> None:
        """Tell the tenant's other jobs of this one; RunError when they are as many as it may have."""
        import ray

        mine, tenancy = self._around.job(self._order.run), self._order.tenancy
        named = await asyncio.to_thread(ray.util.list_named_actors, True)
        others = [one for one in named if "/job/" in one["name"] and one["name"] != mine]
        at_work = sum(await asyncio.gather(*(_answer_of(one, tenancy.name, self._order.run) for one in others)))
        if tenancy.max_jobs is not None and at_work >= tenancy.max_jobs and not self._is_there():
            what = f"tenant {tenancy.name} has {at_work} jobs at work, and may have {tenancy.max_jobs} at a time"
            raise RunError("too-many-jobs", what, remedy="wait until one has finished, or stop one; then `partsong jobs resume`")

    def _is_there(self) -> bool:
        try:
            self._around.actor(self._around.job(self._order.run))
        except ValueError:
            return False
        return True

    def _stop(self) -> None:
        self._stops += 1
        if self._actor is None:
            os._exit(ExitCode.INTERRUPTED)
        task = asyncio.ensure_future(self._asked_to_stop(at_once=self._stops > 1))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _asked_to_stop(self, *, at_once: bool) -> None:
        from ray.exceptions import RayActorError

        try:
            await self._actor.stop.remote(at_once)
        except RayActorError:
            _print(said("The job's own process does not answer; stop again when it does.").written())

    async def _end(self) -> None:
        """Let go of the actor, and of a system that was made for this job."""
        import ray
        from partsong_actors.system import end_system

        system = self._order.system
        if self._order.of_its_own:
            await end_system(system.name, system.namespace, system.health.closes_within_s)
        else:
            ray.kill(self._actor)


async def _answer_of(named: dict[str, str], tenant: str, run: str) -> bool:
    import ray

    try:
        actor: Any = ray.get_actor(named["name"], namespace=named["namespace"])
        is_beside: bool = await asyncio.wait_for(actor.is_beside.remote(tenant, run), _ASKS_FOR_S)
    except (ValueError, TimeoutError, ray.exceptions.RayError):
        return False
    return is_beside


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201  the job's log is what is followed


if __name__ == "__main__":
    sys.exit(main())
