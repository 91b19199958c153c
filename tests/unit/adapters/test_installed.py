"""How installed adapters are found: by entry point, each loaded when it is first taken."""

import sys

import pytest

from partsong.adapters.adapter import adapter_kinds
from partsong.errors import MeshError


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution on the path that brings two adapters, of which one cannot be loaded."""
    package = tmp_path / "extra-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        "[partsong.adapters]\nextra = partsong_extra_adapter:Extra\nbroken = partsong_extra_adapter:Nothing\n"
    )
    (tmp_path / "partsong_extra_adapter.py").write_text("class Extra: kind = 'extra'\n")
    monkeypatch.syspath_prepend(tmp_path)
    adapter_kinds.cache_clear()
    yield adapter_kinds()
    adapter_kinds.cache_clear()
    sys.modules.pop("partsong_extra_adapter", None)


def test_an_adapter_of_another_package_is_found(installed):
    assert "extra" in installed
    assert {"openai", "recorded"} <= set(installed)
    assert installed["extra"].kind == "extra"


def test_an_adapter_is_loaded_when_it_is_first_taken(installed):
    assert "partsong_extra_adapter" not in sys.modules
    assert installed["extra"]
    assert "partsong_extra_adapter" in sys.modules


def test_an_adapter_that_cannot_be_loaded_is_a_clear_error(installed):
    with pytest.raises(MeshError, match=r"adapter 'broken' cannot be loaded") as caught:
        installed["broken"]
    assert caught.value.code == "adapter-broken"
    assert "partsong_extra_adapter:Nothing" in caught.value.problems[0].remedy


def test_a_name_that_is_not_installed_is_a_key_error(installed):
    assert "nobody" not in installed
    with pytest.raises(KeyError):
        installed["nobody"]
