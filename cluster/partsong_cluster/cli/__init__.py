"""The command line: `partsong COMMAND`, a file a command."""

import os
import sys
from collections.abc import Sequence

from partsong.errors import PartsongError
from partsong_cluster.cli.exit_codes import ExitCode, code_of_error
from partsong_cluster.terminal import as_shown, plain

__all__ = ["main"]

_DEBUG = "--debug"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code; the entry point of `partsong`. Only `--debug` lets a traceback through."""
    from partsong_actors.core_dumps import no_core_dumps

    from partsong_cluster.cli.app import app

    no_core_dumps()
    given = sys.argv[1:] if arguments is None else arguments
    try:
        app([argument for argument in given if argument != _DEBUG], prog_name="partsong")
    except PartsongError as error:
        if _DEBUG in given:
            raise
        _print_error(error)
        sys.exit(code_of_error(error))
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.DONE)
    except Exception as error:
        if _DEBUG in given:
            raise
        print(as_shown(f"internal: {type(error).__name__}: {error}\n  please report it; --debug shows where"), file=sys.stderr)  # noqa: T201  the shell's outermost line
        sys.exit(ExitCode.INTERNAL)


def _print_error(error: PartsongError) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for problem in error.problems:
        console.print(Text.assemble((problem.code, "bold red"), ": ", (as_shown(problem.what), "bold")))
        if problem.at is not None:
            console.print(Text(plain(f"  at {problem.at}"), "dim"))
        if problem.remedy:
            console.print(Text(as_shown(f"  {problem.remedy}")))
