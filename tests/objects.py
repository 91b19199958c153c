"""A real S3 server for tests: moto's in a process of its own, behind a door that can be shut (every request is then answered 503)."""

import json
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

__all__ = ["ObjectStore", "object_store"]

_TESTS = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class ObjectStore:
    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "canaryS3-key",
            "AWS_SECRET_ACCESS_KEY": "canaryS3-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def bucket(self) -> str:
        """Make a bucket and return its URL."""
        name = f"b{uuid.uuid4().hex[:12]}"
        self._fs().mkdir(name)
        return f"s3://{name}"

    def names(self, url: str) -> list[str]:
        """Return what stands under the URL, relative to it."""
        fs, path = self._fs(), url.removeprefix("s3://")
        fs.invalidate_cache()
        return sorted(name.removeprefix(f"{path}/") for name in fs.find(path))

    def read(self, url: str) -> bytes:
        fs = self._fs()
        fs.invalidate_cache()
        content: bytes = fs.cat_file(url)
        return content

    def write(self, url: str, content: bytes) -> None:
        self._fs().pipe_file(url, content)

    def delete(self, url: str) -> None:
        self._fs().rm_file(url)

    def shut(self, seconds: float) -> None:
        """Answer every request with 503 for so long; 0 opens again."""
        self._control(f"_shut?{seconds}", b"")

    def turned_away(self) -> int:
        counted: int = self._control("_stats")["turned_away"]
        return counted

    def reset(self) -> None:
        """Delete all buckets."""
        self._control("moto-api/reset", b"")

    def _fs(self) -> Any:
        import fsspec

        return fsspec.filesystem("s3", endpoint_url=self.endpoint, key="canaryS3-key", secret="canaryS3-secret")

    def _control(self, path: str, body: bytes | None = None) -> Any:
        with urlopen(Request(f"{self.endpoint}/{path}", body), timeout=30) as response:
            return json.load(response)


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """Start the server, and end it in the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-u", "-m", "hosts.s3", "--port", str(port)]
    process = subprocess.Popen(command, cwd=_TESTS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the S3 server ended with {process.wait()} before it listened")
        yield ObjectStore(line.split()[-1])
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
