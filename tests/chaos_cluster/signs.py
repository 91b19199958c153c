"""Signs: what is seen of a world from outside before a fault and after it, and what of it shows that the fault has struck."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from chaos_cluster.books import asked
from chaos_cluster.world import SYSTEM, World

__all__ = [
    "Shows",
    "Signs",
    "all_of",
    "database_recovered",
    "database_restarted",
    "epoch_raised",
    "head_replaced",
    "node_lost",
    "node_preempted",
    "pools_resized",
    "refused_by_s3",
    "seen",
    "unattended",
]


@dataclass(frozen=True, slots=True)
class Signs:
    """How things stood at a moment, by the word of Ray, of PostgreSQL and of the S3 server."""

    alive: Mapping[str, str]
    """The host's name of each of Ray's nodes that is alive, by the node's id."""
    fates: Mapping[str, str]
    """What Ray says of nodes that are dead, by id."""
    actors: Mapping[str, tuple[str, int]]
    """Node and process of each actor of the system."""
    epochs: Mapping[str, int]
    database_since: datetime
    recoveries: int
    """How often PostgreSQL has found that it had crashed."""
    turned_away: int
    """Requests that S3 has answered with 503."""
    rows: int
    """Rows answered."""

    def workers(self, model: str) -> int:
        """Return how many workers a model has."""
        return sum(name.startswith(f"{SYSTEM}/worker/{model}/") for name in self.actors)


Shows = Callable[[Signs, Signs], str]
"""What shows, by the signs before and after, that a fault struck; nothing when nothing does."""


def seen(world: World) -> Signs:
    """Return how things stand; waits for Ray's head."""
    cluster = world.cluster
    cluster.until(cluster.alive, "the head answers")
    names = {host.address: host.name for host in cluster.nodes}
    nodes, url = cluster.nodes_ever(), world.postgres.url
    return Signs(
        alive={node["node_id"]: names[node["node_ip"]] for node in nodes if node["state"] == "ALIVE"},
        fates={node["node_id"]: node["state_message"] or "" for node in nodes if node["state"] == "DEAD"},
        actors={one["name"]: (one["node_id"], one["pid"]) for one in cluster.actors(SYSTEM) if one["state"] == "ALIVE"},
        epochs=dict(asked(url, "select name, number from epochs")),
        database_since=asked(url, "select pg_postmaster_start_time()")[0][0],
        recoveries=world.postgres.said().count("automatic recovery in progress"),
        turned_away=world.s3.stats()["turned_away"],
        rows=asked(url, "select count(*) from rows")[0][0],
    )


def all_of(*shown: Shows) -> Shows:
    """Return what shows all of these."""

    def shows(before: Signs, after: Signs) -> str:
        found = [one(before, after) for one in shown]
        return ", ".join(found) if all(found) else ""

    return shows


def node_lost(before: Signs, after: Signs) -> str:
    """A node is dead to Ray, and actors that were on it are on others."""
    lost = before.alive.keys() - after.alive.keys()
    moved = [name for name, (node, _) in before.actors.items() if node in lost and after.actors.get(name, (node,))[0] not in lost]
    return f"{' '.join(sorted(before.alive[node] for node in lost))} dead, {len(moved)} actors moved" if moved else ""


def node_preempted(before: Signs, after: Signs) -> str:
    """Ray says that a node went because it was told to."""
    gone = [node for node in before.alive if "preempt" in after.fates.get(node, "").lower()]
    return f"{' '.join(before.alive[node] for node in gone)} preempted" if gone else ""


def head_replaced(before: Signs, after: Signs) -> str:
    """Another head is there, and actors that ran go on in their processes."""
    heads = [{node for node, name in signs.alive.items() if name == "head"} for signs in (before, after)]
    kept = [name for name, place in before.actors.items() if after.actors.get(name) == place]
    return f"another head, {len(kept)} of {len(before.actors)} actors kept" if heads[1] - heads[0] else ""


def epoch_raised(actor: str) -> Shows:
    """Return what shows that an actor has a successor that fences it off."""

    def shows(before: Signs, after: Signs) -> str:
        was, now = (signs.epochs.get(f"{SYSTEM}/{actor}", 0) for signs in (before, after))
        return f"{actor}'s epoch {was} -> {now}" if now > was else ""

    return shows


def database_restarted(before: Signs, after: Signs) -> str:
    """PostgreSQL's start time is another."""
    return "another start time" if after.database_since != before.database_since else ""


def database_recovered(before: Signs, after: Signs) -> str:
    """PostgreSQL found that it had crashed."""
    return "recovered from its log" if after.recoveries > before.recoveries else ""


def refused_by_s3(before: Signs, after: Signs) -> str:
    """Requests were turned away."""
    refused = after.turned_away - before.turned_away
    return f"{refused} requests refused" if refused else ""


def pools_resized(before: Signs, after: Signs) -> str:
    """A model has another number of workers."""
    was, now = before.workers("small"), after.workers("small")
    return f"{was} -> {now} workers a model" if was != now else ""


def unattended(before: Signs, after: Signs) -> str:
    """Rows were answered that nobody waited for."""
    answered = after.rows - before.rows
    return f"{answered} rows after it" if answered else ""
