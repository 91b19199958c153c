"""Leave: this machine tells Ray that it is about to go, and waits until its workers have finished their calls.

`python -m partsong_cluster.deploy.leave --within SECONDS`: what Kubernetes runs before it ends a pod, and what should run on any other
machine on notice that it will be taken back. Workers are drained, and others started elsewhere; then this returns, at the latest when the
time is up.
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from typing import Any

__all__ = ["main"]

_LOOKS_EVERY_S = 1.0
_PREEMPTION = 2
"""Ray's number for a node that is taken away (DRAIN_NODE_REASON_PREEMPTION)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when no worker is left here, 1 when the time was up before, 2 when Ray does not let the machine go."""
    parser = argparse.ArgumentParser(description="Tell Ray that this machine is about to go; wait until its workers have finished.")
    parser.add_argument("--within", type=float, default=90.0, help="seconds until it goes whatever is under way")
    within_s = parser.parse_args(arguments).within

    import ray

    ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    node = ray.get_runtime_context().get_node_id()
    until_s = time.monotonic() + within_s
    accepted, why = _drained(node, within_s)
    if not accepted:
        sys.stderr.write(f"Ray does not let {node} go: {why}\n")
        return 2
    while time.monotonic() < until_s:
        if not _workers_on(node):
            return 0
        time.sleep(_LOOKS_EVERY_S)
    return 1


def _drained(node: str, within_s: float) -> tuple[bool, str]:
    import ray
    from ray import _raylet

    raylet: Any = _raylet
    head = raylet.GcsClient(address=ray.get_runtime_context().gcs_address)
    answer: tuple[bool, str] = head.drain_node(node, _PREEMPTION, "it is about to be taken away", int((time.time() + within_s) * 1000))
    return answer


def _workers_on(node: str) -> list[str]:
    """Return the names of Partsong's workers that are on the machine."""
    from ray._private import state

    known: Any = state
    found = known.actors().values()
    return [one["Name"] for one in found if one["Address"]["NodeID"] == node and one["State"] == "ALIVE" and "/worker/" in one["Name"]]


if __name__ == "__main__":
    sys.exit(main())
