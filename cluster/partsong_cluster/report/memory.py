"""Memory: rows whose questions a mesh was learned from: what it gives on them says nothing of others, so they are left out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from partsong.contracts import RowRecord
from partsong.errors import InputError, MeshError
from partsong.learning.knowledge import Knowledge
from partsong_cluster.batch.finished import finished_rows, manifest_of
from partsong_cluster.batch.folder import read_snapshot

__all__ = ["Memory", "memory_words"]

_FEWEST = 30
"""Rows that anything can be said of."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the meshes of some runs were learned from."""

    known: tuple[Knowledge, ...] = ()
    lost: tuple[Path, ...] = ()
    """Runs of a mesh that goes by what was learned, where that lies there no more."""

    @classmethod
    def of(cls, folders: Sequence[Path]) -> "Memory":
        """Return that of these runs; what was learned is looked for beside the mesh file that the run names."""
        facts = {folder: found for folder in folders if isinstance(found := read_snapshot(folder).get("learned"), Mapping)}
        known = {folder: _knowledge(folder, found) for folder, found in facts.items()}
        lost = tuple(folder for folder, knowledge in known.items() if knowledge is None)
        return cls(tuple({k for k in known.values() if k is not None}), lost)

    def has(self, record: RowRecord) -> bool:
        """Return whether the row's question was learned from."""
        task = record.task
        return task is not None and any(knowledge.remembers(task.text) for knowledge in self.known)

    def notes(self, folders: Iterable[Path]) -> Iterator[str]:
        """Yield what is to be known of the figures of runs over the same rows."""
        folders = list(folders)
        if self.known:
            learned = [self.has(record) for record in finished_rows(folders[0])]
            if any(learned):
                yield memory_words(sum(learned), len(learned))
        for folder in (folder for folder in self.lost if folder in folders):
            yield f"{folder} goes by what was learned, and that is not beside its mesh file any more: its figures may be memory"


def memory_words(learned: int, rows: int) -> str:
    """Return what is told of rows, some of which were learned from."""
    left = rows - learned
    rest = f"all that is told is of the other {left:,}" if left >= _FEWEST else f"the other {left:,} are too few to say anything"
    return f"{learned:,} of {rows:,} rows were learned from, and figures on them would be memory: {rest}."


def _knowledge(folder: Path, facts: Mapping[str, object]) -> Knowledge | None:
    try:
        found = Knowledge.saved(Path(manifest_of(folder).mesh).parent / str(facts.get("folder")))
    except (InputError, MeshError):
        return None
    return found if found.fingerprint == facts.get("fingerprint") else None
