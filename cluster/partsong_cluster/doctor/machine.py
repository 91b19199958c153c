"""Machine: disk, shared memory, open files, and the token's file of each machine."""

from collections.abc import Iterator

from partsong_cluster.doctor.finding import Finding, fail, ok, warn
from partsong_cluster.doctor.patient import Patient

__all__ = ["disk", "object_store", "open_files", "shared_memory", "token_file"]

_GB = 1e9
_LEAST_DISK_BYTES = 2 * _GB
_LITTLE_DISK_SHARE = 0.1
_OPEN_FILES = 8_192
"""Ray itself advises no less; each connection to a provider is one."""
_OTHERS = 0o077


def disk(patient: Patient) -> Iterator[Finding]:
    """Is there room where Ray's logs, spilled objects and a job's scratch folder go?"""
    for one in patient.machines:
        what = f"{one.disk_free / _GB:,.0f} of {one.disk_total / _GB:,.0f} GB free"
        remedy = "delete old sessions in /tmp/ray, or start Ray with --temp-dir on a larger disk"
        if one.disk_free < _LEAST_DISK_BYTES:
            yield fail(one.where, what, remedy)
        elif one.disk_free < _LITTLE_DISK_SHARE * one.disk_total:
            yield warn(one.where, what, remedy)
        else:
            yield ok(one.where, what)


def shared_memory(patient: Patient) -> Iterator[Finding]:
    """Does Ray's object store fit into shared memory? Else it lies on the disk, and is slow."""
    stores = {node.facts.where: node.object_store_bytes for node in patient.nodes if node.facts is not None}
    for one in patient.machines:
        if not one.shm_total:
            continue
        store = stores.get(one.where, 0)
        what = f"shared memory of {one.shm_total / _GB:.1f} GB" + (f" for an object store of {store / _GB:.1f} GB" if store else "")
        if store > one.shm_total:
            yield warn(one.where, what, "give the container more (--shm-size), or start Ray with a smaller --object-store-memory")
        else:
            yield ok(one.where, what)


def object_store(patient: Patient) -> Iterator[Finding]:
    """Does every node have an object store?"""
    for node in patient.nodes:
        if node.object_store_bytes:
            yield ok(node.where, f"{node.object_store_bytes / _GB:.1f} GB")
        else:
            yield fail(node.where, "no object store", "start Ray with --object-store-memory")


def open_files(patient: Patient) -> Iterator[Finding]:
    """May processes open enough files and connections?"""
    for one in patient.machines:
        if one.open_files < _OPEN_FILES:
            yield warn(one.where, f"processes may open {one.open_files:,} files", "raise it before `ray start`: ulimit -n 65536")
        else:
            yield ok(one.where, f"processes may open {one.open_files:,} files")


def token_file(patient: Patient) -> Iterator[Finding]:
    """Can nobody else read the file that the cluster's token is in, where it is in one?"""
    for one in [patient.here, *patient.machines] if patient.clustered else [patient.here]:
        if one.token_mode is None:
            continue
        what = f"{one.token_file} has mode {one.token_mode:04o}"
        if one.token_mode & _OTHERS:
            yield fail(one.where, f"{what}: others on this machine can read it", f"chmod 600 {one.token_file}")
        else:
            yield ok(one.where, what)
