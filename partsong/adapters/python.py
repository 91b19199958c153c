"""Python workers: an `async def`, a plain function or a class, named by import path, that answers tasks beside the language models."""

import asyncio
import contextvars
import hashlib
import importlib
import inspect
import logging
import sys
import threading
import time
import traceback
import types
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue

from partsong.adapters.adapter import Adapter, Surroundings
from partsong.adapters.beside import OUTSIDE_REMEDY, lies_within
from partsong.contracts import Completion, Failure, FailureCode, ModelSpec, Task, Timing, Usage
from partsong.contracts.allowed import NOTHING, Allowed
from partsong.errors import MeshError, Problem

__all__ = ["PythonAdapter", "PythonSpec", "imported"]

_log = logging.getLogger(__name__)
_loading = threading.Lock()
_MESSAGE_CHARS = 300
_FREE = "partsong.specialists."
"""Modules that every mesh file may name."""
_WANTED = "a str, a (str, confidence) pair, a Completion or a Failure"


class PythonSpec(ModelSpec):
    """A Python worker in the mesh file.

    The target takes the task and `args` and returns its answer as a `str`, a `(str, confidence)` pair, a `Completion` or a `Failure`:

    - an `async def` runs on the worker's event loop;
    - a plain function runs in a thread (a cancelled call's thread runs to its end, unheard);
    - a class is constructed once with `args` and is then asked by its `complete` or `__call__`, and by `close` at the end if it has one.
    """

    sees_row: ClassVar[bool] = True

    adapter: Literal["python"]
    target: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$", examples=["workers:shout"])]
    """`package.module:name`, a module beside the mesh file or one of `partsong.specialists`; other installed ones if the user allows it."""
    args: dict[str, JsonValue] = {}
    """Keyword arguments of the function, or of the class's constructor."""


