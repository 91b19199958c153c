"""A job that was submitted is taken up again, also on another cluster, and forgotten."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from partsong_cluster.jobs.bundle import ORDER
from partsong_cluster.jobs.cluster import Job
from partsong_cluster.jobs.events import failed
from partsong_cluster.jobs.submission import Submission, Wish
from partsong_cluster.jobs.taken_up import again, anew, forget

from partsong.errors import EngineError, RunError, StoreError

MESH = 'version: 1\nmodels: {mini: {adapter: openai, model: mini}}\nstore: {url: "postgresql://p@db/p"}\n'


class Api:
    """A job API that takes everything, and says of a job's log what it was told to."""

    def __init__(self, *log: str, outcome: str = "SUCCEEDED") -> None:
        self.address = "http://head:8265"
        self.log = log
        self.came_out = outcome
        self.sent: list[tuple[str, str, dict[str, str]]] = []
        self.files: list[str] = []
        self.deleted: list[str] = []

    def submit(self, submission: str, entrypoint: str, runtime_env: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
        self.sent.append((submission, entrypoint, dict(metadata)))
        self.files = sorted(path.name for path in Path(runtime_env["working_dir"]).rglob("*") if path.is_file())
        return submission

    async def lines(self, submission: str) -> AsyncIterator[str]:
        for line in self.log:
            yield line

    def outcome(self, submission: str) -> str:
        return self.came_out

    def delete(self, submission: str) -> None:
        self.deleted.append(submission)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def run(tmp_path: Path, env: dict[str, str]) -> str:
    """Return a run that was submitted from here to some cluster."""
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "in.jsonl").write_text('{"prompt": "hi"}\n')
    wish = Wish(tmp_path / "mesh.yaml", str(tmp_path / "in.jsonl"), "s3://bucket/out", tenant="research", name="nightly")
    ready = Submission.of(wish, env)
    ready.send(Api(), env, package=False)  # type: ignore[arg-type]
    return ready.order.run


def kept(env: dict[str, str], run: str) -> Path:
    return Path(env["XDG_STATE_HOME"]) / "partsong" / "jobs" / run


def job(run: str) -> Job:
    return Job(run, [SimpleNamespace(submission_id=f"partsong-{run}{more}", metadata={}) for more in ("", "-2")])


def test_another_cluster_is_sent_the_same_run(env: dict[str, str], run: str):
    api = Api()
    anew(api, run, env, flags=["--accept-changes"], package=False)  # type: ignore[arg-type]
    submission, entrypoint, told = api.sent[0]
    assert (submission, entrypoint.split()[-1]) == (f"partsong-{run}", "--accept-changes")
    assert (told["partsong.run"], told["partsong.tenant"], told["partsong.output"]) == (run, "research", "s3://bucket/out")
    assert api.files == ["in.jsonl", ORDER]


@pytest.mark.parametrize("named", ["nightly", "0123456789ab", "../../elsewhere", ""])
def test_what_this_machine_does_not_keep_cannot_be_sent(env: dict[str, str], run: str, named: str):
    api = Api()
    with pytest.raises(RunError) as error:
        anew(api, named, env)  # type: ignore[arg-type]
    assert error.value.code == "unknown-job"
    assert api.sent == []


def test_another_watcher_has_a_name_of_its_own(env: dict[str, str], run: str):
    api = Api()
    again(api, job(run), env, flags=["--go-on"], package=False)  # type: ignore[arg-type]
    submission, entrypoint, _ = api.sent[0]
    assert (submission, entrypoint.split()[-1]) == (f"partsong-{run}-3", "--go-on")


async def test_what_is_kept_of_a_job_is_forgotten_at_all_places(env: dict[str, str], run: str):
    api = Api("words of Ray")
    await forget(api, job(run), env, package=False)  # type: ignore[arg-type]
    asker, entrypoint, _ = api.sent[0]
    assert entrypoint.endswith("--forget")
    assert api.deleted == [f"partsong-{run}", f"partsong-{run}-2", asker]
    assert not kept(env, run).exists()


@pytest.mark.parametrize(
    ("api", "kind", "code"),
    [
        (Api(failed(StoreError("store-away", "it is away"), 6).written(), outcome="FAILED"), StoreError, "store-away"),
        (Api("ModuleNotFoundError", outcome="FAILED"), EngineError, "job-failed"),
    ],
)
async def test_a_job_that_cannot_be_forgotten_stays(env: dict[str, str], run: str, api: Api, kind: type[Exception], code: str):
    with pytest.raises(kind, match=code):
        await forget(api, job(run), env, package=False)  # type: ignore[arg-type]
    assert api.deleted == []
    assert (kept(env, run) / ORDER).exists()
