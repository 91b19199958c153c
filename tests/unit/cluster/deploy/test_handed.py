"""What goes to a job of the cluster, and what comes back of it."""

import pytest
from partsong_cluster.deploy.handed import Handed, Line

from partsong.contracts.allowed import Allowed
from partsong.errors import MeshError, Place, Problem, RunError, StoreError
from partsong.mesh import load_text

MESH = 'version: 1\nmodels: {a: {adapter: openai, base_url: "http://127.0.0.1:1/v1", model: m, api_key: {env: SECRET_NAME}}}\n'


def test_the_mesh_arrives_as_it_was(tmp_path):
    loaded = load_text(MESH, tmp_path, env={}, check_secrets=False)
    sent = Handed(
        doing="plan",
        deploy="version: 1\nname: a\n",
        deploy_file="d.yaml",
        mesh=loaded.mesh.pack().decode(),
        mesh_hash=loaded.hash,
        allowed=Allowed(key_files=True),
    )
    got = Handed.model_validate_json(sent.model_dump_json()).loaded
    assert (got.mesh, got.hash, got.allowed.key_files) == (loaded.mesh, loaded.hash, True)
    assert str(got.folder) == "mesh"


@pytest.mark.parametrize(
    "error",
    [
        MeshError.of([Problem("a", "this", Place("d.yaml", 3, 1, "pools.x"), "mend it"), Problem("b", "that")]),
        RunError("jobs-at-work", "2 jobs", remedy="wait"),
        StoreError("store-away", "nobody answers"),
    ],
)
def test_errors_come_back_with_their_places_and_remedies(error):
    told = Line.model_validate_json(Line.of_error(error).model_dump_json()).error
    assert type(told) is type(error)
    assert [str(problem) for problem in told.problems] == [str(problem) for problem in error.problems]


def test_a_line_that_tells_nothing_is_the_end():
    assert Line().error is None
    assert Line.model_validate_json("{}") == Line()
