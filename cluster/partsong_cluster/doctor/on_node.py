"""On node: what a machine has of what the models of a mesh need; runs there, with the Partsong that is installed there."""

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from partsong.adapters.adapter import Surroundings
from partsong.adapters.discreet import adapter_of
from partsong.adapters.weights import cache_folder, located
from partsong.contracts import Failure, ModelSpec, Sampling, SecretRef, Task
from partsong.contracts.allowed import PYTHON_VARIABLE, Allowed, python_is_off
from partsong.errors import PartsongError
from partsong.mesh import Mesh
from partsong.mesh.secrets import model_secret, resolve
from partsong_cluster.doctor.patient import ModelHealth

__all__ = ["health_of"]

_ANSWERS_WITHIN_S = 60.0
_QUESTION = "Reply with one word."


def health_of(packed: bytes, folder: str, allowed: Allowed, *, ask: bool) -> Sequence[ModelHealth]:
    """Return how each model fares here; `ask` makes one call of one token to each, which may cost."""
    mesh = Mesh.unpack(packed)
    return asyncio.run(_all(mesh, Path(folder), allowed, ask=ask))


async def _all(mesh: Mesh, folder: Path, allowed: Allowed, *, ask: bool) -> Sequence[ModelHealth]:
    return await asyncio.gather(*[_health(name, spec, folder, allowed, ask=ask) for name, spec in mesh.models.items()])


async def _health(name: str, spec: ModelSpec, folder: Path, allowed: Allowed, *, ask: bool) -> ModelHealth:
    weights, remedy = _weights(spec, folder, allowed)
    ref = model_secret(spec)
    secret, wrong = _key(ref, folder, allowed)
    asked = await _asked(spec, Surroundings(name, folder, secret, allowed)) if ask and not wrong and not weights else None
    return ModelHealth(model=name, weights=weights, weights_remedy=remedy, key=wrong, key_name=_named(ref), asked=asked)


def _weights(spec: ModelSpec, folder: Path, allowed: Allowed) -> tuple[str | None, str]:
    named = getattr(spec, "weights", None)
    if named is None:
        return None, ""
    try:
        located(named, folder, cache_folder(os.environ), allowed)
    except PartsongError as error:
        return error.problems[0].what, error.problems[0].remedy
    return "", ""


def _key(ref: SecretRef | None, folder: Path, allowed: Allowed) -> tuple[str | None, str | None]:
    """Return the key, and what is wrong with it."""
    if ref is None:
        return None, None
    try:
        return resolve(ref, os.environ, folder, None, allowed), ""
    except PartsongError as error:
        return None, error.problems[0].what


def _named(ref: SecretRef | None) -> str:
    return "" if ref is None else ref.env or f"file {ref.file}"


async def _asked(spec: ModelSpec, around: Surroundings) -> str:
    """Return nothing when it answers; else its failure, which holds no key."""
    if spec.adapter == "python" and python_is_off(os.environ):
        return f"it is Python code, and {socket.gethostname()} runs none ({PYTHON_VARIABLE}=off)"
    task = Task.of(_QUESTION).model_copy(update={"sampling": Sampling(max_tokens=1)})
    adapter = adapter_of(spec, around)
    try:
        async with asyncio.timeout(_ANSWERS_WITHIN_S):
            await adapter.open()
            reply = await adapter.complete(task)
    except PartsongError as error:
        return error.problems[0].what
    except TimeoutError:
        return f"no answer within {_ANSWERS_WITHIN_S:.0f} s on {socket.gethostname()}"
    finally:
        await adapter.close()
    return f"{reply.code}: {reply.message}" if isinstance(reply, Failure) else ""
