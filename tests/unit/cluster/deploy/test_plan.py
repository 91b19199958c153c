"""What applying a deploy file would change, and whether it can be changed while the system works."""

import pytest
from partsong_cluster.deploy.applied import Applied, Running
from partsong_cluster.deploy.load import load_deploy_text
from partsong_cluster.deploy.plan import planned
from partsong_cluster.deploy.plan_drawn import drawn

from partsong.mesh import load_text

MESH = """
version: 1
models:
  cheap: {adapter: openai, base_url: "http://127.0.0.1:1/v1", model: m}
  dear: {adapter: openai, base_url: "http://127.0.0.1:1/v1", model: d, limits: {requests_per_minute: 60}}
routes: [{use: cheap}]
"""
DEPLOY = (
    "version: 1\nname: support\ncoordinators: {count: 2}\npools: {cheap: {workers: {min: 1, max: 2}}}\nstore: {url: 'sqlite:///a.db'}\n"
)


@pytest.fixture
def applied(tmp_path):
    return lambda deploy=DEPLOY, mesh=MESH: Applied.of(load_deploy_text(deploy).deploy, load_text(mesh, tmp_path, env={}))


@pytest.fixture
def changed(applied):
    def changed(deploy=DEPLOY, mesh=MESH):
        return planned(Running("support", "partsong", ["pools", "job/r1", "worker/cheap/1"], applied()), applied(deploy, mesh))

    return changed


def steps(plan):
    return [(step.sign, step.what, step.field, step.before, step.after) for step in plan.steps]


def test_a_system_that_does_not_run_is_made(applied):
    plan = planned(None, applied())
    assert (plan.exists, plan.nothing, {step.sign for step in plan.steps}) == (False, False, {"+"})
    assert "system support: does not run yet" in drawn(plan)
    assert "  + pool cheap    1..2 workers of 64 calls" in drawn(plan)


def test_nothing_is_to_be_done_where_nothing_differs(changed):
    assert changed().nothing
    assert drawn(changed()) == "system support: is as the deploy file says; there is nothing to do"


def test_pools_grow_and_shrink_while_they_work(changed):
    plan = changed(DEPLOY.replace("max: 2", "max: 8"))
    assert steps(plan) == [("~", "pool cheap", "workers.max", 2, 8)]
    assert not plan.restarts
    assert drawn(plan) == "system support: is changed while it works\n  ~ pool cheap workers.max  2 -> 8"


def test_what_a_worker_is_made_with_is_changed_by_another_worker(changed):
    plan = changed(DEPLOY.replace("workers:", "concurrency: 8, resources: {cpu: 2}, workers:"))
    assert [step.field for step in plan.steps] == ["concurrency", "resources.cpu"]
    assert all("one by one" in step.note for step in plan.steps)
    assert not plan.restarts


@pytest.mark.parametrize(
    ("deploy", "mesh"),
    [
        (DEPLOY.replace("workers:", "generation: 1, workers:"), MESH),
        (DEPLOY, MESH.replace("model: m}", "model: m, api_key: {file: openai-2}}")),
    ],
)
def test_another_key_is_read_by_workers_that_take_the_place_of_those_there_are(changed, deploy, mesh, tmp_path):
    (tmp_path / "openai-2").write_text("k")
    plan = changed(deploy, mesh)
    assert plan.steps
    assert all(step.what == "pool cheap" and "one by one" in step.note for step in plan.steps)
    assert not plan.restarts


def test_limits_of_the_mesh_hold_at_once(changed):
    plan = changed(mesh=MESH.replace("60", "90"))
    assert steps(plan) == [("~", "pool dear", "limits.requests_per_minute", 60, 90)]
    assert not plan.restarts


@pytest.mark.parametrize(
    ("deploy", "mesh", "what"),
    [
        (DEPLOY.replace("a.db", "b.db"), MESH, "store"),
        (DEPLOY.replace("count: 2", "count: 1"), MESH, "coordinators"),
        (DEPLOY + "synthesizers: {count: 2}\n", MESH, "synthesizers"),
        (DEPLOY + "control: {labels: {spot: '!true'}}\n", MESH, "control"),
        (DEPLOY + "security: {python_adapter: off}\n", MESH, "python_adapter"),
        (DEPLOY, MESH.replace("{use: cheap}", "{use: dear}"), "mesh (routes)"),
        (DEPLOY, MESH.replace("model: m}", "model: n}"), "mesh (models)"),
        (DEPLOY, f"{MESH}embeddings: minilm\n", "mesh (embeddings)"),
        (DEPLOY, f"{MESH}experiments: {{trial: {{split: {{champion: cheap, challenger: dear}}}}}}\n", "mesh (experiments)"),
    ],
)
def test_what_the_system_is_made_of_needs_it_to_begin_anew(changed, deploy, mesh, what):
    plan = changed(deploy, mesh)
    assert what in [step.what for step in plan.steps if step.sign == "!"]
    assert plan.restarts
    assert "end and begin anew" in drawn(plan)


def test_more_coordinators_join_while_it_works(changed):
    plan = changed(DEPLOY.replace("count: 2", "count: 4"))
    assert (steps(plan), plan.restarts) == ([("~", "coordinators", "", 2, 4)], False)


def test_where_the_machines_are_is_no_matter_of_the_system(changed):
    assert changed(DEPLOY + "autoscaling: {max_nodes: 3}\nkubernetes: {image: other}\n").nothing


def test_a_system_that_nobody_applied_a_file_to_is_set_whatever_it_is(applied):
    plan = planned(Running("support", "partsong", ["pools"], None), applied())
    assert (plan.known, plan.restarts, plan.nothing) == (False, False, False)


def test_what_is_kept_comes_back_as_it_was(applied):
    assert Applied.model_validate_json(applied().model_dump_json()) == applied()


def test_workers_are_counted_by_their_model():
    there = Running("support", "partsong", ["worker/a/b/1", "worker/a/b/2", "worker/c/1", "job/r", "coordinator-0"], None)
    assert (there.workers, there.of("job/")) == ({"a/b": 2, "c": 1}, ["job/r"])
