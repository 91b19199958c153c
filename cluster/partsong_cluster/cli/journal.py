"""`partsong journal`: what a disk has done to a run's journal: whether it is sound, and keeping what can be read of one that is not."""

from pathlib import Path
from typing import Annotated

import typer

from partsong.errors import Place, StoreError
from partsong.journal.postgres_address import is_postgres
from partsong.journal.salvage import problems, salvage
from partsong_cluster.batch.folder import JOURNAL, SNAPSHOT, read_snapshot
from partsong_cluster.cli.exit_codes import ExitCode

__all__ = ["app"]

app = typer.Typer(
    name="journal",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="A run's journal after a fault of the disk: is it sound (check), keep what can be read of it (salvage).",
)

Journal = Annotated[Path, typer.Argument(help="A run's folder, or the journal's own file.", metavar="PATH", show_default=False)]


@app.command("check")
def check(path: Journal) -> None:
    """Read all of the journal; exit with 6 if anything in it is not what was written."""
    found = problems(_file(path))
    for problem in found:
        typer.echo(problem)
    if found:
        typer.echo(f"To keep what can be read:  partsong journal salvage {path}", err=True)
        raise typer.Exit(ExitCode.STORAGE)
    typer.echo("sound")


@app.command("salvage")
def salvage_journal(path: Journal) -> None:
    """Put a sound journal with all that can be read in the place of a damaged one, which is kept beside it.

    The run goes on with the command that it was started with: what is missing is asked again, the output files are written anew.
    """
    file = _file(path)
    if not problems(file):
        typer.echo("sound: there is nothing to salvage")
        return
    kept = salvage(file)
    typer.echo(f"kept {kept.rows:,} finished rows and {kept.calls:,} calls; {kept.dropped:,} more were not what was written")
    typer.echo(f"the damaged journal is now {kept.damaged}")


def _file(path: Path) -> Path:
    if path.is_dir() and not (path / JOURNAL).exists() and (path / SNAPSHOT).exists():
        url = read_snapshot(path).get("store", {}).get("url") or ""
        if is_postgres(url):
            remedy = "PostgreSQL checks its own files (pg_amcheck, data checksums); restore a damaged one from a copy (docs/store.md)"
            raise StoreError("store-scheme", "this run's journal is in PostgreSQL, and no file", at=Place(str(path)), remedy=remedy)
    return path / JOURNAL if path.is_dir() else path
