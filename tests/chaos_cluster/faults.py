"""Faults: what befalls the world of a job: nodes, networks, stores, the client; one table."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from hosts.host import Host

from chaos_cluster.signs import (
    Shows,
    all_of,
    database_recovered,
    database_restarted,
    epoch_raised,
    head_replaced,
    node_lost,
    node_preempted,
    pools_resized,
    refused_by_s3,
    seen,
    unattended,
)
from chaos_cluster.world import World

__all__ = ["FAULTS", "Fault"]

_AWAY_S = 60.0
_HELD_UP_S = 20.0
"""How long after a cut requests may still arrive that it held up."""

_SHUT_S = 30.0
_HEAD_OFF_S = 8.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens, and is over when `strike` returns."""

    name: str
    strike: Callable[[World, random.Random], None]
    shows: Shows
    """What shows afterwards that it struck."""
    takes_calls: bool = True
    """Whether calls in flight are lost with it, and may be made again."""
    ends_client: bool = False
    """Whether the client that follows the job is gone afterwards."""


def _worker(world: World, dice: random.Random) -> Host:
    """Return a node that has neither the head nor the journal."""
    journal = world.host_of("journal-0")
    return dice.choice([host for host in world.cluster.workers if host is not journal])


def _node_killed(world: World, dice: random.Random) -> None:
    _worker(world, dice).kill()


def _node_of_the_journal_killed(world: World, dice: random.Random) -> None:
    world.host_of("journal-0").kill()


def _node_of_the_pools_killed(world: World, dice: random.Random) -> None:
    world.host_of("pools").kill()


def _head_killed(world: World, dice: random.Random) -> None:
    world.cluster.restart(world.cluster.head, after_s=_HEAD_OFF_S)
    world.cluster.until(world.cluster.alive, "the head answers")


def _cut_off(world: World, dice: random.Random) -> None:
    host = _worker(world, dice)
    host.partition()
    time.sleep(_AWAY_S)
    host.heal()
    time.sleep(_HELD_UP_S)


def _cut_off_with_the_journal(world: World, dice: random.Random) -> None:
    """Ray takes it for dead, while it goes on reaching provider and store: fencing alone holds it."""
    host = world.host_of("journal-0")
    host.partition("cluster")
    time.sleep(_AWAY_S)
    host.heal()


def _cut_off_from_ray(world: World, dice: random.Random) -> None:
    host = _worker(world, dice)
    host.partition("cluster")
    time.sleep(_AWAY_S)
    host.heal()


def _postgres_restarted(world: World, dice: random.Random) -> None:
    world.postgres.stop("fast")
    world.postgres.start()


def _postgres_crashed(world: World, dice: random.Random) -> None:
    world.postgres.stop("immediate")
    world.postgres.start()


def _postgres_down(world: World, dice: random.Random) -> None:
    world.postgres.stop("fast")
    time.sleep(_AWAY_S)
    world.postgres.start()


def _s3_refuses(world: World, dice: random.Random) -> None:
    world.s3.shut(_SHUT_S)
    time.sleep(_SHUT_S)


def _node_drained(world: World, dice: random.Random) -> None:
    """As a preemption notice: half a minute later its power is gone."""
    host = _worker(world, dice)
    world.cluster.drain(host, within_s=30)
    time.sleep(30)
    host.kill()


def _pools_rescaled(world: World, dice: random.Random) -> None:
    for workers in (4, 1, 3):
        world.deploy(workers=workers)
        world.told("deploy", "apply", "deploy.yaml", "--yes", "--mesh", "mesh.yaml", "--address", world.cluster.jobs_address)
        world.cluster.until(lambda workers=workers: seen(world).workers("small") == workers, f"{workers} workers a model")


def _client_gone(world: World, dice: random.Random) -> None:
    """The laptop is closed: nobody follows the job any more."""


FAULTS = (
    Fault("a worker node is killed", _node_killed, node_lost),
    Fault("the node of the journal is killed", _node_of_the_journal_killed, all_of(node_lost, epoch_raised("journal-0"))),
    Fault("the node of the pools is killed", _node_of_the_pools_killed, all_of(node_lost, epoch_raised("pools"))),
    Fault("the head is killed and comes back", _head_killed, head_replaced, ends_client=True),  # workers of models may be on it
    Fault("a node is cut off for 60 s", _cut_off, node_lost),
    Fault("a node is cut off from Ray for 60 s", _cut_off_from_ray, node_lost),
    Fault("the journal's node is cut off from Ray for 60 s", _cut_off_with_the_journal, all_of(node_lost, epoch_raised("journal-0"))),
    Fault("PostgreSQL is restarted", _postgres_restarted, database_restarted, takes_calls=False),
    Fault("PostgreSQL crashes", _postgres_crashed, all_of(database_restarted, database_recovered), takes_calls=False),
    Fault("PostgreSQL is down for 60 s", _postgres_down, database_restarted, takes_calls=False),
    Fault("S3 answers 503 for 30 s", _s3_refuses, refused_by_s3, takes_calls=False),
    Fault("a node is drained", _node_drained, all_of(node_lost, node_preempted)),
    Fault("pools are rescaled", _pools_rescaled, pools_resized, takes_calls=False),
    Fault("the client goes away", _client_gone, unattended, takes_calls=False, ends_client=True),
)
