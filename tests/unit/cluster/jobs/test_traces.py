"""A job's traces on their way to its results: bounded, put in whole files, and what is missing is told."""

import asyncio
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from partsong_actors.traces import PARCELS, Parcel, Sender
from partsong_cluster.jobs.traces import Gathering, Place, keep_putting

from partsong.contracts import Notice
from partsong.errors import RunError
from partsong.telemetry.spec import Rotation

LINE = b"x" * 999


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> list[Notice]:
    return []


@pytest.fixture
def gathering(tmp_path: Path, clock: Clock, told: list[Notice]) -> Iterator[Gathering]:
    made = Gathering(tmp_path, Rotation(size=4_000, keep=2), told.append, clock)
    yield made
    made.next_part(last=True)


def parcel(*, actor: str = "a", life: str = "1", node: str = "n1", kept_back: int = 0, line: bytes = LINE) -> bytes:
    sender = Sender(actor=actor, life=life, service="worker-mini", host="h1", node=node)
    return PARCELS.pack([Parcel(sender=sender, line=line, kept_back=kept_back)])


def test_a_file_is_put_when_it_is_large_enough_old_enough_or_the_last(gathering: Gathering, clock: Clock) -> None:
    gathering.take(parcel())
    assert gathering.next_part() is None
    for _ in range(3):
        gathering.take(parcel())
    large = gathering.next_part()
    assert large is not None
    assert large[1].stat().st_size == 4_000
    assert large[0] == f"traces/{large[1].name}"
    gathering.take(parcel())
    clock.now_s = 31.0
    assert gathering.next_part() is not None
    gathering.take(parcel())
    assert gathering.next_part() is None
    assert gathering.next_part(last=True) is not None


def test_past_the_rotation_the_oldest_is_deleted_here_and_there(gathering: Gathering, tmp_path: Path) -> None:
    names = []
    for _ in range(20):
        gathering.take(parcel())
        while (part := gathering.next_part()) is not None:
            names.append(part[0])
    assert len(names) == 5
    assert gathering.too_old() == names[:3]
    assert gathering.too_old() == []
    assert sum(path.stat().st_size for path in (tmp_path / "traces").iterdir()) <= 8_000


def test_what_waits_for_a_place_that_is_away_is_bounded_too(gathering: Gathering, tmp_path: Path) -> None:
    for _ in range(100):
        gathering.take(parcel())
    assert sum(path.stat().st_size for path in (tmp_path / "traces").iterdir()) <= 8_000
    kept = []
    while (part := gathering.next_part()) is not None:
        kept.append(part[1])
    assert all(path.exists() for path in kept)
    assert gathering.too_old() == []


def test_an_actor_in_another_process_has_lost_what_it_had_not_sent(gathering: Gathering, told: list[Notice]) -> None:
    for life in ("1", "1", "2", "2"):
        gathering.take(parcel(life=life))
    gathering.take(parcel(actor="b", life="9"))
    assert [notice.code for notice in told] == ["spans-lost"]
    assert "worker-mini on node h1" in told[0].what


def test_a_lost_node_is_told_once(gathering: Gathering, told: list[Notice]) -> None:
    gathering.take(parcel(node="n1"))
    gathering.take(parcel(actor="b", node="n2"))
    gathering.look(["n1", "n2"])
    assert told == []
    gathering.look(["n1"])
    gathering.look(["n1"])
    assert [notice.code for notice in told] == ["spans-lost"]


def test_at_the_end_it_is_told_how_many_spans_are_elsewhere(gathering: Gathering, told: list[Notice]) -> None:
    for kept_back in (2, 5):
        gathering.take(parcel(kept_back=kept_back))
    gathering.take(parcel(actor="b", life="9", kept_back=1))
    gathering.end()
    assert [(notice.code, notice.what.split()[0]) for notice in told] == [("spans-elsewhere", "6")]
    assert gathering.take(parcel()) is False


class Remote:
    """A place that has what was put, or refuses."""

    def __init__(self, refuses: bool = False) -> None:
        self.files: dict[str, bytes] = {}
        self.refuses = refuses
        self.nodes: Collection[str] | None = ["n1"]

    async def put(self, name: str, path: Path) -> None:
        if self.refuses:
            raise RunError("output-refused", "the place refuses")
        self.files[name] = await asyncio.to_thread(path.read_bytes)

    async def drop(self, name: str) -> None:
        self.files.pop(name, None)

    async def alive(self) -> Collection[str] | None:
        return self.nodes

    @property
    def place(self) -> Place:
        return Place(self.put, self.drop, self.alive)


@pytest.mark.parametrize("refuses", [False, True])
async def test_all_is_put_at_the_end_and_a_place_that_refuses_costs_traces_alone(
    gathering: Gathering, clock: Clock, told: list[Notice], *, refuses: bool
) -> None:
    remote, over = Remote(refuses), asyncio.Event()
    for _ in range(9):
        gathering.take(parcel())
    clock.now_s = 10.0
    over.set()
    await keep_putting(gathering, remote.place, over)
    assert sum(map(len, remote.files.values())) == (0 if refuses else 5_000)
    assert [notice.code for notice in told] == (["traces-refused"] if refuses else [])


async def test_a_head_that_does_not_say_which_nodes_live_costs_nothing(gathering: Gathering, clock: Clock, told: list[Notice]) -> None:
    remote, over = Remote(), asyncio.Event()
    remote.nodes = None
    gathering.take(parcel())
    clock.now_s = 10.0
    over.set()
    await keep_putting(gathering, remote.place, over)
    assert sum(map(len, remote.files.values())) == 1_000
    assert told == []
