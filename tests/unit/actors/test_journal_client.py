"""Journal client: a journal that another process still holds is waited for, a while."""

from types import SimpleNamespace

import pytest
from partsong_actors.journal import JournalClient

from partsong.errors import StoreError


class Held:
    """A journal's actor that finds the journal held by another so many times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.run = SimpleNamespace(remote=self._run)

    async def _run(self, run: str) -> None:
        if self.times:
            self.times -= 1
            raise StoreError("store-owned", "the journal is being written by process 1 on here")


async def test_a_last_writer_that_is_about_to_end_is_waited_for():
    held = Held(2)
    assert await JournalClient(held).run("run") is None
    assert held.times == 0


async def test_a_writer_that_goes_on_is_told_of():
    with pytest.raises(StoreError, match="process 1"):
        await JournalClient(Held(1000), free_within_s=0.3).run("run")
