"""`python -m chaos`, in tests/: the matrix of faults and processes, a line of the table as each run ends."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from providers.process import running_server

from chaos.faults import Fault
from chaos.scene import undisturbed
from chaos.table import HEAD, line
from chaos.trial import Outcome, StandstillError, Trial
from chaos.victims import PROCESSES

_GOES_ON_WITHIN_S = 45.0
"""After the fault is over, on a machine that is busy with other things; a driver's time has Ray's start in it."""


def main() -> int:
    """Print the table; return 0 when all is zero and every run went on within seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=2, help="of each fault of each process")
    parser.add_argument("--stopped", type=float, default=30.0, help="seconds that a process stands still")
    parser.add_argument("--only", nargs="*", default=[""], help="faults whose name holds one of these")
    parser.add_argument("--folder", type=Path, help="keep the runs here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="partsong-chaos-") as scratch:
        folder = options.folder or Path(scratch)
        with running_server("chaos.upstream", "--key", "k") as server:
            answers = undisturbed(folder / "undisturbed", options.rows, server.url)
        print(HEAD, flush=True)
        planned = [faults for faults in _matrix(options.stopped) if any(part in str(faults[0]) for part in options.only)]
        well = [_well(folder, options.rows, faults, seed, answers) for faults in planned for seed in range(options.seeds)]
    within = f"{_GOES_ON_WITHIN_S:g} s after the fault was over"
    print("s to recover: the longest time without another answered row; a process that stands still may hold all of them up for as long.")
    print(f"{sum(well)} of {len(well)} runs went on by themselves within {within}, with every row once and nothing paid again")
    return 0 if all(well) else 1


def _matrix(stopped_s: float) -> Iterator[Sequence[Fault]]:
    """Every fault of every process; what kills happens twice a run."""
    for process in PROCESSES:
        yield [Fault("killed", process)] * 2
        yield [Fault("stopped", process, stopped_s)]
        yield [Fault("out of memory", process)] * 2


def _well(folder: Path, rows: int, faults: Sequence[Fault], seed: int, answers: Mapping[str, str]) -> bool:
    """Do one run and print its line; return whether all was as promised."""
    outcome: Outcome | None = None
    try:
        outcome = Trial(folder / f"{faults[0]}-{seed}".replace(" ", "-"), rows, faults, seed, answers).outcome()
    except StandstillError as error:
        print(error, file=sys.stderr)
    print(line(faults, seed, outcome), flush=True)
    return outcome is not None and outcome.reckoning.clean and outcome.stood_still_s < faults[0].lasts_s + _GOES_ON_WITHIN_S


if __name__ == "__main__":
    sys.exit(main())
