"""How many records a store takes: SQLite, and PostgreSQL with 1, 2 and 4 writers, as journals' transactions of 64 rows with a call each.

    .venv/bin/python benchmarks/store.py [--rounds N]

Each writer is a process of its own, as a journal's actor is. All the stores stand on the same disk, synced at each commit; what differs
between them in one run is what counts, not the figures themselves.
"""

import argparse
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from partsong.journal.address import open_store
from partsong.testing.store_conformance import call_record, row_record

ROWS_A_TRANSACTION = 64
RECORDS_A_ROW = 2
SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "postgres"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="transactions of each writer")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="partsong-store-") as folder:
        Path(folder).chmod(0o755)
        measured = {"SQLite": _rate(f"sqlite:///{folder}/journal.db", 1, rounds)}
        url, server = _started(Path(folder) / "postgres")
        try:
            for writers in (1, 2, 4):
                measured[f"PostgreSQL, {writers} writer{'s' if writers > 1 else ''}"] = _rate(url, writers, rounds)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()
    base = measured["SQLite"]
    for name, rate in measured.items():
        print(f"{name:24} {rate:10,.0f} records/s {rate / base:6.2f} of SQLite")


def _rate(url: str, writers: int, rounds: int) -> float:
    """Return the records a second that so many writers of one run append."""
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    processes = [context.Process(target=_write, args=(url, f"run-{writers}", writer, rounds, ready, go)) for writer in range(writers)]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    began_s = time.perf_counter()
    go.set()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return writers * rounds * ROWS_A_TRANSACTION * RECORDS_A_ROW / (time.perf_counter() - began_s)


def _write(url: str, run: str, writer: int, rounds: int, ready: Any, go: Any) -> None:
    with closing(open_store(url, Path())) as store:
        epoch = store.claim(f"{run}/journal-{writer}")
        ready.release()
        go.wait()
        for n in range(rounds):
            first = (writer * rounds + n) * ROWS_A_TRANSACTION
            rows = range(first, first + ROWS_A_TRANSACTION)
            store.append([record for row in rows for record in (call_record(row, run=run), row_record(row, run=run))], [epoch])


def _started(folder: Path) -> tuple[str, subprocess.Popen[str]]:
    server = subprocess.Popen([str(SCRIPT), str(folder)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    if not url:
        sys.exit("PostgreSQL did not start: see above")
    os.environ["PGPASSWORD"] = (folder / "password").read_text()
    return url, server


if __name__ == "__main__":
    main()
