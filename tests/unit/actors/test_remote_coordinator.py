"""A coordinator as an engine sees it: what it waits for, and what it says at once."""

import asyncio

import pytest
from partsong_actors.remote_coordinator import RemoteCoordinator
from partsong_actors.setup import Setup, SystemSpec

from partsong.errors import StoreError

SETUP = Setup(mesh=b"", folder=".", store_url="sqlite:///j.db", run_folder=".", system=SystemSpec(name="faq", lasting=True))


class Actor:
    """Says the errors one after the other when it is asked whether it is ready, and then that it is."""

    def __init__(self, *errors: StoreError) -> None:
        self.errors = list(errors)
        self.ready = self

    async def remote(self, setup: Setup) -> int:
        if self.errors:
            raise self.errors.pop(0)
        return 7


async def come(*errors: StoreError) -> RemoteCoordinator:
    turned = asyncio.Event()
    coordinator = RemoteCoordinator("faq/coordinator-0", Actor(*errors), SETUP, lambda _: turned.set())
    coordinator.come()
    await turned.wait()
    return coordinator


@pytest.mark.parametrize("code", ["store-away", "store-owned"])
async def test_a_store_that_may_be_opened_later_is_waited_for(code):
    coordinator = await come(StoreError(code, "not now"))
    assert (coordinator.up, coordinator.epoch, coordinator.failed) == (True, 7, None)


@pytest.mark.parametrize("code", ["store-refused", "store-missing", "store-foreign", "missing-secret"])
async def test_a_store_that_somebody_has_to_mend_is_told_of_at_once(code):
    coordinator = await come(StoreError(code, "never"))
    assert coordinator.failed.code == code
    assert not coordinator.up
