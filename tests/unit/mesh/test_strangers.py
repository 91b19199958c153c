"""A mesh file from a stranger may not leave its folder, reach link-local addresses or name installed code, unless the user allows it."""

import os
from pathlib import Path

import pytest

from partsong.adapters.python import imported
from partsong.contracts import SecretRef
from partsong.contracts.allowed import Allowed
from partsong.errors import MeshError
from partsong.mesh import check_mesh, load_mesh, load_text
from partsong.mesh.secrets import resolve, secrets_of

HEAD = "version: 1\nmodels: {a: {adapter: python, target: 'w:f'}}\n"
KEY_FILE = "version: 1\nmodels: {{a: {{adapter: openai, model: m, api_key: {{file: '{}'}}}}}}\nroutes: [{{use: a}}]\n"


@pytest.fixture
def home(tmp_path):
    """The stranger's folder, with links in it that lead out, beside what is none of the stranger's business."""
    home = tmp_path / "strangers"
    (home / "inner").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    for name, text in {
        "more.yaml": "models: {x: {adapter: python, target: 'w:f'}}\n",
        "prompt.txt": "the user's own {{ task }}",
        "key.txt": "the-users-own-key",
        "outcomes.jsonl": '{"id": "1", "model": "m", "answer": "private"}\n',
        "model.gguf": "GGUF",
        "code.py": "def f(task): return 'ran'\n",
    }.items():
        (tmp_path / "outside" / name).write_text(text)
        (home / f"linked-{name}").symlink_to(tmp_path / "outside" / name)
    (home / "linked").symlink_to(tmp_path / "outside")
    (home / "w.py").write_text("def f(task): return ''\n")
    return home


def ways_out(home, name):
    return [f"../outside/{name}", f"inner/../../outside/{name}", f"linked-{name}", f"linked/{name}", str(home.parent / "outside" / name)]


def codes(home, text, *words):
    (home / "mesh.yaml").write_text(text)
    found = check_mesh(home / "mesh.yaml", env={"K": "a key"}, allowed=Allowed.of(words))
    return {problem.code for problem in found.errors}


@pytest.mark.parametrize("way", range(5))
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("more.yaml", "extends: WAY\n" + HEAD),
        ("more.yaml", "include: [WAY]\n" + HEAD),
        ("outcomes.jsonl", "version: 1\nmodels: {a: {adapter: recorded, file: 'WAY'}}\nroutes: [{use: a}]\n"),
        ("model.gguf", "version: 1\nmodels: {a: {adapter: local, weights: 'WAY'}}\nroutes: [{use: a}]\n"),
        ("key.txt", KEY_FILE.format("WAY")),
    ],
    ids=["extends", "include", "recorded", "weights", "key"],
)
def test_no_file_outside_the_folder_is_read_unless_allowed(home, name, text, way):
    text = text.replace("WAY", ways_out(home, name)[way])
    assert codes(home, text) == {"outside-folder"}
    assert not codes(home, text, "outside-files")


@pytest.mark.parametrize("way", range(5))
def test_no_prompt_outside_the_folder_is_read_unless_allowed(home, way):
    text = HEAD + f"plans: {{p: {{pipeline: [{{ask: a, prompt: '{ways_out(home, 'prompt.txt')[way]}'}}]}}}}\nroutes: [{{use: p}}]\n"
    assert codes(home, text)
    assert not codes(home, text, "outside-files")
    assert not load_mesh(home / "mesh.yaml", env={"PARTSONG_ALLOW": "outside-files"}).warnings


def test_what_is_refused_says_what_to_do_and_shows_nothing_of_it(home):
    with pytest.raises(MeshError) as caught:
        load_text("extends: ../outside/key.txt\n", home, env={})
    assert caught.value.code == "outside-folder"
    assert "--allow outside-files" in caught.value.problems[0].remedy
    assert "users-own" not in str(caught.value)


def test_a_key_file_outside_has_an_allowance_of_its_own(home):
    text = KEY_FILE.format(home.parent / "outside" / "key.txt")
    assert codes(home, text) == {"outside-folder"}
    assert not codes(home, text, "key-files")
    loaded = load_mesh(home / "mesh.yaml", env={}, check_secrets=False)
    with pytest.raises(MeshError, match="outside-folder"):
        secrets_of(loaded.mesh.models, {}, loaded.folder, loaded.allowed)
    assert codes(home, "extends: ../outside/more.yaml\n" + HEAD, "key-files") == {"outside-folder"}


def test_links_within_the_folder_are_followed(home):
    (home / "..data").mkdir()  # as Kubernetes mounts them
    (home / "..data" / "key").write_text("k-1\n")
    (home / "key").symlink_to("..data/key")
    assert resolve(SecretRef(file="key"), {}, home) == "k-1"


def test_a_mesh_file_that_the_user_names_may_lie_anywhere(home, monkeypatch):
    (home / "mesh.yaml").write_text(HEAD)
    monkeypatch.chdir(home / "inner")
    assert load_mesh("../mesh.yaml", env={}).mesh.models
    (home / "inner" / "link.yaml").symlink_to(home / "mesh.yaml")
    assert load_mesh("link.yaml", env={}).mesh.models


