"""Mending: what is left of a run after a fault is brought together again before the run goes on; what was mended is told.

A run stands in four places: journal, ledger, output files, `run.json`. The journal is right; the others are made to follow it.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from partsong.contracts import Notice
from partsong.errors import Place, RunError
from partsong.journal.port import JournalPort
from partsong.work.notices import Tell
from partsong_cluster.batch.folder import LEDGER, Manifest, RunFolder
from partsong_cluster.batch.ledger import Ledger
from partsong_cluster.batch.results import Results

__all__ = ["check_new", "found_manifest", "mend_ledger"]


def found_manifest(folder: RunFolder, *, fresh: bool) -> Manifest | None:
    """Return what the run here was started with, if need be by the ledger's copy; None when there is no run, or none that matters."""
    try:
        found, error = folder.manifest(), None
    except RunError as unreadable:
        found, error = None, unreadable
    if found is not None:
        return found
    copy = _copy(folder)
    if copy is None:
        if error is not None and not fresh:
            raise error
        return None
    return copy


def check_new(results: Results) -> None:
    """Refuse to begin a run over output that the journal knows nothing of."""
    with results.errors():
        name = results.holds_rows()
    if name:
        remedy = (
            "put it back, name another place, or delete what stands there (`partsong run` does with --fresh), and all rows are paid again"
        )
        raise RunError(
            "journal-gone", f"the journal of this run is gone, and {name} holds rows of it", at=Place(results.name), remedy=remedy
        )


async def mend_ledger(ledger: Ledger, journal: JournalPort, run: str, tell: Tell) -> None:
    """Have the input read again from its start where the ledger is gone, or says of more rows that they are done than the journal holds."""
    if ledger.was_damaged:
        doing = "it is made anew from the journal and the input, which is read from its start; finished rows are not asked again"
        tell(Notice(code="ledger-rebuilt", where=LEDGER, what="it was damaged", doing=doing))
    done = ledger.position().row
    if done and (held := await journal.finished(run, done)) < done:
        ledger.start_reading_again()
        what = f"of {done:,} rows that were done the journal holds {held:,}: it was damaged, salvaged or put back from a copy"
        doing = f"the input is read again from its start, the {done - held:,} rows that are missing are asked again"
        tell(Notice(code="rows-missing", where="journal", what=what, doing=doing))


def _copy(folder: RunFolder) -> Manifest | None:
    path = folder.path / LEDGER
    if not path.exists():
        return None
    ledger = Ledger(path)
    try:
        copy: Mapping[str, Any] | None = ledger.manifest()
        return None if copy is None else Manifest.model_validate(copy)
    except ValidationError:
        return None
    finally:
        ledger.close()
