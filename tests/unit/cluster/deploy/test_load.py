"""A deploy file that is wrong says where and what to do, as a mesh file does."""

import pytest
from partsong_cluster.deploy import load_deploy
from partsong_cluster.deploy.load import load_deploy_text

from partsong.errors import MeshError

SMALLEST = "version: 1\nname: support\n"


def refusal(text):
    with pytest.raises(MeshError) as caught:
        load_deploy_text(text, "deploy.yaml")
    return caught.value.problems


def test_the_smallest_file_has_a_version_and_a_name():
    deploy = load_deploy_text(SMALLEST).deploy
    assert (deploy.name, deploy.namespace, deploy.coordinators.count, deploy.security.auth) == ("support", "partsong", 1, "token")


@pytest.mark.parametrize(
    ("text", "code", "at", "says"),
    [
        ("", "mesh-empty", "deploy.yaml", "`name:`"),
        ("version: 1\n", "missing-field", "deploy.yaml:1:1 name", "add `name:`"),
        (SMALLEST + "pols: {}\n", "unknown-key", "deploy.yaml:3:1 pols", "did you mean 'pools'?"),
        (SMALLEST + "pools:\n  cheap: {worker: 3}\n", "unknown-key", "deploy.yaml:4:11 pools.cheap.worker", "did you mean 'workers'?"),
        (
            SMALLEST + "pools:\n  cheap:\n    workers: {min: 4, max: 2}\n",
            "wrong-value",
            "deploy.yaml:5:5 pools.cheap.workers",
            "below min 4",
        ),
        (
            SMALLEST + "pools: {cheap: {scale: {queue: soon}}}\n",
            "wrong-value",
            "deploy.yaml:3:32 pools.cheap.scale.queue",
            "a duration like",
        ),
        (SMALLEST + "security: {auth: tokens}\n", "wrong-value", "deploy.yaml:3:18 security.auth", "did you mean 'token'?"),
        ("version: 1\nname: Support Desk\n", "wrong-value", "deploy.yaml:2:7 name", "does not match"),
        (SMALLEST + "coordinators: {count: 0}\n", "out-of-range", "deploy.yaml:3:23 coordinators.count", "more than 0"),
        (SMALLEST + "coordinators: {resources: {gpu: 1}}\n", "unknown-key", "deploy.yaml:3:28 coordinators.resources.gpu", "cpu"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text, code, at, says):
    (problem,) = refusal(text)
    assert problem.code == code
    assert str(problem.at) == at
    assert says in f"{problem.what} {problem.remedy}"


def test_all_problems_are_told_at_once():
    assert [p.code for p in refusal("version: 2\nname: a\nnope: 1\ndefaults: {concurrency: many}\n")] == [
        "wrong-value",
        "unknown-key",
        "wrong-type",
    ]


def test_on_and_off_are_words_for_true_and_false():
    security = load_deploy_text(SMALLEST + "security: {tls: on, python_adapter: off}\n").deploy.security
    assert (security.tls, security.python_adapter) == (True, False)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MeshError, match=r"gone\.yaml cannot be read"):
        load_deploy(tmp_path / "gone.yaml")


def test_the_place_of_a_field_that_is_not_written_is_that_of_what_would_hold_it():
    loaded = load_deploy_text(SMALLEST + "store:\n  url: sqlite:///a.db\n", "d.yaml")
    assert str(loaded.place("store", "url")) == "d.yaml:4:8 store.url"
    assert str(loaded.place("store", "segments")) == "d.yaml:3:1 store.segments"
