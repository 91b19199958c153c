"""What is kept of jobs: who is at work for a tenant, how a run ended, and what part of its tenant's share each has."""

from collections.abc import Collection, Sequence

import pytest
from partsong_actors.setup import SystemSpec
from partsong_cluster.jobs.events import ended
from partsong_cluster.jobs.notes import JobNote, Notes
from partsong_cluster.jobs.order import JobOrder, Tenancy

DAY_S = 86_400.0


class Kept:
    """A head in this process."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.names: set[tuple[str, str]] = set()

    def put(self, key: str, value: str) -> None:
        self.values[key] = value

    def delete(self, key: str) -> None:
        self.values.pop(key, None)

    def get(self, keys: Sequence[str]) -> Sequence[str]:
        return [self.values[key] for key in keys if key in self.values]

    def keys(self, prefix: str) -> Sequence[str]:
        return [key for key in self.values if key.startswith(prefix)]

    def actors(self) -> Collection[tuple[str, str]]:
        return self.names


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def head() -> Kept:
    return Kept()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notes(head: Kept, clock: Clock) -> Notes:
    return Notes(head, clock)


def note(run: str, tenant: str = "research", *, weight: float = 1.0, system: str = "shared") -> JobNote:
    return JobNote(run=run, tenant=tenant, system=system, namespace="partsong", weight=weight, at_s=0.0)


def runs(found: Sequence[JobNote]) -> list[str]:
    return [one.run for one in found]


def test_a_tenants_jobs_at_work_are_known_in_the_order_they_began(notes: Notes, head: Kept, clock: Clock):
    for at_s, one in ((1000.0, note("b")), (1001.0, note("a")), (1002.0, note("c", "research/b")), (1003.0, note("d", "nightly"))):
        clock.now_s = at_s
        notes.begin(one)
        head.names.add(one.actor)
    assert runs(notes.at_work("research")) == ["b", "a"]
    notes.end(note("b"), ended({}, 0))
    assert runs(notes.at_work("research")) == ["a"]
    assert sorted(runs(notes.of("research"))) == ["a", "b"]


def test_a_job_that_is_about_to_start_counts_and_one_whose_actor_never_came_does_not(notes: Notes, clock: Clock):
    notes.begin(note("a"))
    assert runs(notes.at_work("research")) == ["a"]
    clock.now_s += 61
    assert runs(notes.at_work("research")) == []


def test_how_a_run_ended_is_known_until_it_goes_on(notes: Notes):
    notes.begin(note("a"))
    assert notes.ended("a") is None
    notes.end(note("a"), ended({"outcome": "complete"}, 3))
    end = notes.ended("a")
    assert end is not None
    assert (end.code, end.summary) == (3, {"outcome": "complete"})
    notes.begin(note("a"))
    assert notes.ended("a") is None


def test_a_job_that_was_refused_is_not_at_work_and_has_not_ended(notes: Notes):
    notes.begin(note("a"))
    notes.refuse(note("a"))
    assert runs(notes.at_work("research")) == []
    assert notes.ended("a") is None


def test_what_is_old_is_deleted(notes: Notes, head: Kept, clock: Clock):
    notes.begin(note("long"))
    head.names.add(note("long").actor)
    notes.end(note("old"), ended({}, 0))
    clock.now_s += 2 * DAY_S + 1
    assert runs(notes.at_work("research")) == ["long"]
    assert list(head.values) == ["tenant/research/long"]


def test_a_note_of_another_version_is_passed_over(notes: Notes, head: Kept):
    head.put("tenant/research/x", '{"run": "x"}')
    notes.begin(note("a"))
    assert runs(notes.of("research")) == ["a"]


RESEARCH = Tenancy(name="research")


def order(run: str, *, weight: float = 1.0, tenancy: Tenancy = RESEARCH) -> JobOrder:
    system = SystemSpec(name="shared", lasting=True)
    return JobOrder(
        run=run, name=run, mesh="", mesh_file="m", mesh_hash="", input="i", output="o", weight=weight, tenancy=tenancy, system=system
    )


def test_ten_jobs_of_a_tenant_have_together_what_one_has():
    ten = [order(f"r{number}") for number in range(10)]
    at_work = [one.note for one in ten]
    assert sum(one.share(at_work) for one in ten) == pytest.approx(order("alone").share([]))


def test_jobs_of_a_tenant_divide_its_share_by_their_weights_within_one_system():
    tenancy = Tenancy(name="research", weight=2.0, priority=1)
    light, heavy = order("a", tenancy=tenancy), order("b", weight=3.0, tenancy=tenancy)
    elsewhere = note("c", weight=100.0, system="other")
    at_work = [light.note, heavy.note, elsewhere]
    assert (light.share(at_work), heavy.share(at_work)) == (2.0, 6.0)
    assert light.share([]) == 8.0
