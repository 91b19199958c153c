"""Transport errors: what the libraries behind fsspec raise when a place cannot be spoken to."""

import sys
from collections.abc import Iterable

__all__ = ["transport_errors"]

_RAISED = {
    "aiohttp": ("ClientError",),
    "azure.core.exceptions": ("AzureError",),
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "gcsfs.retry": ("HttpError",),
    "google.auth.exceptions": ("GoogleAuthError",),
}
"""By module; who else tells of a network that fails raises OSError."""


def transport_errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """Return their classes, and the others; a library that nobody has imported raises nothing."""
    return (*others, OSError, *_imported())


def _imported() -> Iterable[type[Exception]]:
    for module, names in _RAISED.items():
        if module in sys.modules:
            yield from (getattr(sys.modules[module], name) for name in names)
