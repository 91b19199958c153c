"""A deploy file says where and how many, never what is answered."""

from pathlib import Path

from partsong_cluster.deploy import overlaid, system_spec
from partsong_cluster.deploy.load import load_deploy_text

from partsong.mesh import load_text
from partsong.mesh.content import content_hash

MESH = """
version: 1
models:
  cheap: {adapter: python, target: "answers:cheap", concurrency: 8, resources: {cpu: 1, labels: {zone: a}}}
  dear: {adapter: python, target: "answers:dear", workers: {min: 2, max: 2}}
"""


def mesh(tmp_path):
    (tmp_path / "answers.py").write_text("def cheap(task): ...\ndef dear(task): ...\n")
    return load_text(MESH, tmp_path, env={}).mesh


def deploy(text):
    return load_deploy_text("version: 1\nname: support\n" + text).deploy


def test_a_pool_that_says_nothing_stays_as_the_mesh_has_it(tmp_path):
    assert overlaid(mesh(tmp_path), deploy("")) == mesh(tmp_path)


def test_a_pool_comes_before_the_defaults_and_they_before_the_mesh(tmp_path):
    over = overlaid(mesh(tmp_path), deploy("defaults: {concurrency: 4, workers: {min: 1, max: 9}}\npools: {cheap: {concurrency: 2}}\n"))
    assert [(spec.concurrency, spec.workers.max) for spec in over.models.values()] == [(2, 9), (4, 9)]


def test_labels_and_amounts_replace_those_of_the_mesh_by_themselves(tmp_path):
    over = overlaid(mesh(tmp_path), deploy("pools: {cheap: {resources: {cpu: 2, memory: 1GiB}}, dear: {labels: {gpu: h100}}}\n"))
    assert (over.models["cheap"].resources.cpu, over.models["cheap"].resources.labels) == (2.0, {"zone": "a"})
    assert (over.models["dear"].resources.cpu, over.models["dear"].resources.labels) == (0.0, {"gpu": "h100"})


def test_the_store_is_the_deploy_files(tmp_path):
    over = overlaid(mesh(tmp_path), deploy("store: {url: 'postgresql://p@db/p', segments: 's3://b/p'}\n"))
    assert (over.store.url, over.store.segments, over.store.cache) == ("postgresql://p@db/p", "s3://b/p", False)


def test_nothing_of_it_changes_what_the_mesh_answers(tmp_path):
    text = "defaults: {concurrency: 4, workers: {min: 0, max: 9}, resources: {cpu: 1}, labels: {a: b}, scale: {queue: 1s}}\n"
    text += "store: {url: 'sqlite:///o.db'}\n"
    assert content_hash(overlaid(mesh(tmp_path), deploy(text)), Path(tmp_path)) == content_hash(mesh(tmp_path), Path(tmp_path))


def test_the_system_is_lasting_and_has_what_the_file_says():
    text = "coordinators: {count: 3, resources: {cpu: 1}}\njournal: {shards: 2}\ncontrol: {labels: {spot: 'false'}}\n"
    system = system_spec(deploy(text + "security: {python_adapter: off}\n"))
    assert (system.name, system.lasting, system.coordinators, system.journal_shards, system.python_adapter) == (
        "support",
        True,
        3,
        2,
        False,
    )
    assert system.placed["coordinator"].cpu == 1.0
    assert system.placed["staff"].labels == system.placed["job"].labels == {"spot": "false"}
