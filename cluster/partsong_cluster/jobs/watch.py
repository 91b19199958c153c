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
from partsong_cluster.jobs.forgetting import forgotten
from partsong_cluster.jobs.notes import Notes
from partsong_cluster.jobs.order import JobOrder

__all__ = ["main"]

_ASKS_FOR_S = 10.0
_ANSWERS_WITHIN_S = 60.0
_TRIES_AGAIN_S = 2.0
_GONE_AFTER_S = 0.2
_MOST_LIVES = 5
_NO_ANSWER = "The job's own process does not answer: it is started again if it died, and goes on from the store."


def main(arguments: Sequence[str] | None = None) -> int:
    """Watch the run of the job in this folder, or ask it to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="partsong-watch", description=__doc__)
    parser.add_argument("--stop", choices=("in-order", "at-once"), help="Ask the run to stop, and do not watch it.")
    parser.add_argument("--forget", action="store_true", help="Delete the run's records from the store, and do not watch it.")
    parser.add_argument("--go-on", action="store_true", help="Work the run anew if it has ended; else its end is told again.")
    parser.add_argument("--accept-changes", action="store_true", help="Go on though the input changed.")
    options = parser.parse_args(arguments)
    order = JobOrder.unpack(Path(ORDER).read_bytes())
    if options.accept_changes:
        order = order.model_copy(update={"accept_changes": True})
    try:
        _connect(order)
        if options.stop is not None:
            return asyncio.run(_stopped(order, at_once=options.stop == "at-once"))
        if options.forget:
            return asyncio.run(forgotten(order))
        return asyncio.run(_Watch(order, goes_on=options.go_on).until_over())
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

    def __init__(self, order: JobOrder, *, goes_on: bool) -> None:
        from partsong_cluster.jobs.head import RayHead

        self._order = order
        self._goes_on = goes_on
        self._notes = Notes(RayHead())
        self._around = order.system.around
        self._actor: Any = None
        self._stops = 0
        self._telling: set[asyncio.Task[None]] = set()

    async def until_over(self) -> int:
        """Print all that the run tells, to its end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop)
        end = await self._ended()
        if end is not None and not self._goes_on:
            return self._told_end(end)
        if end is not None:
            await self._let_go()
        if end is not None or self._found() is None:
            await self._admitted()
        self._actor = self._found_or_started()
        life, after, deaths = "", 0, 0
        while True:
            told = await self._asked(life, after)
            if told is None:
                if (end := await self._ended()) is not None:  # another watcher heard it, and let the actor go
                    return self._told_end(end)
                deaths += 1
                if deaths > _MOST_LIVES:
                    what = f"the job's actor was gone {deaths} times"
                    raise EngineError("job-lost", what, remedy="`partsong jobs logs` has more; `partsong jobs resume` goes on")
                self._actor = self._found_or_started()
                continue
            life, after, lines = told
            for line in lines:
                event = Event.read(line)
                if event is not None and event.is_last:
                    code = self._told_end(event)
                    await self._let_go()
                    return code
                _print(line)

    async def _ended(self) -> Event | None:
        return await asyncio.to_thread(self._notes.ended, self._order.run)

    def _told_end(self, event: Event) -> int:
        _print(event.written())
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
                    _print(said(_NO_ANSWER).written())
                told_away = True
                await asyncio.sleep(_TRIES_AGAIN_S)
            else:
                return answer

    def _found_or_started(self) -> Any:
        from partsong_cluster.jobs.actor import JobActor

        options = self._order.system.options("job", self._around.job(self._order.run))
        return JobActor.options(**options).remote(self._order.pack())

    def _found(self) -> Any:
        """Return the run's actor; None when there is none."""
        try:
            return self._around.actor(self._around.job(self._order.run))
        except ValueError:
            return None

    async def _admitted(self) -> None:
        """Leave a note that the job begins; RunError when its tenant had as many at work before as it may have."""
        note, most = self._order.note, self._order.tenancy.max_jobs
        await asyncio.to_thread(self._notes.begin, note)
        at_work = [one.run for one in await asyncio.to_thread(self._notes.at_work, note.tenant)]
        before = at_work.index(note.run) if note.run in at_work else len(at_work)
        if most is not None and before >= most:
            await asyncio.to_thread(self._notes.refuse, note)
            what = f"tenant {note.tenant} has {before} jobs at work, and may have {most} at a time"
            raise RunError("too-many-jobs", what, remedy="wait until one has finished, or stop one; then `partsong jobs resume`")

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

    async def _let_go(self) -> None:
        """End the actor of a run that is over, and a system that was made for this job."""
        import ray
        from partsong_actors.system import end_system

        system = self._order.system
        if self._order.of_its_own:
            await end_system(system.name, system.namespace, system.health.closes_within_s)
        while (actor := self._found()) is not None:
            ray.kill(actor)
            await asyncio.sleep(_GONE_AFTER_S)


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201  the job's log is what is followed


if __name__ == "__main__":
    sys.exit(main())
