"""A submission: what is wrong is found before anything is sent; what is sent says everything and holds no secret."""

import json
import zipfile
from pathlib import Path

import pytest
from partsong_cluster.batch.remote_results import RemoteResults
from partsong_cluster.batch.run import Limits
from partsong_cluster.deploy import load_deploy
from partsong_cluster.jobs.bundle import ORDER, write_bundle
from partsong_cluster.jobs.order import JobOrder
from partsong_cluster.jobs.submission import Submission, Wish
from partsong_cluster.jobs.wheel import write_wheel

from partsong.errors import InputError, MeshError, PartsongError, RunError

SHIPPED = Path(__file__).parents[4] / "deploy"
MESH = """\
version: 1
models:
  mini: {adapter: openai, model: mini, api_key: {env: MINI_KEY}}
  known: {adapter: recorded, file: outcomes.jsonl}
  filed: {adapter: openai, model: mini, api_key: {file: key.txt}}
plans:
  best: {cascade: [{ask: known, trust: {confidence: 0.9}}, {ask: mini}]}
store: {url: "postgresql://partsong@db.internal/partsong"}
"""
DEPLOY = """\
version: 1
name: shared
store: {url: "postgresql://partsong@db.internal/deployed"}
coordinators: {count: 3}
pools: {mini: {workers: {min: 2, max: 9}}}
tenants:
  research: {weight: 2, priority: 1, budget_usd_per_day: 50, max_jobs: 3}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "deploy.yaml").write_text(DEPLOY)
    (tmp_path / "key.txt").write_text("canaryKEY-1234\n")
    (tmp_path / "outcomes.jsonl").write_text("")
    (tmp_path / "in.jsonl").write_text('{"id": "a", "prompt": "hi"}\n')
    return tmp_path


def wish(folder: Path, **changed: object) -> Wish:
    given: dict[str, object] = {"mesh": folder / "mesh.yaml", "input": str(folder / "in.jsonl"), "output": "s3://bucket/out/"}
    return Wish(**{**given, **changed})  # type: ignore[arg-type]


def test_an_order_is_read_as_it_was_written(folder: Path):
    order = Submission.of(wish(folder, use="best", limits=Limits(rows=5, budget_usd=None)), {}).order
    assert JobOrder.unpack(order.pack()) == order
    assert order.output == "s3://bucket/out"
    assert order.loaded().mesh.plans.keys() == {"best"}
    session = order.session(folder / "scratch")
    assert (session.run, session.output, session.use, session.limits.rows) == (order.run, "s3://bucket/out", "best", 5)


def test_without_a_deploy_file_a_job_has_a_system_of_its_own(folder: Path):
    order = Submission.of(wish(folder), {}).order
    assert order.of_its_own
    assert (order.system.name, order.system.lasting) == (f"job-{order.run}", True)


def test_a_deploy_file_says_system_store_pools_and_what_the_tenant_may(folder: Path):
    order = Submission.of(wish(folder, deploy=folder / "deploy.yaml", tenant="research", weight=0.5), {}).order
    assert not order.of_its_own
    assert (order.system.name, order.system.coordinators) == ("shared", 3)
    mesh = order.loaded().mesh
    assert mesh.store.url == "postgresql://partsong@db.internal/deployed"
    assert mesh.models["mini"].workers.max == 9
    assert order.tenancy.max_jobs == 3
    assert order.share([]) == 2 * 4


@pytest.mark.parametrize("name", ["local", "onprem", "kubernetes", "containers"])
def test_every_deploy_file_to_copy_is_taken_by_submit(folder: Path, name: str):
    (folder / "mesh.yaml").write_text(MESH[: MESH.index("store:")])
    order = Submission.of(wish(folder, deploy=SHIPPED / f"{name}.yaml"), {}).order
    assert order.loaded().mesh.store.url is not None
    assert order.system.name == load_deploy(SHIPPED / f"{name}.yaml").deploy.name


def test_the_deploy_file_changes_nothing_of_what_a_run_is_told_by(folder: Path):
    with_it = Submission.of(wish(folder, deploy=folder / "deploy.yaml", tenant="research"), {}).order
    assert with_it.mesh_hash == Submission.of(wish(folder), {}).order.mesh_hash


def test_files_that_the_mesh_names_travel_and_keys_do_not(folder: Path, tmp_path: Path):
    ready = Submission.of(wish(folder), {"MINI_KEY": "canaryKEY-5678"})
    bundle = tmp_path / "bundle"
    write_bundle(bundle, ready.order, ready.loaded, ready.carried.files)
    names = sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file())
    assert names == ["input/in.jsonl", "mesh/outcomes.jsonl", ORDER]
    assert ready.order.input == "input/in.jsonl"
    assert b"canaryKEY" not in b"".join(path.read_bytes() for path in bundle.rglob("*") if path.is_file())


def test_a_folder_of_input_travels_as_a_folder(folder: Path, tmp_path: Path):
    (folder / "in").mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        (folder / "in" / name).write_text('{"prompt": "hi"}\n')
    ready = Submission.of(wish(folder, input=str(folder / "in")), {})
    assert (ready.order.input, len(ready.carried.files)) == ("input", 2)


def test_input_that_all_nodes_share_stays_where_it_is(folder: Path):
    order = Submission.of(wish(folder, shared_input=True), {}).order
    assert order.input == str(folder / "in.jsonl")


@pytest.mark.parametrize(
    ("changed", "kind", "code"),
    [
        ({"output": "out"}, InputError, "output-place"),
        ({"input": "-"}, InputError, "input-stream"),
        ({"input": "missing.jsonl"}, InputError, "no-input"),
        ({"use": "nobody"}, MeshError, "unknown-name"),
        ({"deploy": "deploy.yaml"}, RunError, "unknown-tenant"),
        ({"deploy": "other.yaml", "tenant": "research"}, MeshError, "unknown-model"),
        ({"mesh": "local.yaml"}, MeshError, "store-needed"),
        ({"limits": Limits(budget_usd=1.0)}, MeshError, "no-price"),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_sent(folder: Path, changed: dict, kind: type[PartsongError], code: str):
    (folder / "local.yaml").write_text(MESH[: MESH.index("store:")])
    (folder / "other.yaml").write_text(DEPLOY.replace("mini:", "mimi:"))
    changed = {name: folder / value if name in ("deploy", "mesh") else value for name, value in changed.items()}
    with pytest.raises(kind) as error:
        Submission.of(wish(folder, **changed), {})
    assert error.value.code == code
    assert error.value.problems[0].remedy


def test_a_place_that_holds_another_runs_results_is_refused_where_it_can_be_read(folder: Path):
    out = folder / "out"
    ready = Submission.of(wish(folder, output=str(out)), {})
    ready.check_place()
    RemoteResults(f"file://{out}").own("before", b'{"run": "before"}', fresh=False)
    with pytest.raises(InputError, match="results of another run stand here: before") as error:
        ready.check_place()
    assert error.value.code == "output-taken"
    assert "-o" in error.value.problems[0].remedy
    (out / "run.json").write_text("no JSON")
    ready.check_place()


@pytest.mark.parametrize("url", ["postgresql://u:canaryPW@db/p", "postgresql://u@db/p?password=canaryPW"])
def test_a_password_of_the_store_does_not_travel(folder: Path, url: str):
    (folder / "mesh.yaml").write_text(MESH.replace("postgresql://partsong@db.internal/partsong", url))
    with pytest.raises(MeshError) as error:
        Submission.of(wish(folder), {})
    assert error.value.code == "literal-secret"
    assert "canaryPW" not in str(error)


@pytest.mark.parametrize("field", ["input", "output", "url", "segments"])
@pytest.mark.parametrize("address", ["s3://KEY:canaryPW@bucket/x.jsonl", "https://host/x.jsonl?X-Amz-Signature=canaryPW"])
def test_no_credential_travels_within_an_address(folder: Path, field: str, address: str):
    given: dict[str, object] = {field: address}
    if field in ("url", "segments"):
        url = address.replace("s3://", "postgresql://") if field == "url" else "postgresql://partsong@db.internal/deployed"
        store = f'{{url: "{url}"' + (f', segments: "{address}"}}' if field == "segments" else "}")
        (folder / "deploy.yaml").write_text(f"version: 1\nname: shared\nstore: {store}\n")
        given = {"deploy": folder / "deploy.yaml"}
    with pytest.raises(PartsongError) as error:
        Submission.of(wish(folder, **given), {})
    assert error.value.code == "literal-secret"
    assert error.value.problems[0].remedy
    assert "canaryPW" not in str(error.value)


def test_the_name_of_the_stores_password_travels(folder: Path):
    url = "postgresql://u@db/p?password_env=STORE_PASSWORD"
    (folder / "mesh.yaml").write_text(MESH.replace("postgresql://partsong@db.internal/partsong", url))
    assert Submission.of(wish(folder), {}).order.loaded().mesh.store.url == url


def test_input_too_large_to_travel_is_refused_with_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("partsong_cluster.jobs.bundle._LONGEST_BYTES", 10)
    with pytest.raises(InputError, match="travel with a job") as error:
        Submission.of(wish(folder), {})
    assert "s3://" in error.value.problems[0].remedy


def test_the_wheel_holds_all_of_the_package_and_asks_for_no_other(tmp_path: Path):
    path = write_wheel(tmp_path)
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        info = next(name.rpartition("/")[0] for name in names if name.endswith(".dist-info/RECORD"))
        metadata = wheel.read(f"{info}/METADATA").decode()
        assert {"partsong/__init__.py", "partsong_actors/setup.py", "partsong_cluster/jobs/watch.py"} <= set(names)
        assert "partsong.adapters" in wheel.read(f"{info}/entry_points.txt").decode()
        assert len(wheel.read(f"{info}/RECORD").decode().splitlines()) == len(names)
    assert "Name: partsong" in metadata
    assert "Requires-Dist" not in metadata


def test_the_same_files_make_the_same_wheel(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = write_wheel(tmp_path / "a"), write_wheel(tmp_path / "b")
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()


def test_an_order_is_json_that_a_person_can_read(folder: Path):
    assert json.loads(Submission.of(wish(folder), {}).order.pack())["name"] == "mesh"
