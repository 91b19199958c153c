"""Secrets: what `{env: NAME}` and `{file: path}` refer to, read when it is needed and kept out of everything that is printed."""

from collections.abc import Mapping
from pathlib import Path

from partsong.adapters.beside import lies_within, placed
from partsong.contracts import ModelSpec, SecretRef
from partsong.contracts.allowed import NOTHING, Allowed
from partsong.errors import MeshError, Place

__all__ = ["model_secret", "resolve", "secrets_of", "variables_of"]

_LONGEST_BYTES = 64_000


def resolve(ref: SecretRef, env: Mapping[str, str], folder: Path, at: Place | None = None, allowed: Allowed = NOTHING) -> str:
    """Return the secret, without the line end that ends it; MeshError names the reference, never the value.

    A file outside the folder is read only if the user allows it: a mesh file names the server too that the key is sent to.
    """
    if ref.env is not None:
        return _from_env(ref.env, env, at)
    assert ref.file is not None, "a reference names one of the two"
    return _from_file(_key_file(folder, ref.file, allowed, at), at)


def model_secret(spec: ModelSpec) -> SecretRef | None:
    """Return the reference that a model's entry holds, if its adapter takes one."""
    ref = getattr(spec, "api_key", None)
    return ref if isinstance(ref, SecretRef) else None


def variables_of(models: Mapping[str, ModelSpec]) -> frozenset[str]:
    """Return the environment variables that hold the models' secrets."""
    refs = [model_secret(spec) for spec in models.values()]
    return frozenset(ref.env for ref in refs if ref is not None and ref.env is not None)


def secrets_of(models: Mapping[str, ModelSpec], env: Mapping[str, str], folder: Path, allowed: Allowed = NOTHING) -> dict[str, str]:
    """Return every model's secret by the model's name; MeshError at the first that cannot be had."""
    refs = {name: model_secret(spec) for name, spec in models.items()}
    return {
        name: resolve(ref, env, folder, Place("", field=f"models.{name}.api_key"), allowed) for name, ref in refs.items() if ref is not None
    }


def _key_file(folder: Path, named: str, allowed: Allowed, at: Place | None) -> Path:
    try:
        path = placed(folder, named)
        inside = allowed.key_files or allowed.outside_files or lies_within(path, folder)
    except (OSError, ValueError, RuntimeError) as error:  # a loop of links, a NUL, a user without home
        raise MeshError("missing-secret", f"secret file {named!r} cannot be read: {error}", at=at, remedy="check its path") from None
    if not inside:
        remedy = "if you trust the mesh file, and the servers it names, with it: --allow key-files, or PARTSONG_ALLOW=key-files"
        raise MeshError("outside-folder", f"secret file {named!r} lies outside the mesh file's folder", at=at, remedy=remedy)
    return path


def _from_env(name: str, env: Mapping[str, str], at: Place | None) -> str:
    if name not in env:
        raise MeshError("missing-secret", f"environment variable {name} is not set", at=at, remedy=f"export {name}=...")
    return _usable(env[name], f"environment variable {name}", at)


def _from_file(path: Path, at: Place | None) -> str:
    remedy = "the file holds the secret and nothing else, and this user may read it"
    try:
        if path.exists() and not path.is_file():
            raise MeshError("missing-secret", f"secret file {path} is no file", at=at, remedy=remedy)
        with path.open("rb") as source:
            raw = source.read(_LONGEST_BYTES + 1)
        text = raw.decode()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path, or bytes that are no UTF-8
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise MeshError("missing-secret", f"secret file {path} cannot be read: {why}", at=at, remedy=remedy) from None
    if len(raw) > _LONGEST_BYTES:
        raise MeshError("bad-secret", f"secret file {path} is longer than {_LONGEST_BYTES:,} bytes", at=at, remedy=remedy)
    return _usable(text, f"secret file {path}", at)


def _usable(value: str, source: str, at: Place | None) -> str:
    secret = value.rstrip("\r\n")
    if not secret.strip():
        raise MeshError("missing-secret", f"{source} is empty", at=at, remedy="put the key into it")
    if not secret.isprintable() or not secret.isascii() or secret != secret.strip():
        what = f"{source} holds spaces at its ends, line ends or characters outside ASCII: no header can carry it"
        raise MeshError("bad-secret", what, at=at, remedy="put the key and nothing else into it")
    return secret
