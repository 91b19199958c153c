"""Language identification by character n-grams (py3langid, after Lui and Baldwin, ACL 2012), about a millisecond a text."""

import threading
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from partsong.contracts import Task

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

__all__ = ["language", "language_detector"]


def language(task: Task, among: tuple[str, ...] = ()) -> tuple[str, float]:
    """Answer with the ISO 639-1 code of the text's language and its probability, of all known languages or `among` the given codes.

    The text judged is the task's `text` in its metadata, where a prompt is wrapped around it, else its user messages.
    """
    code, probability = _identifier(tuple(among)).classify(str(task.metadata.get("text") or task.text))
    return str(code), min(1.0, float(probability))


def language_detector() -> Callable[[str], str] | None:
    """Return what names a text's language by its ISO 639-1 code; None when py3langid is not installed."""
    if find_spec("py3langid") is None:
        return None
    return lambda text: str(_identifier(()).classify(text)[0])


_loading = threading.Lock()


def _identifier(among: tuple[str, ...]) -> "LanguageIdentifier":
    with _loading:  # the first calls come together, and each would load the model for itself
        return _loaded(among)


@cache
def _loaded(among: tuple[str, ...]) -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if among:
        identifier.set_languages(list(among))
    return identifier
