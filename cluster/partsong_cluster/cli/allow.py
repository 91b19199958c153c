"""`--allow`: what the user lets a mesh file do beyond its own folder; the same option for every command that reads one."""

import os
from typing import Annotated

import typer

from partsong.contracts.allowed import Allowed

__all__ = ["Allow", "allowed_by"]

Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow", help=f"Let the mesh file do more than it may: {', '.join(Allowed.words())}; see docs/security.md.", metavar="WHAT"
    ),
]
"""May be given several times; `PARTSONG_ALLOW` says the same for every command."""


def allowed_by(words: list[str] | None) -> Allowed:
    """Return what the words and the environment allow."""
    try:
        return Allowed.by_environment(os.environ, words or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--allow") from None
