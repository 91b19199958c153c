"""Finished rows: what a run's folder holds, read back from its journal without disturbing a run at work."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from partsong.contracts import RowRecord
from partsong.errors import Place, RunError
from partsong.journal.address import open_store
from partsong.journal.store import Store
from partsong.plans import Plan, PlanField
from partsong.routing.experiments import shadow_run
from partsong_cluster.batch.folder import JOURNAL, Manifest, read_manifest, read_snapshot

__all__ = ["JOURNAL_URL", "finished_rows", "manifest_of", "plans_of", "recorded_rows", "runs_of", "store_of"]

JOURNAL_URL = f"sqlite:///{JOURNAL}"
"""The store of a mesh that names none, in the run's folder."""

_PLANS: TypeAdapter[dict[str, Plan]] = TypeAdapter(dict[str, PlanField])
_ROWS_A_STEP = 256


def manifest_of(folder: Path) -> Manifest:
    """Return what the run in the folder was started with."""
    found = read_manifest(folder)
    if found is None:
        raise RunError(
            "no-run", "there is no run in this folder", at=Place(str(folder)), remedy="name a folder that `partsong run -o` made"
        )
    return found


def runs_of(folder: Path) -> Sequence[str]:
    """Return the names under which the store keeps the run's calls: its own, and those that its experiments' shadows would have."""
    run = manifest_of(folder).run
    return [run, *(shadow_run(run, name) for name in read_snapshot(folder).get("experiments", {}))]


def plans_of(folder: Path) -> Mapping[str, Plan]:
    """Return the plans of the mesh that the run was started with."""
    return _PLANS.validate_python(read_snapshot(folder).get("plans", {}))


def store_of(folder: Path, *, read_only: bool = True) -> Store:
    """Open the store that the run in the folder is recorded in, to read unless told otherwise."""
    named = read_snapshot(folder).get("store", {})
    return open_store(named.get("url") or JOURNAL_URL, folder, segments=named.get("segments"), read_only=read_only)


def finished_rows(folder: Path, beside: str = "") -> Iterator[RowRecord]:
    """Yield the run's finished rows in the order they finished; or those of the shadow of this name, which are recorded beside them."""
    named = manifest_of(folder).run
    return recorded_rows(folder, shadow_run(named, beside) if beside else named)


def recorded_rows(folder: Path, run: str) -> Iterator[RowRecord]:
    """Yield the rows that the folder's store keeps under this name, in the order they finished."""
    store = store_of(folder)
    try:
        seq = 0
        while found := store.rows(run, seq, _ROWS_A_STEP):
            for seq, record in found:  # noqa: B007  the last one's place starts the next step
                yield record
    finally:
        store.close()
