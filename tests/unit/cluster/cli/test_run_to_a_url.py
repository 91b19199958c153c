"""`partsong run -o s3://...`: the results on a real S3 server, what the run keeps in the user's state folder."""

import json
from pathlib import Path

import pytest
from objects import ObjectStore
from partsong_cluster.batch.places import input_files
from partsong_cluster.batch.state_folder import state_folder
from partsong_cluster.cli import main

from partsong.errors import InputError

MESH = """
version: 1
models:
  shout: {adapter: python, target: "workers:shout"}
"""


class Home:
    """A folder in which `partsong run` is typed, and a place for the results."""

    def __init__(self, folder: Path, store: ObjectStore, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.store = store
        self.url = f"{store.bucket()}/out"
        self._capsys = capsys
        patch.chdir(folder)
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        (folder / "mesh.yaml").write_text(MESH)
        (folder / "workers.py").write_text("async def shout(task):\n    return task.text.upper()\n")
        (folder / "in.jsonl").write_text("".join(json.dumps({"id": f"q{n}", "prompt": f"question {n}"}) + "\n" for n in range(20)))

    def run(self, *more: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["run", "mesh.yaml", "in.jsonl", "-o", self.url, "--engine", "inline", "--use", "shout", *more])
        shown = self._capsys.readouterr()
        assert ended.value.code == code, shown.err
        return shown.out + shown.err


@pytest.fixture
def home(tmp_path: Path, s3: ObjectStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Home:
    return Home(tmp_path, s3, monkeypatch, capsys)


def test_results_stand_at_the_url_and_the_same_command_goes_on(home: Home, tmp_path: Path):
    shown = home.run("--limit", "5")
    state = state_folder(home.url, {"XDG_STATE_HOME": str(tmp_path / "state")})
    assert f"What this run keeps on this machine (journal, lock) is in {state}." in shown
    assert home.url in shown
    assert (state / "journal.db").exists()
    assert len(home.store.read(f"{home.url}/output.jsonl").splitlines()) == 5
    shown = home.run()
    assert "in 2 sessions" in shown
    assert len(home.store.read(f"{home.url}/output.jsonl").splitlines()) == 20
    assert home.store.names(home.url) == ["errors.jsonl", "mesh.json", "output.jsonl", "report.html", "run.json", "summary.json"]
    assert not (tmp_path / "s3:").exists()


def test_another_state_folder_is_another_run_and_refused(home: Home):
    home.run("--limit", "5")
    shown = home.run("--state", "elsewhere", code=6)
    assert "output-taken: the results of another run stand here" in shown


def test_a_place_that_refuses_is_said_with_what_to_do(home: Home):
    home.url = "s3://no-such-bucket-anywhere/out"
    shown = home.run(code=6)
    assert "output-refused" in shown
    assert "AWS_ENDPOINT_URL" in shown


@pytest.mark.parametrize("url", ["s3://KEY:hidden@bucket/out", "https://host/out?sig=hidden"])
def test_a_credential_in_the_outputs_or_inputs_address_is_refused_and_not_repeated(home: Home, tmp_path: Path, url: str):
    home.url = url
    shown = home.run(code=2)
    assert "literal-secret: the address of the output holds" in shown
    assert "hidden" not in shown
    with pytest.raises(InputError, match="the address of the input holds"):
        input_files(url)
    assert not list(tmp_path.rglob("journal.db"))


@pytest.mark.parametrize(
    ("env", "folder"),
    [
        ({"XDG_STATE_HOME": "/var/state"}, "/var/state/partsong/runs/bucket-a-b-"),
        ({"XDG_STATE_HOME": "relative"}, "/.local/state/partsong/runs/"),
    ],
)
def test_a_state_folder_is_named_by_the_url(env: dict[str, str], folder: str):
    found = state_folder("s3://bucket/a/b/", env)
    assert folder in str(found)
    assert found == state_folder("s3://bucket/a/b", env)
    assert found != state_folder("gs://bucket/a/b", env)
