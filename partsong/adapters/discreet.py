"""Discreet: around the adapter of a model with a key; nothing leaves it that holds the key: no reply, no error, no line of the log.

The adapters here keep their keys to themselves. This is for what they cannot know: a server that repeats the key, somebody else's adapter
that raises with the key in its words.
"""

import base64
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import ClassVar
from urllib.parse import quote

from partsong.adapters.adapter import Adapter, Surroundings, adapter_kinds
from partsong.contracts import Completion, Failure, FailureCode, ModelSpec, Task
from partsong.errors import EngineError, PartsongError

__all__ = ["Redaction", "adapter_of"]

_log = logging.getLogger(__name__)
_MASK = "***"
_SHORTEST = 4
"""A shorter key is a stand-in (`x`, `any`): masked, it would make messages unreadable."""
_SHORTEST_IN_ANSWERS = 16
"""Providers' keys are longer; a stand-in such as `password` may well stand in an answer."""
_SHORTEST_IN_BASE64 = 12
_FRAGMENT = 8
"""Characters of a key in a row that are too many to show; providers themselves show up to four at its ends."""


def adapter_of(spec: ModelSpec, around: Surroundings) -> Adapter:
    """Return the model's adapter; with a key, one that says nothing of it."""
    kind = adapter_kinds()[spec.adapter]
    if around.secret is None:
        return kind(spec, around)
    speaking = type(kind.__name__, (_Discreet,), {"kind": kind.kind, "Spec": kind.Spec})
    discreet: Adapter = speaking(kind, spec, around, around.secret)
    return discreet


class Redaction:
    """Masks a key in texts: as it is, and as URLs, JSON and base64 write it."""

    def __init__(self, secret: str) -> None:
        long_enough = len(secret) >= _SHORTEST
        starts = range(len(secret) - _FRAGMENT + 1) if len(secret) >= 2 * _FRAGMENT else ()
        self._fragments = frozenset(secret[at : at + _FRAGMENT] for at in starts)
        self._forms = tuple(sorted({form for form in _forms(secret) if form}, key=len, reverse=True)) if long_enough else ()

    def holds(self, text: str) -> bool:
        """Return whether the key stands in the text."""
        return any(form in text for form in self._forms)

    def in_words(self, text: str) -> str:
        """Return the text with the key masked, and longer pieces of it too: who reports an error may have cut the key in two."""
        text = self(text)
        covered = {at + n for at in range(len(text)) if text[at : at + _FRAGMENT] in self._fragments for n in range(_FRAGMENT)}
        kept = [("" if at - 1 in covered else _MASK) if at in covered else char for at, char in enumerate(text)] if covered else text
        return "".join(kept)

    def __call__(self, text: str) -> str:
        """Return the text with the key masked."""
        for form in self._forms:
            text = text.replace(form, _MASK)
        return text


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote(secret)
    yield json.dumps(secret)[1:-1]
    if len(secret) < _SHORTEST_IN_BASE64:
        return
    yield secret.encode().hex()
    for before in range(3):  # behind other bytes (`user:key`) it may begin at any of three places of a base64 group
        encode = base64.b64encode(b"\0" * before + secret.encode()).decode()
        certain = encode[(0, 2, 3)[before] : (before + len(secret)) * 8 // 6]
        yield certain
        yield certain.translate(_URL_SAFE)


_URL_SAFE = str.maketrans("+/", "-_")


class _Discreet(Adapter):
    """Constructs the adapter when it is opened: a constructor may raise too."""

    kind: ClassVar[str] = ""
    Spec: ClassVar[type[ModelSpec]] = ModelSpec

    def __init__(self, kind: type[Adapter], spec: ModelSpec, around: Surroundings, secret: str) -> None:
        self._inside = kind
        self._spec = spec
        self._around = around
        self._hide = Redaction(secret)
        self._hide_in_answers = self._hide if len(secret) >= _SHORTEST_IN_ANSWERS else Redaction("")
        self._adapter: Adapter | None = None

    async def open(self) -> None:
        """See Adapter.open."""
        try:
            self._adapter = self._inside(self._spec, self._around)
            await self._adapter.open()
        except PartsongError as error:
            raise self._told(error) from None
        except Exception as error:  # noqa: BLE001  whatever it raises may hold the key
            self._note("raised while it was opened", error)
            what = f"no worker of {self._around.name} could start: its adapter raised {type(error).__name__}"
            raise EngineError("worker-start", what, remedy="see the log") from None

    async def close(self) -> None:
        """See Adapter.close."""
        if self._adapter is None:
            return
        try:
            await self._adapter.close()
        except Exception as error:  # noqa: BLE001  whatever it raises may hold the key
            self._note("raised while it was closed", error)

    async def complete(self, task: Task, on_text: Callable[[str], None] | None = None) -> Completion | Failure:
        """See Adapter.complete."""
        assert self._adapter is not None, "open comes first"
        try:
            reply = await self._adapter.complete(task, on_text)
        except TimeoutError:
            raise TimeoutError from None
        except Exception as error:  # noqa: BLE001  whatever it raises may hold the key
            self._note("raised", error)
            message = f"the adapter raised {type(error).__name__}; see the log"
            return Failure(code=FailureCode.WORKER_ERROR, message=message, where=self._around.name, sent="maybe")
        return self._clean_failure(reply) if isinstance(reply, Failure) else self._clean_completion(reply)

    def _clean_failure(self, failure: Failure) -> Failure:
        message = self._hide.in_words(failure.message)
        return failure if message == failure.message else failure.model_copy(update={"message": message})

    def _clean_completion(self, completion: Completion) -> Completion:
        hide = self._hide_in_answers
        if not hide.holds(completion.text) and not any(hide.holds(call.arguments) for call in completion.tool_calls):
            return completion
        calls = tuple(call.model_copy(update={"arguments": hide(call.arguments)}) for call in completion.tool_calls)
        return completion.model_copy(update={"text": hide(completion.text), "tool_calls": calls, "logprobs": None})

    def _told(self, error: PartsongError) -> PartsongError:
        first = error.problems[0]
        return type(error)(first.code, self._hide.in_words(first.what), at=first.at, remedy=self._hide.in_words(first.remedy))

    def _note(self, what: str, error: Exception) -> None:
        words = self._hide.in_words("".join(traceback.format_exception(error)))
        _log.error("adapter %s of model %s %s\n%s", self.kind, self._around.name, what, words)
