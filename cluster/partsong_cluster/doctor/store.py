"""Store: can the journal's store be reached, read and written, from here and from the nodes? And the place of large records?"""

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from partsong.errors import PartsongError
from partsong.journal.address import open_store
from partsong_cluster.doctor.finding import Finding, fail, ok, warn
from partsong_cluster.doctor.patient import Patient

__all__ = ["address_of", "reached", "segments", "store"]

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgresql+asyncpg://")
_POSTGRES_PORT = 5432
_EPOCH = "doctor"
_NOT_YET = {
    "store-missing": "nothing, if it is new: the first run makes its tables; else name the right database",
    "store-older": "nothing: the next run brings it up; older versions cannot use it then",
}
_WRITTEN = b"written by partsong doctor"


def store(patient: Patient) -> Iterator[Finding]:
    """Can the store be opened, read and written from here?"""
    url = _url(patient)
    if url is None:
        return
    if url.startswith(_SQLITE):
        yield _sqlite(url, patient)
        return
    try:
        with closing(open_store(url, Path(), read_only=True)):
            pass  # it is there, and of this version's schema: opening it to write would make or change its tables
        with closing(open_store(url, Path())) as opened:
            epoch = opened.claim(_EPOCH)
    except PartsongError as error:
        problem = error.problems[0]
        level = warn if problem.code in _NOT_YET else fail
        yield level(_shown(url), problem.what, _NOT_YET.get(problem.code, problem.remedy))
    else:
        yield ok(_shown(url), f"of this version's schema, read and written; epochs are counted ({epoch.name} {epoch.number})")


def reached(patient: Patient) -> Iterator[Finding]:
    """Does every node reach the store's host?"""
    for one in patient.machines if patient.clustered else ():
        for address, why_not in one.reaches.items():
            if why_not:
                yield fail(
                    one.where,
                    f"does not reach the store at {address}: {why_not}",
                    "let the nodes reach it: firewall, listen_addresses, DNS",
                )
            else:
                yield ok(one.where, f"reaches the store at {address}")


def segments(patient: Patient) -> Iterator[Finding]:
    """Can the place of large records be written, read and tidied from here?"""
    url = patient.deploy.deploy.store.segments if patient.deploy is not None else None
    if url is None:
        return
    import fsspec

    name = f"{url.rstrip('/')}/doctor-{uuid.uuid4().hex}"
    try:
        system, path = fsspec.core.url_to_fs(name)
        system.pipe_file(path, _WRITTEN)
        read = system.cat_file(path)
        system.rm_file(path)
    except Exception as error:  # noqa: BLE001  whatever a filesystem raises is what is to be told
        remedy = "check the bucket, the endpoint, and the credentials that this machine has"
        yield fail(url, f"cannot be used: {type(error).__name__}: {str(error)[:200]}", remedy)
        return
    if read == _WRITTEN:
        yield ok(url, "written, read and deleted")
    else:
        yield fail(url, "gives back something else than was written", "use a store that reads what was written")


def address_of(url: str | None) -> tuple[tuple[str, int], ...]:
    """Return host and port of a store on a server; none of a file."""
    if url is None or not url.startswith(_POSTGRES):
        return ()
    parts = urlsplit(url)
    return ((parts.hostname, parts.port or _POSTGRES_PORT),) if parts.hostname else ()


def _url(patient: Patient) -> str | None:
    if patient.deploy is not None and patient.deploy.deploy.store.url is not None:
        return patient.deploy.deploy.store.url
    return patient.loaded.mesh.store.url if patient.loaded is not None else None


def _sqlite(url: str, patient: Patient) -> Finding:
    path = Path(url.removeprefix(_SQLITE))
    if len(patient.nodes) > 1:
        return warn(
            url,
            "a file of one machine, and the cluster has several",
            "give a PostgreSQL in the deploy file: `store: {url: postgresql://...}`",
        )
    folder = path.parent
    if path.is_absolute() and not folder.is_dir():
        return fail(url, f"there is no folder {folder}", f"mkdir -p {folder}")
    return ok(url, "a file; nothing to reach")


def _shown(url: str) -> str:
    """Return the address without what could be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