@pytest.mark.parametrize("name", ["prompt.txt", "key", "more.yaml"])
def test_a_pipe_in_the_folder_is_not_waited_for(home, name):
    os.mkfifo(home / name)
    text = {
        "prompt.txt": HEAD + "plans: {p: {pipeline: [{ask: a, prompt: prompt.txt}]}}\n",
        "key": KEY_FILE.format("key"),
        "more.yaml": "extends: more.yaml\n" + HEAD,
    }[name]
    assert codes(home, text)


@pytest.mark.parametrize(
    "line",
    [
        "store: {url: 'sqlite:////tmp/elsewhere.db'}",
        "store: {url: 'sqlite:///../../elsewhere.db'}",
        "store: {url: 'sqlite:///a/../../../elsewhere.db'}",
        "store: {url: 'postgresql://u@h/d', segments: 'file:///tmp/elsewhere'}",
        "telemetry: {file: /tmp/elsewhere.jsonl}",
        "telemetry: {file: ../../elsewhere.jsonl}",
    ],
)
def test_journal_and_traces_stay_by_the_run_unless_allowed(home, line):
    assert codes(home, HEAD + line) == {"outside-folder"}
    assert not codes(home, HEAD + line, "outside-files")


@pytest.mark.parametrize("line", ["store: {url: 'sqlite:///../journal.db'}", "telemetry: {file: traces/t.jsonl}"])
def test_one_journal_beside_the_runs_folders_is_common(home, line):
    assert not codes(home, HEAD + line)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xA9FEA9FE",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[fe80::1]",
        "[64:ff9b::a9fe:a9fe]",
        "metadata.google.internal",
        "METADATA.google.internal.",
        "[fd00:ec2::254]",
        "100.100.100.200",
    ],
)
def test_a_link_local_address_is_refused_however_it_is_written(home, host):
    text = f"version: 1\nmodels: {{a: {{adapter: openai, model: m, base_url: 'http://{host}:80/v1'}}}}\nroutes: [{{use: a}}]\n"
    assert codes(home, text) == {"link-local"}
    assert not codes(home, text, "link-local")
    assert codes(home, HEAD + f"telemetry: {{otlp: 'http://{host}/'}}") == {"link-local"}
    assert codes(home, HEAD + f"store: {{url: 'postgresql://me@{host}/journal'}}") == {"link-local"}


@pytest.mark.parametrize("url", ["postgresql://me:canary@host/journal", "postgresql://host/journal?password=canary"])
def test_a_password_in_the_stores_address_is_refused(home, url):
    assert codes(home, HEAD + f"store: {{url: '{url}'}}") == {"literal-secret"}


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "10.1.2.3", "[::1]:8000", "vllm.local", "192.168.0.7"])
def test_own_servers_are_reached_without_being_asked(home, host):
    assert not codes(
        home, f"version: 1\nmodels: {{a: {{adapter: openai, model: m, base_url: 'http://{host}/v1'}}}}\nroutes: [{{use: a}}]\n"
    )


@pytest.mark.parametrize(
    "target", ["subprocess:Popen", "os:system", "builtins:exec", "partsong.adapters.weights:subprocess.run", "httpx:get"]
)
def test_a_mesh_file_alone_runs_no_installed_code(home, target):
    with pytest.raises(MeshError) as caught:
        imported(target, home)
    assert caught.value.code == "installed-module"
    assert callable(imported(target, home, Allowed(installed_modules=True)))


def test_of_the_specialists_only_what_they_offer_can_be_named(home):
    assert callable(imported("partsong.specialists.language:language", home))
    with pytest.raises(MeshError, match="no-such-target"):
        imported("partsong.specialists.language:language.__globals__", home)


def test_a_module_that_is_a_link_out_of_the_folder_is_not_loaded(home):
    for target in ("linked-code:f", "linked.code:f"):
        with pytest.raises(MeshError):
            imported(target, home)
    (home / "code.py").symlink_to(home.parent / "outside" / "code.py")
    (home / "pack").mkdir()
    (home / "pack" / "__init__.py").write_text("")
    (home / "pack" / "code.py").symlink_to(home.parent / "outside" / "code.py")
    for target in ("code:f", "pack.code:f"):
        with pytest.raises(MeshError, match="outside-folder"):
            imported(target, home)
        assert imported(target, home, Allowed(outside_files=True))(None) == "ran"


def test_only_the_named_module_is_loaded(home):
    for other in ("other", "sitecustomize", "conftest", "json", "w_test"):
        (home / f"{other}.py").write_text(f"open({str(home / 'loaded')!r}, 'a').write({other!r})\n")
    (home / "w2.py").write_text("import json\ndef f(task): return json.dumps(1)\n")
    assert imported("w2:f", home)(None) == "1"
    assert not (home / "loaded").exists()


def test_what_can_be_allowed_is_told():
    assert Allowed.by_environment({"PARTSONG_ALLOW": "key-files, link-local"}, ["outside-files"]) == Allowed(
        key_files=True, link_local=True, outside_files=True
    )
    with pytest.raises(ValueError, match="did you mean 'outside-files'"):
        Allowed.of(["outside-file"])
    with pytest.raises(MeshError, match="PARTSONG_ALLOW"):
        load_text(HEAD, Path(), env={"PARTSONG_ALLOW": "everything"})
