"""Exit codes: what `partsong` returns to the shell; the one place where they are decided."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from partsong.errors import BudgetError, EngineError, InputError, MeshError, PartsongError, RunError, StoreError, WeightsError
from partsong_cluster.batch.stop import Outcome

__all__ = ["ExitCode", "code_of_error", "code_of_summary"]


class ExitCode(IntEnum):
    """The text under each is its page in the reference."""

    DONE = 0
    """All that was asked for is done; of a run, every row is answered."""
    INTERNAL = 1
    """A fault of Partsong's own; or `config check` found problems."""
    USAGE = 2
    """The command line, the mesh file or the input cannot be used. An `--address` is of the wrong form, or of the wrong door: Ray's own or
    its dashboard's."""
    SOME_FAILED = 3
    """The run is complete, and some rows failed: they stand in `errors.jsonl`. Of `ask`: there is no answer."""
    BUDGET = 4
    """The run stopped because the next call could have passed `--budget`, or a limit of dollars in the mesh file."""
    DEADLINE = 5
    """The run stopped because `--deadline` passed."""
    STORAGE = 6
    """The run's folder or its journal cannot be used: locked, full, read-only, of another run. No job or system is called so,
    or it is not in a state for what is asked: at work, or not at work."""
    ENGINE = 7
    """Ray or a model's weights are not there, or the engine died. No cluster answers at the `--address`, or it refuses the token."""
    INTERRUPTED = 130
    """Ctrl-C or SIGTERM; what was finished is kept."""


_BY_ERROR: Mapping[type[PartsongError], ExitCode] = {
    MeshError: ExitCode.USAGE,
    InputError: ExitCode.USAGE,
    RunError: ExitCode.STORAGE,
    StoreError: ExitCode.STORAGE,
    WeightsError: ExitCode.ENGINE,
    EngineError: ExitCode.ENGINE,
    BudgetError: ExitCode.BUDGET,
}
_BY_OUTCOME: Mapping[Outcome, ExitCode] = {
    Outcome.BUDGET: ExitCode.BUDGET,
    Outcome.DEADLINE: ExitCode.DEADLINE,
    Outcome.INTERRUPTED: ExitCode.INTERRUPTED,
}


def code_of_error(error: PartsongError) -> ExitCode:
    """Return the code of a command that an error ended."""
    return next((code for kind, code in _BY_ERROR.items() if isinstance(error, kind)), ExitCode.INTERNAL)


def code_of_summary(summary: Mapping[str, Any]) -> ExitCode:
    """Return the code of a run by its summary."""
    outcome = Outcome(summary["outcome"])
    if outcome is Outcome.COMPLETE:
        return ExitCode.SOME_FAILED if summary["rows"]["failed"] else ExitCode.DONE
    return _BY_OUTCOME[outcome]
