"""Complaints: what a provider's error reply means, by its status and by its own name for the error."""

import json
import re
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

from partsong.contracts import FailureCode

__all__ = ["Complaint", "Meaning", "complaint", "meaning_of_status", "one_line"]

_MESSAGE_CHARS = 400
"""As much is kept of the provider's words: they may quote the prompt."""
_NAME_CHARS = 80
_SHORTEST_SECRET = 4
"""A shorter one is a stand-in for a server that asks for none (`x`, `any`): cut out, it would make the words unreadable."""


class Meaning(NamedTuple):
    """What an error is to us."""

    code: FailureCode
    retryable: bool = False


class Complaint(NamedTuple):
    """An error reply's body, as far as it says anything."""

    kinds: tuple[str, ...]
    """The provider's names for the error, the most exact first."""
    message: str
    """The provider's words, in one printable line of bounded length."""
    status: int | None = None
    """The status that the body repeats (the only one, in a stream)."""
    error: object = None
    """The error as the body has it."""


_BY_STATUS = {
    401: Meaning(FailureCode.AUTH),
    402: Meaning(FailureCode.FORBIDDEN),
    403: Meaning(FailureCode.FORBIDDEN),
    404: Meaning(FailureCode.NOT_FOUND),
    405: Meaning(FailureCode.NOT_FOUND),
    408: Meaning(FailureCode.TIMEOUT, retryable=True),
    409: Meaning(FailureCode.BAD_REQUEST, retryable=True),  # a lock that was held: the vendors' clients ask again too
    410: Meaning(FailureCode.NOT_FOUND),
    413: Meaning(FailureCode.TOO_LARGE),
    425: Meaning(FailureCode.OVERLOADED, retryable=True),
    429: Meaning(FailureCode.RATE_LIMITED, retryable=True),
    501: Meaning(FailureCode.SERVER_ERROR),
    503: Meaning(FailureCode.OVERLOADED, retryable=True),
    504: Meaning(FailureCode.TIMEOUT, retryable=True),
    505: Meaning(FailureCode.SERVER_ERROR),
    529: Meaning(FailureCode.OVERLOADED, retryable=True),
}


def meaning_of_status(status: int) -> Meaning:
    """Return what a status other than 200 means."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Meaning(FailureCode.SERVER_ERROR, retryable=True)
    if status >= HTTPStatus.BAD_REQUEST:
        return Meaning(FailureCode.BAD_REQUEST)
    return Meaning(FailureCode.NOT_FOUND if status >= HTTPStatus.MULTIPLE_CHOICES else FailureCode.MALFORMED_REPLY)


def complaint(body: object, secret: str | None = None) -> Complaint | None:
    """Return the error that a parsed body holds, or None; the secret is cut out of its words."""
    if isinstance(body, list) and body:  # Gemini, when it breaks off a stream
        body = body[0]
    if not isinstance(body, dict):
        return None
    error = body.get("error") or body.get("detail") or (body if body.get("object") == "error" else None)
    if not error:
        return None
    if not isinstance(error, dict):
        return Complaint((), one_line(_told(error), secret))
    status = error.get("code")
    details = error.get("details")
    reasons = [detail.get("reason") for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
    names = (*reasons, error.get("code"), error.get("status"), error.get("type"))
    kinds = tuple(one_line(name, secret)[:_NAME_CHARS] for name in names if isinstance(name, str))
    words = error.get("message") or error.get("detail") or ""
    return Complaint(
        kinds=kinds,
        message=one_line(_told(words), secret),
        status=status if isinstance(status, int) and 400 <= status <= 599 else None,
        error=error,
    )


def _told(error: object) -> str:
    """Return an error's words; of a list of wrong fields, where and what, and not what was sent there."""
    if isinstance(error, str):
        return error
    try:
        if isinstance(error, list) and all(isinstance(one, dict) and "msg" in one for one in error):
            return "; ".join(f"{one.get('loc')}: {one['msg']}" for one in error)
        return json.dumps(error)
    except RecursionError:
        return ""


def one_line(words: str, secret: str | None = None) -> str:
    """Return the words without the secret, on one line, printable and at most 400 characters long."""
    read = words[: 100 * _MESSAGE_CHARS]
    line = " ".join("".join(char if char.isprintable() else " " for char in read).split())
    if len(read) < len(words):
        line = line.rpartition(" ")[0] or line[: len(line) // 2]  # its last word may be the most of the secret
    if secret is not None and len(secret) >= _SHORTEST_SECRET:
        line = _spellings(secret).sub("***", line)
    return line if len(line) <= _MESSAGE_CHARS else line[: _MESSAGE_CHARS - 3] + "..."


@lru_cache(maxsize=256)
def _spellings(secret: str) -> re.Pattern[str]:
    """Return what finds the secret however it is written: in either case, escaped for JSON, an address or a page, broken by spaces."""
    return re.compile(r"[ \\]*".join(map(_spelt, "".join(secret.split()))), re.IGNORECASE)


def _spelt(char: str) -> str:
    code = ord(char)
    return rf"(?:{re.escape(char)}|\\*u0*{code:x}|%{code:02x}|&#0*{code};|&#x0*{code:x};)"
