"""Learning: what a fit on a large table takes, and what one decision takes afterwards.

    python benchmarks/learning.py --train DIR [--rows 10000] [--json]

DIR is a data set as of benchmarks/quality.py; its largest task is drawn from again until there are as many rows. The goals: one fit of all
policies on 10,000 rows x 14 models in under a minute, a decision in under a millisecond at the 99th percentile. `partsong learn` fits
twice: on two thirds of the rows, to judge on the others, and on all.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from quality import decision_ms, recorded

from partsong.learning.learned import fit_learned
from partsong.learning.outcomes import Outcomes
from partsong.learning.policies import Policies, fit_policies
from partsong.learning.settings import Settings

PROMPTS = 500
T = TypeVar("T")


def drawn(table: Outcomes, rows: int) -> Outcomes:
    """Return a table of so many rows: each once, then some again under another wording, so that no two prompts are the same."""
    again = np.random.default_rng(0).choice(len(table), max(0, rows - len(table)))
    found = table.rows([*range(min(rows, len(table))), *again])
    return replace(found, prompts=tuple(p if i < len(table) else f"{p} (again, {i})" for i, p in enumerate(found.prompts)))


def timed(fit: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """Return what was fitted, and its seconds: on the clock and of the processor."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    found = fit()
    return found, {"wall_s": round(time.perf_counter() - wall_s, 1), "cpu_s": round(time.process_time() - cpu_s, 1)}


def main() -> None:
    """Fit, decide, tell."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--train", type=Path, required=True)
    options.add_argument("--rows", type=int, default=10_000)
    options.add_argument("--json", action="store_true")
    args = options.parse_args()
    tasks = list(recorded(args.train))
    if not tasks:
        sys.exit(f"no questions.TASK.jsonl.gz under {args.train}")
    table = drawn(max(tasks, key=lambda one: len(one.outcomes)).outcomes, args.rows)
    report: dict[str, Any] = {"rows": len(table), "models": len(table.models)}

    def told(name: str, figures: dict[str, float]) -> None:
        report[name] = figures
        if not args.json:
            print(f"{name}: {', '.join(f'{figure} {value:,}' for figure, value in figures.items())}", flush=True)

    (policies, _), fit = timed(lambda: fit_policies(table))
    told("fit", fit)
    told("decision", _decided(policies, table.prompts[:: max(1, len(table) // PROMPTS)]))
    told("decision on the longest hundredth", _decided(policies, sorted(table.prompts, key=len)[-len(table) // 100 :]))
    told("learn", timed(lambda: fit_learned(table, Settings(), date=""))[1])
    if args.json:
        print(json.dumps(report, indent=1))


def _decided(policies: Policies, prompts: Sequence[str]) -> dict[str, float]:
    p50, p99 = decision_ms(lambda prompt: policies.gate.p_right([prompt]), prompts)
    return {"chars_p50": float(np.median([len(prompt) for prompt in prompts])), "cpu_ms_p50": p50, "cpu_ms_p99": p99}


if __name__ == "__main__":
    main()
