"""Check an installed wheel: `wheel_contents.py WHEEL CHECKOUT`. What should be in it is, and the core needs nothing of the extras."""

import asyncio
import importlib
import pkgutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

PACKAGES = ("partsong", "partsong_actors", "partsong_cluster")
SOURCES = {"partsong": "partsong", "partsong_actors": "actors/partsong_actors", "partsong_cluster": "cluster/partsong_cluster"}
EXTRAS = (
    "alembic",
    "asyncpg",
    "fsspec",
    "py3langid",
    "pyarrow",
    "ray",
    "rich",
    "sqlalchemy",
    "typer",
    "uvloop",
    "vaderSentiment",
    "xllamacpp",
)
NOT_SHIPPED = (".pyc", ".pyo", ".db")
FOR_TESTS = "partsong.testing"
"""Needs pytest, as its users do."""

MESH = "version: 1\nmodels:\n  shout: {adapter: python, target: 'voices:shout'}\n"
VOICES = "async def shout(task):\n    return task.text.upper()\n"


class _Refused:
    """Stands for a machine without the extras."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG004
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"{name} is not there", name=name)
        return None


def main() -> None:
    wheel, checkout = Path(sys.argv[1]), Path(sys.argv[2])
    files_are_shipped(wheel, checkout)
    sys.meta_path.insert(0, _Refused)
    core = core_imports()
    came_from_here = Path(sys.prefix) in Path(str(importlib.import_module("partsong").__file__)).parents
    assert came_from_here, "partsong was imported from somewhere else than the installed wheel"
    asyncio.run(core_answers())
    sys.meta_path.remove(_Refused)
    entries = entry_points_load()
    print(f"wheel: every file of {len(PACKAGES)} packages; {core} modules of the core without extras; {entries} entry points")


def files_are_shipped(wheel: Path, checkout: Path) -> None:
    shipped = set(zipfile.ZipFile(wheel).namelist())
    for package, source in SOURCES.items():
        folder = checkout / source
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix not in NOT_SHIPPED and "__pycache__" not in path.parts:
                name = f"{package}/{path.relative_to(folder).as_posix()}"
                assert name in shipped, f"{name} is not in the wheel"
        assert f"{package}/py.typed" in shipped
    assert not [name for name in shipped if not name.startswith((*PACKAGES, "partsong-"))], "the wheel holds something else"


def core_imports() -> int:
    package = importlib.import_module("partsong")
    names = [module.name for module in pkgutil.walk_packages(package.__path__, "partsong.") if not module.name.startswith(FOR_TESTS)]
    for name in names:
        importlib.import_module(name)
    return len(names)


async def core_answers() -> None:
    import partsong

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mesh.yaml").write_text(MESH)
        (Path(folder) / "voices.py").write_text(VOICES)
        async with partsong.open(Path(folder) / "mesh.yaml") as mesh:
            reply = await mesh.ask("hello")
            assert isinstance(reply, partsong.Answer), reply
            assert reply.text == "HELLO", reply.text


def entry_points_load() -> int:
    points = [
        *entry_points(group="partsong.adapters"),
        *(p for p in entry_points(group="console_scripts") if p.value.startswith("partsong")),
    ]
    for point in points:
        point.load()
    assert (Path(sys.prefix) / "bin/partsong").exists(), "the command `partsong` is not installed"
    return len(points)


if __name__ == "__main__":
    main()
