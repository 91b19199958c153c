"""What every actor of a system is told, and what it refuses."""

import socket
from pathlib import Path

import pytest
from partsong_actors.setup import Around, Placement, Setup, SystemSpec

from partsong.errors import EngineError, MeshError
from partsong.mesh import load_text
from partsong.telemetry import Telemetry

MESH = """\
version: 1
models:
  mini: {adapter: openai, model: mini, base_url: "http://127.0.0.1:9/v1", api_key: {env: KEY}}
  shout: {adapter: python, target: "workers:shout"}
routes: [{use: mini}]
"""
LASTING = SystemSpec(name="faq", lasting=True)


@pytest.fixture
def mesh():
    return load_text(MESH, Path(), env={}, check_secrets=False).mesh


def setup(mesh, system: SystemSpec = LASTING, **fields) -> Setup:
    return Setup(mesh=mesh.pack(), folder=".", store_url="sqlite:///j.db", run_folder="/tmp/run", system=system, **fields)


def test_names_are_those_of_the_system():
    around = Around(system="faq")
    names = (around.pools, around.staff, around.journal(1), around.coordinator(2), around.worker("mini", 3), around.job("run"))
    assert names == ("faq/pools", "faq/staff", "faq/journal-1", "faq/coordinator-2", "faq/worker/mini/3", "faq/job/run")


def test_actors_of_a_lasting_system_are_found_by_name_and_outlive_who_made_them():
    options = LASTING.options("coordinator", "faq/coordinator-0")
    assert (options["name"], options["lifetime"], options["get_if_exists"]) == ("faq/coordinator-0", "detached", True)
    assert "lifetime" not in SystemSpec.passing().options("coordinator", "c")


def test_an_actor_is_placed_as_its_kind_is():
    spec = LASTING.model_copy(update={"placed": {"journal": Placement(cpu=1, custom={"disk": 1}, labels={"zone": "a"})}})
    options = spec.options("journal", "faq/journal-0")
    assert (options["num_cpus"], options["resources"], options["label_selector"]) == (1, {"disk": 1}, {"zone": "a"})
    assert spec.room("journal") == "1 CPU, 1 disk, label zone=a"
    assert spec.room("coordinator") == ""


def test_an_actor_of_another_version_refuses_to_start(mesh):
    with pytest.raises(EngineError) as refused:
        setup(mesh, version="0.0.0").unpacked()
    assert (refused.value.code, "0.0.0" in str(refused.value), socket.gethostname() in str(refused.value)) == ("version-skew", True, True)


def test_a_key_is_read_on_the_node_where_the_system_lasts(mesh):
    at = setup(mesh, secrets_from="node")
    assert at.secret("mini", mesh, env={"KEY": "from-the-node"}) == "from-the-node"
    assert at.secret("shout", mesh, env={}) is None
    with pytest.raises(MeshError, match="KEY is not set"):
        at.secret("mini", mesh, env={})


def test_a_key_that_is_given_is_taken_elsewhere(mesh):
    assert setup(mesh, SystemSpec.passing()).secret("mini", mesh, "given", env={}) == "given"


def test_a_worker_refuses_python_code_where_it_is_off(mesh):
    off = setup(mesh, LASTING.model_copy(update={"python_adapter": False}))
    with pytest.raises(EngineError) as refused:
        off.worker("shout", mesh, None, Telemetry.off())
    assert refused.value.code == "python-off"


def test_a_node_that_runs_no_python_refuses_it_whatever_the_system_says(mesh, monkeypatch):
    monkeypatch.setenv("PARTSONG_PYTHON_ADAPTER", "off")
    with pytest.raises(EngineError, match="PARTSONG_PYTHON_ADAPTER=off") as refused:
        setup(mesh).worker("shout", mesh, None, Telemetry.off())
    assert refused.value.code == "python-off"
    plan = MESH.replace("routes:", 'plans: {p: {cascade: [{ask: shout, trust: {python: "workers:trusts"}}, {ask: mini}]}}\nroutes:')
    trusting = load_text(plan, Path(), env={}, check_secrets=False).mesh
    with pytest.raises(EngineError, match="runs none"):
        setup(trusting).unpacked(importing=True)


def test_each_synthesizer_has_its_part_of_the_coordinators():
    spec = LASTING.model_copy(update={"coordinators": 5, "synthesizers": 2})
    asked = [spec.synthesizer_of(spec.around.coordinator(number)) for number in range(5)]
    assert asked == [f"faq/synthesizer-{number}" for number in (0, 1, 0, 1, 0)]
