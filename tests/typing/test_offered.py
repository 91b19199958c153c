"""What a module offers is its `__all__`, and that is true."""

import ast
import importlib
import pkgutil
from pathlib import Path

import partsong_actors
import partsong_cluster
import pytest

import partsong

PACKAGES = (partsong, partsong_actors, partsong_cluster)
MODULES = sorted(
    [package.__name__ for package in PACKAGES]
    + [module.name for package in PACKAGES for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
)


def public_names(module):
    """Return the functions and classes that the module itself defines and that do not begin with `_`."""
    tree = ast.parse(Path(module.__file__).read_text())
    defined = (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef))
    return {name for name in defined if not name.startswith("_")}


@pytest.mark.parametrize("name", MODULES)
def test_every_name_a_module_offers_is_there_once_and_in_order(name):
    module = importlib.import_module(name)
    offered = getattr(module, "__all__", None)
    if offered is None:
        assert not public_names(module), f"{name} has no __all__"
        return
    missing = [each for each in offered if not hasattr(module, each)]
    assert missing == []
    assert len(set(offered)) == len(offered)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_a_face_offers_all_that_it_brings_in(package):
    tree = ast.parse(Path(package.__file__).read_text())
    brought = {alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert brought == set(getattr(package, "__all__", ()))


def test_the_contracts_face_offers_every_contract():
    import partsong.contracts as face

    apart = {f"partsong.contracts.{name}" for name in ("credentials", "known", "onekey")}  # tools of the schemas, no contracts
    modules = [
        importlib.import_module(each.name) for each in pkgutil.iter_modules(face.__path__, "partsong.contracts.") if each.name not in apart
    ]
    contracts = {name for module in modules for name in public_names(module)}
    assert contracts <= set(face.__all__), contracts - set(face.__all__)
