"""Pool: starts what the mesh file wants, grows while calls wait, counts only workers that are ready."""

from partsong.contracts import WorkerRange
from partsong.pool.permits import Grant, KeepIdle
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


def test_it_begins_once():
    pool = Pool(WorkerRange(min=1, max=4), 8)
    pool.begin()
    assert pool.begin() == []


def test_workers_found_again_are_not_started_twice():
    pool = Pool(WorkerRange(min=2, max=2), 4)
    assert pool.join("a", held=3, wanted=2) == [KeepIdle("a", True), StartWorker()]  # nobody has heard that order
    assert pool.staffed(ready=2, starting=0) == [Grant("a", 2)]
    assert pool.begin() == []
    assert pool.permits.leased == 5


def test_workers_that_are_starting_still_count_after_a_death():
    pool = Pool(WorkerRange(min=2, max=2), 1)
    assert pool.staffed(ready=0, starting=2) == []
    pool.join("a", wanted=1)
    assert pool.worker_ready() == [Grant("a", 1)]


def test_orders_that_never_arrived_are_given_again():
    pool = Pool(WorkerRange(min=2, max=2), 1)
    pool.begin()
    assert pool.staffed(ready=0, starting=1) == [StartWorker()]


def test_a_model_that_nobody_wants_is_not_begun_by_its_staff():
    assert Pool(WorkerRange(min=1, max=1), 1).staffed(ready=0, starting=0) == []


def test_it_is_hopeless_only_when_no_worker_is_ready_or_starting():
    pool = Pool(WorkerRange(min=2, max=2), 4)
    pool.begin()
    pool.worker_gone(was_ready=False)
    assert not pool.hopeless
    pool.worker_gone(was_ready=False)
    assert pool.hopeless


def test_calls_ahead_of_a_workers_slots_may_be_on_their_way():
    pool = Pool(WorkerRange(), 4, ahead=2)
    pool.begin()
    pool.worker_ready()
    assert pool.permits.capacity == 6
