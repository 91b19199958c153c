"""The PostgreSQL store: does what any store must, tells what is wrong, and comes back when the server does."""

from pathlib import Path

import pytest
from postgres import Postgres, postgres

from partsong.journal.postgres import PostgresStore
from partsong.journal.store import Store
from partsong.testing.store_conformance import StoreConformance

__all__ = ["postgres"]


class TestPostgresStore(StoreConformance):
    @pytest.fixture(autouse=True)
    def _database(self, postgres: Postgres) -> None:
        self.url = postgres.database()

    def open(self, folder: Path) -> Store:
        return PostgresStore.open(self.url)
