"""What unit tests share: one S3 server, since fsspec keeps the first address that a process connected to."""

from collections.abc import Iterator

import pytest
from objects import ObjectStore, object_store


@pytest.fixture(scope="session")
def s3_server() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


@pytest.fixture
def s3(s3_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The server, open, as this process's environment names it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    s3_server.shut(0)
    return s3_server
