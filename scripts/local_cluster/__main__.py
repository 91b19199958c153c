"""`scripts/cluster`: start the cluster, kill a node of it, switch it on again, end all of it."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Mapping

from local_cluster import store
from local_cluster.nodes import forget_nodes, kill_node, processes_of, start_node
from local_cluster.places import DASHBOARD, NODES, TroubleError, address_of, check_free, environment, folder, token

_LOOKS_EVERY_S = 1.0


def main() -> int:
    """Do as told; return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/cluster", description=__doc__)
    parser.add_argument("--background", action="store_true", help="start it and return; `scripts/cluster stop` ends it")
    acts = parser.add_subparsers(dest="act")
    for name, about in (("kill", "take a node's power"), ("start", "switch a node on again")):
        acts.add_parser(name, help=about).add_argument("node", type=int, choices=NODES)
    acts.add_parser("status", help="what runs")
    acts.add_parser("stop", help="end all of it")
    given = parser.parse_args()
    acting: Mapping[str, Callable[[], None]] = {
        "kill": lambda: _kill(given.node),
        "start": lambda: _start_again(given.node),
        "status": _status,
        "stop": _stop,
    }
    try:
        if not sys.platform.startswith("linux"):
            raise TroubleError("several nodes on one machine need Linux, which answers to every address of 127.0.0.0/8")
        acting.get(given.act or "", lambda: _up(stays=not given.background))()
    except TroubleError as trouble:
        print(f"cluster: {trouble}", file=sys.stderr)
        return 1
    return 0


def _up(*, stays: bool) -> None:
    if _up_nodes():
        print("The cluster runs already.")
        _status()
        _told()
        return
    token()
    check_free()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _begin()
        _told()
        if stays:
            print("\nCtrl-C ends all of it.", flush=True)
            _watch()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("\nending the cluster", flush=True)
        _end()
    except BaseException:
        _end()
        raise


def _begin() -> None:
    forget_nodes()
    print("PostgreSQL, the store", end=" ", flush=True)
    store.start()
    print(f"at {store.shown()}")
    for node in NODES:
        print(f"node {node}{', the head,' if node == 1 else ''}", end=" ", flush=True)
        start_node(node, store.environment())
        print(f"at {address_of(node)}", flush=True)


def _told() -> None:
    (folder() / "env").write_text("".join(f"export {name}={value}\n" for name, value in {**environment(), **store.environment()}.items()))
    print(f"""
Dashboard and job API: {DASHBOARD}; the token that it asks for: {folder() / "token"}

In another terminal:

  . {folder() / "env"}
  export PATH=$PWD/.venv/bin:$PATH
  partsong models pull smollm2-135m        # 98 MB, if `make demo` has not fetched it
  partsong submit deploy/meshes/mixed.yaml cluster/partsong_cluster/demo/data/mixed.jsonl \\
      --deploy deploy/three-nodes.yaml -o $PWD/answers --name mixed
  partsong top                             # pools, workers, queues, cost; q quits
  scripts/cluster kill 2                   # a node loses its power: every row is answered all the same, none is paid twice
  scripts/cluster start 2                  # it is back
  partsong jobs follow mixed               # you may also close the laptop
  partsong jobs results mixed -o got""")


def _watch() -> None:
    """Say which node has gone or come, until there is none."""
    up = _up_nodes()
    while True:
        time.sleep(_LOOKS_EVERY_S)
        now = _up_nodes()
        for node in NODES:
            if (node in up) != (node in now):
                print(f"node {node} is {'up' if node in now else f'down; `scripts/cluster start {node}` switches it on again'}", flush=True)
        up = now
        if not store.is_up() and not up:
            return


def _kill(node: int) -> None:
    if not kill_node(node):
        raise TroubleError(f"node {node} is not up")
    print(f"node {node} is down")


def _start_again(node: int) -> None:
    if not _up_nodes() and node != 1:
        raise TroubleError("no node is up: start the head first (`scripts/cluster start 1`), or all of it (`make cluster`)")
    if node in _up_nodes():
        raise TroubleError(f"node {node} is up")
    start_node(node, store.environment())
    print(f"node {node} is up")


def _status() -> None:
    up = _up_nodes()
    print(f"PostgreSQL  {store.shown():<22} {'up' if store.is_up() else 'down'}")
    for node in NODES:
        print(f"node {node}      {address_of(node):<22} {'up' if node in up else 'down'}")


def _stop() -> None:
    if not _end():
        print("nothing was up")


def _end() -> bool:
    """End everything that there is; return whether there was anything."""
    found = [kill_node(node) for node in reversed(NODES)]
    return store.stop() or any(found)


def _up_nodes() -> list[int]:
    return [node for node in NODES if processes_of(node)]


if __name__ == "__main__":
    sys.exit(main())