class PythonAdapter(Adapter):
    """Asks one Python function or object."""

    kind: ClassVar[str] = "python"
    Spec: ClassVar[type[ModelSpec]] = PythonSpec

    @classmethod
    def problems(cls, spec: PythonSpec, folder: Path, allowed: Allowed) -> Iterator[tuple[str, Problem]]:
        """See Adapter.problems."""
        try:
            imported(spec.target, folder, allowed)
        except MeshError as error:
            yield "target", error.problems[0]

    def __init__(self, spec: PythonSpec, around: Surroundings) -> None:
        self._spec = spec
        self._around = around
        self._ask: Callable[..., Any] | None = None
        self._args: dict[str, JsonValue] = {}
        self._instance: object = None
        self._threads: ThreadPoolExecutor | None = None
        self._raised = Counter[str]()
        """What the target raised and where, how often: a traceback a row would drown the log."""

    async def open(self) -> None:
        """Import the target and construct it if it is a class, in a thread: either may load a model."""
        self._threads = ThreadPoolExecutor(min(self._spec.concurrency, 32), thread_name_prefix=f"partsong-{self._around.name}")
        await asyncio.get_running_loop().run_in_executor(self._threads, self._ready)

    async def close(self) -> None:
        """Close the worker if it can be closed; calls still in threads are left to end by themselves."""
        for what, times in self._raised.items():
            if times > 1:
                _log.warning("worker %s (%s) raised %s %d times", self._around.name, self._spec.target, what, times)
        self._raised.clear()
        closing = getattr(self._instance, "close", None)
        if callable(closing):
            done = closing()
            if inspect.isawaitable(done):
                await done
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        self._ask = self._instance = self._threads = None

    async def complete(self, task: Task, on_text: Callable[[str], None] | None = None) -> Completion | Failure:
        """Ask the target once; what it raises is a failure, with its traceback in the log alone, once for each place."""
        assert self._ask is not None, "open comes first"
        assert self._threads is not None, "open comes first"
        start_s = time.perf_counter()
        meter = _Meter()
        try:
            if _is_async(self._ask):
                answer = await _metered(self._ask(task, **self._args), meter)
            else:
                call = contextvars.copy_context().run
                loop = asyncio.get_running_loop()
                answer = await loop.run_in_executor(self._threads, call, meter.time, self._ask, task, self._args)
        except Exception as error:  # noqa: BLE001  whatever a user's function raises costs this call and no more
            return self._failure(f"{self._spec.target} raised {self._noted(error)}; the log has the words of the first")
        reply = self._completion(task, answer, Timing(total_s=time.perf_counter() - start_s, cpu_s=meter.cpu_s))
        if on_text is not None and isinstance(reply, Completion):
            on_text(reply.text)
        return reply

    def _noted(self, error: Exception) -> str:
        """Return what was raised where; the first such goes to the log."""
        what = f"{type(error).__name__}{_spot(error)}"
        self._raised[what] += 1
        if self._raised[what] == 1:
            note = "worker %s (%s) raised; others from the same place are only counted"
            _log.warning(note, self._around.name, self._spec.target, exc_info=error)
        return what

    def _ready(self) -> None:
        spec = self._spec
        found = imported(spec.target, self._around.folder, self._around.allowed)
        if inspect.isclass(found):
            self._instance = self._constructed(found)
            found = getattr(self._instance, "complete", None) or self._instance
        else:
            self._args = dict(spec.args)
        if not callable(found):
            raise MeshError(
                "not-callable",
                f"{spec.target} is a {type(found).__name__}, which cannot be called with a task",
                remedy="name a function, an async function, or a class with a complete or __call__ method",
            )
        try:
            inspect.signature(found).bind(Task.of(""), **self._args)
        except TypeError as error:
            raise self._bad_arguments(error) from error
        self._ask = found

    def _constructed(self, kind: type) -> object:
        try:
            inspect.signature(kind).bind(**self._spec.args)
        except TypeError as error:
            raise self._bad_arguments(error) from error
        try:
            return kind(**self._spec.args)
        except Exception as error:
            raise MeshError(
                "worker-not-constructed",
                f"{self._spec.target} raised {type(error).__name__}: {str(error)[:_MESSAGE_CHARS]}",
                remedy=f"check args of model {self._around.name!r} and what the class needs (files, packages)",
            ) from error

    def _bad_arguments(self, error: TypeError) -> MeshError:
        return MeshError(
            "bad-arguments",
            f"{self._spec.target} does not take a task and args {sorted(self._spec.args)}: {error}",
            remedy=f"a function takes (task, **args), a class takes (**args); change args of model {self._around.name!r} or the function",
        )

    def _completion(self, task: Task, answer: object, timing: Timing) -> Completion | Failure:
        if isinstance(answer, Completion | Failure):
            return answer
        text, confidence = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
        if not isinstance(text, str):
            return self._failure(f"{self._spec.target} returned a {type(answer).__name__}; return {_WANTED}")
        if confidence is not None and not (isinstance(confidence, int | float) and 0 <= confidence <= 1):
            return self._failure(f"{self._spec.target} returned a confidence that is no number in [0, 1]; return {_WANTED}")
        price = self._spec.price
        usage = Usage() if price is None else _estimated(task, text)
        return Completion(
            text=text,
            model=self._spec.model or self._spec.target,
            usage=usage,
            cost_usd=0.0 if price is None else price.cost_usd(usage),
            timing=timing,
            confidence=confidence,
        )

    def _failure(self, message: str) -> Failure:
        return Failure(code=FailureCode.WORKER_ERROR, message=message[:_MESSAGE_CHARS], where=self._around.name, sent="yes")


def imported(target: str, folder: Path, allowed: Allowed = NOTHING) -> Any:
    """Return what `package.module:name` names: in a module in the folder, else in an installed one.

    Of installed ones only Partsong's own specialists are free: with `subprocess:Popen` and its `args` a mesh file alone would run programs.

    The folder never stays on the import path. A module found there is kept under a name of its own, so that two meshes may each have a
    `workers.py`; the modules beside it can be imported while it loads.
    """
    module_name, _, path = target.partition(":")
    try:
        found: Any = _module(module_name, folder, allowed)
        if module_name.startswith(_FREE) and not allowed.installed_modules and path not in found.__all__:
            raise AttributeError(f"{module_name} offers {', '.join(found.__all__)}, not {path!r}")
        for part in path.split("."):
            found = getattr(found, part)
    except MeshError:
        raise
    except AttributeError as error:
        raise MeshError("no-such-target", f"{target}: {error}", remedy="the part after the colon names something in the module") from error
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        remedy = f"install {missing!r}, or put {module_name}.py into {folder}" if missing else "mend the module: it raised while it loaded"
        raise MeshError("cannot-import", f"{target}: {type(error).__name__}: {str(error)[:_MESSAGE_CHARS]}", remedy=remedy) from error
    return found


