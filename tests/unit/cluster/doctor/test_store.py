"""What the doctor says of a real PostgreSQL: one that is used, one that is new, one that refuses; it makes no tables."""

from contextlib import closing
from pathlib import Path

import pytest
from partsong_cluster.deploy.load import load_deploy_text
from partsong_cluster.doctor import Patient
from partsong_cluster.doctor.probe import Facts, Wanted, probed
from partsong_cluster.doctor.store import store
from postgres import Postgres, postgres

from partsong.journal.address import open_store

__all__ = ["postgres"]


def found(url: str):
    deploy = load_deploy_text(f"version: 1\nname: night\nstore: {{url: '{url}'}}\n")
    [finding] = store(Patient(here=Facts(*probed("here", tuple(Wanted()))), deploy=deploy))
    return finding


def test_a_store_that_is_used_is_read_and_written(postgres: Postgres):
    url = postgres.database()
    with closing(open_store(url, Path())):
        pass
    finding = found(url)
    assert (finding.level, "read and written" in finding.what) == ("ok", True)


def test_a_new_database_is_left_as_it_is(postgres: Postgres):
    url = postgres.database()
    finding = found(url)
    assert (finding.level, "first run makes its tables" in finding.remedy) == ("warn", True)
    assert postgres.sql(url, "select count(*) from pg_tables where schemaname = 'public'").strip() == "0"


def test_a_wrong_password_is_told_and_not_shown(postgres: Postgres, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGPASSWORD", "not the password")
    finding = found(postgres.database())
    assert finding.level == "fail"
    assert finding.remedy
    assert "not the password" not in repr(finding)
