"""Wheel: this installation as a wheel, so that it travels with a job to a cluster that has another version or none.

Made of the installed files, whether they were installed from a wheel or stand in a source tree. The build number in its name comes from
its content: a cluster keeps packages by their names. It asks for no other packages: nodes have those that Partsong stands on, and pip would
fetch all of them anew beside those, Ray too.
"""

import base64
import hashlib
import re
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from partsong.errors import EngineError

__all__ = ["write_wheel"]

_PACKAGES = ("partsong", "partsong_actors", "partsong_cluster")
_ASKS = re.compile(r"(Requires-Dist|Provides-Extra):")
_TAG = "py3-none-any"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_wheel(folder: Path) -> Path:
    """Write the wheel into the folder and return its path; the same files make the same wheel."""
    files = _files()
    digest = hashlib.blake2b(digest_size=6)
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    version = distribution("partsong").version
    path = folder / f"partsong-{version}-1h{digest.hexdigest()}-{_TAG}.whl"
    info = f"partsong-{version}.dist-info"
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: partsong\nRoot-Is-Purelib: true\nTag: {_TAG}\n".encode()
    record = "".join(f"{name},sha256={_sha256(content)},{len(content)}\n" for name, content in sorted(files.items()))
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return path


def _files() -> dict[str, bytes]:
    try:
        installed = distribution("partsong")
    except PackageNotFoundError:
        what = "Partsong is not installed here, so that it cannot be made a package for the cluster"
        raise EngineError("not-installed", what, remedy="pip install partsong, or --no-package where the cluster has it") from None
    info = f"partsong-{installed.version}.dist-info"
    metadata = "".join(line for line in (installed.read_text("METADATA") or "").splitlines(keepends=True) if not _ASKS.match(line))
    entry_points = installed.read_text("entry_points.txt") or ""
    return dict(_modules()) | {f"{info}/METADATA": metadata.encode(), f"{info}/entry_points.txt": entry_points.encode()}


def _modules() -> Iterator[tuple[str, bytes]]:
    for package in _PACKAGES:
        spec = find_spec(package)
        assert spec is not None, "this module is in one of them"
        for folder in map(Path, spec.submodule_search_locations or ()):
            for path in sorted(folder.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    yield f"{package}/{path.relative_to(folder).as_posix()}", path.read_bytes()


def _sha256(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