def _module(name: str, folder: Path, allowed: Allowed) -> types.ModuleType:
    top, _, rest = name.partition(".")
    spec = PathFinder.find_spec(top, [str(folder.resolve())])
    if spec is None or spec.loader is None or spec.origin is None:
        return _installed(name, allowed)
    _check_place(spec, folder, allowed)
    own_name = f"_partsong_{hashlib.sha256(spec.origin.encode()).hexdigest()[:12]}_{top}"
    with _loading, _importable(folder.resolve()):
        if own_name not in sys.modules:
            _load(own_name, spec)
        found = sys.modules[own_name]
        for part in rest.split(".") if rest else ():
            inner = importlib.util.find_spec(f"{found.__name__}.{part}")
            if inner is not None:
                _check_place(inner, folder, allowed)
            found = importlib.import_module(f"{found.__name__}.{part}")
        return found


def _installed(name: str, allowed: Allowed) -> types.ModuleType:
    is_there = importlib.util.find_spec(name.partition(".")[0]) is not None
    if is_there and not allowed.installed_modules and not name.startswith(_FREE):
        raise MeshError(
            "installed-module",
            f"module {name!r} does not lie beside the mesh file",
            remedy=f"put {name.partition('.')[0]}.py there, or, if you trust the mesh file, allow it with --allow installed-modules",
        )
    return importlib.import_module(name)


def _check_place(spec: ModuleSpec, folder: Path, allowed: Allowed) -> None:
    """Raise MeshError for a module that is a link out of the folder."""
    if spec.origin is not None and not allowed.outside_files and not lies_within(Path(spec.origin), folder):
        raise MeshError(
            "outside-folder", f"module {spec.name.split('.')[-1]!r} is a link out of the mesh file's folder", remedy=OUTSIDE_REMEDY
        )


def _load(own_name: str, found: ModuleSpec) -> None:
    spec = importlib.util.spec_from_file_location(own_name, found.origin, submodule_search_locations=found.submodule_search_locations)
    assert spec is not None, "a module found in a folder has a file"
    assert spec.loader is not None, "a module found in a folder has a loader"
    module = module_from_spec(spec)
    sys.modules[own_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[own_name]
        raise


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let modules in the folder be imported, after installed ones, and forget them at the end (those who imported them keep them)."""
    before = set(sys.modules)

    class _Beside:
        @staticmethod
        def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG004
            return PathFinder.find_spec(name, [str(folder)]) if path is None else None

    sys.meta_path.append(_Beside)
    try:
        yield
    finally:
        sys.meta_path.remove(_Beside)
        for name in set(sys.modules) - before:
            origin = getattr(getattr(sys.modules[name], "__spec__", None), "origin", None) or ""
            if origin.startswith(str(folder)) and not name.startswith("_partsong_"):
                del sys.modules[name]


class _Meter:
    """Sums the processor time of one call, whichever steps it takes."""

    def __init__(self) -> None:
        self.cpu_s = 0.0

    def time(self, ask: Callable[..., Any], task: Task, args: dict[str, JsonValue]) -> Any:
        start_s = time.thread_time()
        try:
            return ask(task, **args)
        finally:
            self.cpu_s += time.thread_time() - start_s


@types.coroutine
def _metered(work: Coroutine[Any, Any, Any], meter: _Meter) -> Generator[Any, Any, Any]:
    """Run the coroutine, adding up the processor time of its own steps alone (others run between them on the same loop)."""
    advance: Callable[[Any], Any] = work.send
    sent: Any = None
    while True:
        start_s = time.thread_time()
        try:
            awaited = advance(sent)
        except StopIteration as stop:
            return stop.value
        finally:
            meter.cpu_s += time.thread_time() - start_s
        try:
            advance, sent = work.send, (yield awaited)
        except BaseException as thrown:  # noqa: BLE001  handed on to the coroutine, as `yield from` does
            advance, sent = work.throw, thrown


def _spot(error: Exception) -> str:
    """Return where it was raised, ` at workers.py:12`; not its words, which may hold a prompt or a key."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _is_async(ask: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(ask) or inspect.iscoroutinefunction(getattr(ask, "__call__", None))  # noqa: B004


def _estimated(task: Task, text: str) -> Usage:
    prompt_chars = sum(len(message.text) for message in task.messages)
    return Usage(prompt_tokens=-(-prompt_chars // 4), completion_tokens=-(-len(text) // 4), estimated=True)
