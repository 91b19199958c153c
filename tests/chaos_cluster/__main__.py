"""`python -m chaos_cluster`, in tests/: every fault, a job and a line of the table each."""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from chaos.scene import undisturbed
from hosts.namespaces import why_not
from providers.process import running_server

from chaos_cluster.faults import FAULTS, Fault
from chaos_cluster.table import HEAD, line
from chaos_cluster.trial import Outcome, StandstillError, Trial


def main() -> int:
    """Print the table; return 0 when all is zero and every job went on by itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--latency", type=float, default=0.1, help="seconds that the provider takes for a call")
    parser.add_argument("--nodes", type=int, default=3, help="Ray nodes beside the head")
    parser.add_argument("--seeds", type=int, default=1, help="jobs for each fault")
    parser.add_argument("--only", nargs="*", default=[""], help="faults whose name holds one of these")
    parser.add_argument("--folder", type=Path, help="keep the hosts' disks here")
    parser.add_argument("--json", type=Path, help="write what came of it here, too")
    options = parser.parse_args()
    chosen = [fault for fault in FAULTS if any(part in fault.name for part in options.only)]
    if not chosen:
        parser.error("no fault is called so; there are: " + "; ".join(fault.name for fault in FAULTS))
    if reason := why_not():
        print(f"chaos-cluster: {reason}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="partsong-chaos-") as scratch:
        folder = options.folder or Path(scratch)
        with running_server("chaos.upstream", "--key", "k") as server:
            answers = undisturbed(folder / "undisturbed", options.rows, server.url)
        print(HEAD, flush=True)
        told: list[dict[str, Any]] = []
        for fault in chosen:
            for seed in range(options.seeds):
                place = folder / f"{fault.name}-{seed}".replace(" ", "-")
                trial = Trial(place, options.rows, fault, seed, answers, options.latency, options.nodes)
                outcome = _outcome(trial)
                print(line(fault.name, seed, outcome), *(outcome.paid if outcome else ()), sep="\n  paid again: ", flush=True)
                told.append(_as_dict(fault, seed, outcome))
                if options.json is not None:
                    options.json.write_text(json.dumps(told, indent=2) + "\n")
    well = sum(one["clean"] for one in told)
    print("goes on: from the end of the fault until the next answered row; -: all were answered before. Stood still: from the fault on.")
    print(f"{well} of {len(told)} jobs went on by themselves, with every row once and nothing that the journal held paid again")
    return 0 if well == len(told) else 1


def _outcome(trial: Trial) -> Outcome | None:
    try:
        return trial.outcome()
    except (StandstillError, RuntimeError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return None


def _as_dict(fault: Fault, seed: int, outcome: Outcome | None) -> dict[str, Any]:
    fields = {} if outcome is None else outcome.as_dict()
    return {"fault": fault.name, "seed": seed, "clean": outcome is not None and outcome.clean, **fields}


if __name__ == "__main__":
    sys.exit(main())
