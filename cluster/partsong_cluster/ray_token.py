"""Ray's token: where this machine has the one of a cluster, by Ray's own rules."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["WHERE_IT_GOES", "Token", "token_of"]

WHERE_IT_GOES = "set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file that has the cluster's token, or put it into ~/.ray/auth_token"


class Token(NamedTuple):
    """What was found."""

    text: str
    """Empty where there is none."""
    source: str
    """The variable, or the file, that Ray reads it from."""


def token_of(env: Mapping[str, str] = os.environ) -> Token:
    """Return the cluster's token: the variable's, else that of the file that a variable names, else that of the file in the home folder."""
    if text := env.get("RAY_AUTH_TOKEN", "").strip():
        return Token(text, "RAY_AUTH_TOKEN")
    if named := env.get("RAY_AUTH_TOKEN_PATH"):
        return Token(_read(Path(named)), named)
    return Token(_read(Path(env.get("HOME") or "~") / ".ray" / "auth_token"), "~/.ray/auth_token")


def _read(file: Path) -> str:
    try:
        return file.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
