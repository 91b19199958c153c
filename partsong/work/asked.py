"""Asked: a hash over all that was asked of a model; equal hashes may share one reply."""

from hashlib import blake2b

import msgpack

from partsong.contracts import NOT_THE_ANSWER, ModelSpec, Task

__all__ = ["Fingerprint"]

_WHAT_MODELS_SEE = {"messages", "sampling", "answer_schema", "tools"}
_NOT_THE_MODEL = {*NOT_THE_ANSWER, "fallbacks", "skills"}


class Fingerprint:
    """The hashes of one model's calls."""

    def __init__(self, spec: ModelSpec, name: str = "") -> None:
        """`name` is the mesh file's: a model that sees the row and names no `model` may answer by it (recorded outcomes do)."""
        own_name = {"": name} if spec.sees_row and not spec.model else {}
        self._model = _packed({**spec.model_dump(mode="json", exclude=_NOT_THE_MODEL), **own_name})
        self._fields = {*_WHAT_MODELS_SEE, "id", "metadata"} if spec.sees_row else _WHAT_MODELS_SEE

    def of(self, task: Task) -> bytes:
        """Return 16 bytes that differ when the model, or anything it gets to see of the task, differs."""
        return blake2b(self._model + _packed(task.model_dump(include=self._fields)), digest_size=16).digest()


def _packed(value: object) -> bytes:
    packed = msgpack.packb(value, default=str, unicode_errors="surrogatepass")
    assert isinstance(packed, bytes)
    return packed
