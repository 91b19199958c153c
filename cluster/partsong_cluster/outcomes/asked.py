"""Asked: which models a run asked about each of its rows; its store may hold calls of other runs, which are not its own."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from partsong.contracts import ModelSpec, RowRecord, Task
from partsong.errors import Place, RunError
from partsong.mesh.schema import ModelField
from partsong.work.asked import Fingerprint
from partsong_cluster.batch.finished import finished_rows
from partsong_cluster.batch.folder import read_snapshot

__all__ = ["asked_in", "models_of_run", "who"]

_MODELS: TypeAdapter[dict[str, ModelSpec]] = TypeAdapter(dict[str, ModelField])
_PROBE = Task.of("")


def who(name: str, spec: ModelSpec) -> bytes:
    """Return what tells a model from any that may answer otherwise, whatever a mesh file calls it."""
    return Fingerprint(spec, name).of(_PROBE)


def models_of_run(folder: Path) -> Mapping[str, ModelSpec]:
    """Return the models of the mesh that the run was started with; RunError where they cannot be read."""
    try:
        return _MODELS.validate_python(read_snapshot(folder).get("models", {}))
    except ValidationError as error:
        what = f"the models that this run was started with cannot be read ({error.error_count()} problems)"
        raise RunError("run-snapshot", what, at=Place(str(folder)), remedy="install the adapters that it used") from None


def asked_in(folders: Sequence[Path]) -> Mapping[int, Collection[bytes]]:
    """Return by row whom the runs asked, the cache's answers and shadows' calls among them (see `who`)."""
    found: dict[int, frozenset[bytes]] = {}
    alike: dict[frozenset[bytes], frozenset[bytes]] = {}  # most rows ask the same models: one set for all of them
    for folder in folders:
        known = {name: who(name, spec) for name, spec in models_of_run(folder).items()}
        for record in _records(folder):
            asked = found.get(record.row, frozenset()) | {known[line.model] for line in record.reply.bill if line.model in known}
            found[record.row] = alike.setdefault(asked, asked)
    return found


def _records(folder: Path) -> Iterator[RowRecord]:
    yield from finished_rows(folder)
    for name in read_snapshot(folder).get("experiments", {}):
        yield from finished_rows(folder, beside=name)
