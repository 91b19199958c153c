"""Pool: starts what the mesh file wants, grows while calls wait, counts only workers that are ready."""

from partsong.contracts import WorkerRange
from partsong.pool.permits import Grant
from partsong.pool.pool import Pool, StartWorker


def test_it_starts_the_least_number_of_workers():
    assert Pool(WorkerRange(min=2, max=4), 8).begin() == [StartWorker(), StartWorker()]


def test_calls_wait_until_a_worker_is_ready():
    pool = Pool(WorkerRange(), 8)
    pool.begin()
    assert pool.want("a", 1) == []
    assert pool.worker_ready() == [Grant("a", 1)]


def test_it_grows_by_one_while_calls_wait_and_never_past_the_most():
    pool = Pool(WorkerRange(min=1, max=2), 1)
    pool.begin()
    pool.worker_ready()
    assert pool.want("a", 3) == [Grant("a", 1), StartWorker()]
    assert pool.want("a", 1) == []  # one is starting
    assert pool.worker_ready() == [Grant("a", 1)]


def test_a_worker_that_ends_takes_its_permits_with_it():
    pool = Pool(WorkerRange(min=2, max=2), 4)
    pool.begin()
    pool.worker_ready()
    pool.worker_ready()
    pool.worker_gone(was_ready=True)
    assert pool.permits.capacity == 4
