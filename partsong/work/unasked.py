"""Unasked: a worker of a replay, which makes no call: it knows the failures that were recorded; all else is not covered."""

import asyncio
from collections.abc import Callable, Mapping

from partsong.contracts import Call, Completion, Failure, FailureCode, ModelSpec
from partsong.work.asked import Fingerprint

__all__ = ["UnaskedWorker"]

_LAST_S = 0.01
"""Answers that are recorded come first: a vote that they decide does without the one that was cancelled when it was recorded, too."""


class UnaskedWorker:
    """Stands where a model's worker would; completions never come this far, the journal has answered them."""

    def __init__(self, model: str, spec: ModelSpec, failures: Mapping[bytes, Failure]) -> None:
        """`failures` are those of the rows under way, by what was asked."""
        self._model = model
        self._fingerprint = Fingerprint(spec, model)
        self._failures = failures

    async def ask(self, call: Call, on_text: Callable[[str], None] | None = None) -> Completion | Failure:
        """Return the recorded failure, else one that says that there is none."""
        await asyncio.sleep(_LAST_S)
        failure = self._failures.get(self._fingerprint.of(call.task))
        if failure is not None:
            return failure.model_copy(update={"retryable": False})
        return Failure(code=FailureCode.NOT_COVERED, message=f"{self._model} was not asked this in the recorded runs", where=self._model)
