"""Segments: large records stand in objects beside the database, and come back as they were."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import aiohttp
import botocore.exceptions
import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from objects import ObjectStore
from postgres import Postgres, postgres
from s3fs import S3FileSystem

from partsong.contracts import CallRecord, Completion, Timing
from partsong.errors import StoreError
from partsong.journal.address import open_store
from partsong.journal.postgres import PostgresStore
from partsong.journal.sealed import seal
from partsong.journal.segments import Segments
from partsong.journal.store import FORGOTTEN_AT_ONCE, Store
from partsong.testing.store_conformance import StoreConformance, call_record, row_record

__all__ = ["postgres"]


class TestPostgresStoreWithAllRecordsInSegments(StoreConformance):
    @pytest.fixture(autouse=True)
    def _database(self, postgres: Postgres) -> None:
        self.url = postgres.database()

    def open(self, folder: Path) -> Store:
        return PostgresStore.open(self.url, segments=Segments(f"file://{folder}/segments", large_bytes=1))


def large_call(row: int, *, run: str = "run") -> CallRecord:
    return call_record(row, run=run, reply=Completion(text=f"{row}" * 100_000, model="m-1", timing=Timing(total_s=1)))


def test_large_records_stand_in_one_object_an_append_and_small_ones_in_the_database(postgres: Postgres, s3: ObjectStore) -> None:
    url, bucket = postgres.database(), s3.bucket()
    with closing(open_store(url, Path(), segments=f"{bucket}/journal")) as store:
        store.append([large_call(1), call_record(2), large_call(3)])
        store.append([large_call(4), row_record(9)])
        assert len(s3.names(f"{bucket}/journal/run")) == 2
        assert postgres.sql(url, "select row from calls where segment is null") == "2\n"
        assert store.calls("run", 0, 9) == [large_call(1), call_record(2), large_call(3), large_call(4)]
        assert store.cached([large_call(3).ask_hash]) == {large_call(3).ask_hash: large_call(3).reply}


def test_an_object_that_was_changed_is_told_and_not_believed(postgres: Postgres, s3: ObjectStore) -> None:
    url, bucket = postgres.database(), s3.bucket()
    with closing(open_store(url, Path(), segments=bucket)) as store:
        store.append([large_call(1)])
        [name] = s3.names(bucket)
        s3.write(f"{bucket}/{name}", s3.read(f"{bucket}/{name}").replace(b"11", b"12", 1))
        with pytest.raises(StoreError) as caught:
            store.calls("run", 0, 9)
        assert caught.value.code == "store-corrupt"
        s3.delete(f"{bucket}/{name}")
        with pytest.raises(StoreError) as caught:
            store.calls("run", 0, 9)
    assert caught.value.code == "store-corrupt"


def test_a_run_that_is_forgotten_takes_its_objects_along_and_those_that_no_transaction_names(postgres: Postgres, s3: ObjectStore) -> None:
    url, bucket = postgres.database(), s3.bucket()
    with closing(open_store(url, Path(), segments=bucket)) as store:
        store.append([large_call(1), large_call(1, run="other")])
        s3.write(f"{bucket}/run/left-by-a-dead-writer", b"...")
        assert store.forget("run")
        assert not store.forget("run")
        assert not store.forget("run")
        assert [name.partition("/")[0] for name in s3.names(bucket)] == ["other"]
        assert len(store.calls("other", 0, 9)) == 1


@pytest.mark.parametrize("count", [0, 1, FORGOTTEN_AT_ONCE, 2 * FORGOTTEN_AT_ONCE + 1])
def test_a_large_run_is_deleted_in_parts(tmp_path: Path, count: int) -> None:
    for run, many in (("run", count), ("other", 1)):
        (tmp_path / run).mkdir()
        for n in range(many):
            (tmp_path / run / str(n)).touch()
    segments, left = Segments(f"file://{tmp_path}"), [count]
    while segments.forget("run"):
        left.append(len(list((tmp_path / "run").iterdir())))
    assert left == (list(range(count, 0, -FORGOTTEN_AT_ONCE)) or [0])
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_deleting_goes_on_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    for n in range(2 * FORGOTTEN_AT_ONCE + 1):
        (tmp_path / "run" / str(n)).touch()
    segments = Segments(f"file://{tmp_path}")
    assert segments.forget("run")
    with monkeypatch.context() as away:
        away.setattr(LocalFileSystem, "rm", _refused)
        with pytest.raises(StoreError):
            segments.forget("run")
    next((tmp_path / "run").iterdir()).unlink()  # a part of it was deleted before it broke off
    while segments.forget("run"):
        pass
    assert not (tmp_path / "run").exists()


def _refused(*_: object, **__: object) -> None:
    raise PermissionError


def test_a_reader_that_is_not_told_where_they_are_says_so(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    with closing(open_store(url, tmp_path, segments=f"file://{tmp_path}/large")) as store:
        store.append([large_call(1), call_record(2)])
    with closing(open_store(url, tmp_path)) as store:
        assert store.calls("run", 2, 2) == [call_record(2)]
        with pytest.raises(StoreError) as caught:
            store.calls("run", 0, 9)
    assert caught.value.code == "store-segments"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A client that does not try again by itself; fsspec would go on with one made before."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    yield
    S3FileSystem.clear_instance_cache()


@pytest.mark.usefixtures("impatient")
def test_a_place_that_turns_everybody_away_is_away_and_nothing_is_recorded_without_it(postgres: Postgres, s3: ObjectStore) -> None:
    bucket = s3.bucket()
    with closing(open_store(postgres.database(), Path(), segments=bucket)) as store:
        s3.shut(600)
        with pytest.raises(StoreError) as caught:
            store.append([large_call(1), call_record(2)])
        assert caught.value.code == "store-away"
        assert not store.calls("run", 0, 9)
        s3.shut(0)
        store.append([large_call(1), call_record(2)])
        assert store.calls("run", 0, 9) == [large_call(1), call_record(2)]


def test_a_bucket_that_is_not_there_is_told(postgres: Postgres, s3: ObjectStore) -> None:
    with closing(open_store(postgres.database(), Path(), segments="s3://nowhere-at-all/x")) as store, pytest.raises(StoreError) as caught:
        store.append([large_call(1)])
    assert caught.value.code == "store-refused"


def test_a_place_of_an_unknown_kind_is_told(postgres: Postgres) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(postgres.url("postgres"), Path(), segments="carrier-pigeon://loft")
    assert caught.value.code == "store-refused"


class Faulty(MemoryFileSystem):
    """Raises what it is given when it is written to."""

    protocol = "faulty"
    fault: Exception = OSError()

    def pipe_file(self, path: str, value: bytes, **options: object) -> None:
        raise self.fault


@pytest.fixture
def faulty() -> Segments:
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    return Segments("faulty://place", large_bytes=1)


PASSING = [OSError(5, "io"), TimeoutError(), aiohttp.ServerDisconnectedError(), botocore.exceptions.HTTPClientError(error="down")]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: type(fault).__name__)
def test_a_network_that_fails_is_a_place_that_is_away(faulty: Segments, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    monkeypatch.setattr(Faulty, "fault", fault)
    with pytest.raises(StoreError) as caught:
        faulty.put(seal([call_record(1)]))
    assert caught.value.code == "store-away"


@pytest.mark.parametrize("fault", [TypeError("a mistake"), AttributeError("another")], ids=lambda fault: type(fault).__name__)
def test_a_mistake_of_ours_is_nothing_to_wait_for(faulty: Segments, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    monkeypatch.setattr(Faulty, "fault", fault)
    with pytest.raises(type(fault)):
        faulty.put(seal([call_record(1)]))
