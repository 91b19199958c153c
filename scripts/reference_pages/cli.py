"""The command line's page: the help of every command, as the terminal shows it at a width of its own, and the exit codes."""

from collections.abc import Iterator
from typing import Any

import typer
from partsong_cluster.cli.app import app
from partsong_cluster.cli.exit_codes import ExitCode

from reference_pages.members import members

__all__ = ["page"]

_COLUMNS = 100

_INTRO = """# The command line

`partsong COMMAND --help` shows the same. `--debug`, anywhere, lets the traceback of an error through.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([_INTRO, *_helps(typer.main.get_command(app), None, "partsong"), *_exit_codes()])


def _helps(command: Any, parent: Any, name: str) -> Iterator[str]:
    settings = {**command.context_settings, "color": False, "terminal_width": _COLUMNS, "max_content_width": _COLUMNS}
    context = command.context_class(command, parent=parent, info_name=name, **settings)
    lines = (line.rstrip() for line in command.get_help(context).splitlines())
    yield f"## `{context.command_path}`\n\n```text\n" + "\n".join(lines).strip() + "\n```\n"
    for inner in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from _helps(command.get_command(context, inner), context, inner)


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes\n\n| code | name | meaning |\n| --- | --- | --- |"
    for member, meaning in members(ExitCode):
        yield f"| {member.value} | `{member.name.lower().replace('_', '-')}` | {meaning} |"
