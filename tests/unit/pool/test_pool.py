"""Pool: starts what the mesh file wants, grows while calls wait for too long, counts only workers that take calls, drains one by one."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from partsong.contracts import Scale, WorkerRange
from partsong.pool.permits import Grant, KeepIdle, Recall
from partsong.pool.pool import DrainWorker, Hand, Pool, StartWorker
from partsong.pool.waits import Waited


def hand(key: str, concurrency: int = 4, built: str = "") -> Hand:
    return Hand(key, concurrency, built)


def test_it_starts_the_least_number_of_workers_when_it_is_first_asked():
    pool = Pool(WorkerRange(min=2, max=4), 8)
    assert pool.join("a", 0, 0, 0.0) == [KeepIdle("a", True)]
    assert pool.want("a", 1, 0.0) == [StartWorker(), StartWorker()]


def test_calls_wait_until_a_worker_is_ready():
    pool = Pool(WorkerRange(), 8)
    assert pool.want("a", 1, 0.0) == [StartWorker()]
    assert pool.worker_ready(hand("1", 8), 0.0) == [Grant("a", 1)]


def test_it_grows_by_what_would_take_all_that_wait_and_never_past_the_most():
    pool = Pool(WorkerRange(min=1, max=3), 4)
    pool.want("a", 20, 0.0)
    assert pool.worker_ready(hand("1"), 0.0) == [Grant("a", 4)]
    pool.heard("a", Waited(4, waiting=16, oldest_s=0.4), 1.0)
    assert pool.tick(1.0) == []
    pool.heard("a", Waited(4, waiting=16, oldest_s=0.6), 2.0)
    assert pool.tick(2.0) == [StartWorker(), StartWorker()]
    assert pool.tick(3.0) == []


def test_a_worker_that_ends_takes_its_permits_with_it_and_is_replaced():
    pool = Pool(WorkerRange(min=2, max=2), 4)
    pool.want("a", 8, 0.0)
    pool.worker_ready(hand("1"), 0.0)
    pool.worker_ready(hand("2"), 0.0)
    assert pool.worker_gone("1", 1.0) == [Recall("a", 4), StartWorker()]
    assert pool.permits.capacity == 4


def test_workers_found_again_are_not_started_twice():
    pool = Pool(WorkerRange(min=2, max=2), 4)
    assert pool.join("a", 3, 2, 0.0) == [Recall("a", 3), KeepIdle("a", True), StartWorker(), StartWorker()]  # nobody hears these orders yet
    assert pool.staffed([hand("1"), hand("2")], [], 0, 0.0) == [Grant("a", 2)]
    assert pool.want("a", 0, 0.0) == []
    assert pool.permits.leased == 5


def test_workers_that_are_starting_still_count_after_a_death():
    pool = Pool(WorkerRange(min=2, max=2), 1)
    assert pool.staffed([], [], 2, 0.0) == []
    pool.join("a", 0, 1, 0.0)
    assert pool.worker_ready(hand("1", 1), 0.0) == [Grant("a", 1)]


def test_orders_that_never_arrived_are_given_again():
    pool = Pool(WorkerRange(min=2, max=2), 1)
    pool.want("a", 1, 0.0)
    assert pool.staffed([], [], 1, 0.0) == [StartWorker()]


def test_a_model_that_nobody_wants_is_not_begun_by_its_staff():
    assert Pool(WorkerRange(min=1, max=1), 1).staffed([], [], 0, 0.0) == []


def test_it_is_hopeless_only_when_no_worker_is_ready_or_starting():
    pool = Pool(WorkerRange(min=2, max=2), 4)
    pool.want("a", 1, 0.0)
    assert pool.start_failed(0.0) == []
    assert not pool.hopeless
    pool.start_failed(0.0)
    assert pool.hopeless


def test_what_cannot_start_is_tried_again_after_ever_longer_pauses():
    pool = Pool(WorkerRange(), 4)
    pool.want("a", 1, 0.0)
    starts = []
    for second in range(1, 60):
        if StartWorker() in pool.tick(float(second)) or second == 1:
            starts.append(second)
            pool.start_failed(float(second))
    assert starts == [1, 3, 7, 15, 31]


def test_calls_ahead_of_a_workers_slots_may_be_on_their_way():
    pool = Pool(WorkerRange(), 4, looks_ahead=True)
    pool.want("a", 1, 0.0)
    pool.worker_ready(hand("1"), 0.0)
    assert pool.permits.capacity == 6


def test_an_idle_model_lets_its_last_worker_go_and_starts_one_when_it_is_asked_again():
    pool = Pool(WorkerRange(min=0, max=2), 4, scale=Scale(idle=60))
    pool.want("a", 1, 0.0)
    pool.worker_ready(hand("1"), 0.0)
    pool.heard("a", Waited(1), 1.0)
    told = [(second, pool.tick(float(second))) for second in range(1, 90)]
    assert [(second, orders) for second, orders in told if DrainWorker("1") in orders] == [(65, [DrainWorker("1"), Recall("a", 1)])]
    assert pool.worker_gone("1", 90.0) == []
    pool.give_back("a", 1)
    assert pool.want("a", 1, 100.0) == [StartWorker()]


def test_a_worker_that_is_drained_takes_its_permits_at_once_and_calls_in_flight_are_counted():
    pool = Pool(WorkerRange(min=1, max=2), 4)
    pool.staffed([hand("1"), hand("2")], [], 0, 0.0)
    pool.join("a", 0, 8, 0.0)
    assert pool.worker_leaves(["1"], 0.0) == [DrainWorker("1"), Recall("a", 4), StartWorker()]
    assert pool.want("a", 1, 0.0) == []  # eight calls are out, four may be
    assert pool.give_back("a", 4) == []
    assert pool.give_back("a", 1) == [Grant("a", 1)]


def test_a_worker_whose_process_is_away_is_waited_for_and_then_replaced():
    pool = Pool(WorkerRange(), 4)
    pool.want("a", 1, 0.0)
    pool.worker_ready(hand("1"), 0.0)
    pool.worker_away("1", 1.0)
    assert pool.permits.capacity == 0
    assert pool.tick(15.0) == []
    assert pool.tick(30.0) == [StartWorker()]
    pool.worker_ready(hand("2"), 31.0)
    assert pool.worker_ready(hand("1"), 40.0) == [DrainWorker("2")]


def test_a_changed_entry_replaces_the_workers_one_by_one():
    pool = Pool(WorkerRange(min=2, max=2), 4)
    pool.staffed([hand("1"), hand("2")], [], 0, 0.0)
    pool.join("a", 0, 8, 0.0)
    assert pool.change(WorkerRange(min=2, max=2), 6, Scale(), "new", 0.0) == [StartWorker()]
    assert pool.worker_ready(hand("3", 6, "new"), 1.0) == [DrainWorker("1")]
    assert pool.tick(2.0) == []  # one at a time
    assert pool.worker_gone("1", 3.0) == [StartWorker()]
    assert pool.worker_ready(hand("4", 6, "new"), 4.0) == [DrainWorker("2")]
    assert pool.worker_gone("2", 5.0) == []
    assert pool.permits.capacity == 12


def test_where_a_new_worker_finds_no_room_an_older_one_makes_it():
    pool = Pool(WorkerRange(), 4)
    pool.staffed([hand("1")], [], 0, 0.0)
    assert pool.change(WorkerRange(), 4, Scale(), "new", 0.0) == [StartWorker()]
    assert pool.tick(60.0) == []
    assert pool.no_room(61.0) == [DrainWorker("1")]
    assert pool.worker_gone("1", 62.0) == []


def test_a_worker_that_is_added_and_finds_no_room_pushes_none_out():
    pool = Pool(WorkerRange(min=2, max=2), 4)
    pool.want("a", 1, 0.0)
    pool.worker_ready(hand("1"), 0.0)
    assert pool.no_room(1.0) == []


def test_a_worker_that_was_ordered_before_a_change_is_ordered_anew():
    pool = Pool(WorkerRange(), 4)
    pool.want("a", 1, 0.0)
    assert pool.change(WorkerRange(), 4, Scale(), "new", 1.0) == []
    assert pool.start_given_up(1.0) == [StartWorker()]


def test_a_smaller_range_drains_what_is_too_many_one_by_one():
    pool = Pool(WorkerRange(min=3, max=3), 4)
    pool.staffed([hand("1"), hand("2"), hand("3")], [], 0, 0.0)
    assert pool.change(WorkerRange(min=1, max=1), 4, Scale(), "", 0.0) == [DrainWorker("3")]
    assert pool.worker_gone("3", 1.0) == [DrainWorker("2")]
    assert pool.worker_gone("2", 1.0) == []


def test_a_model_that_is_removed_drains_all_its_workers():
    pool = Pool(WorkerRange(min=2, max=2), 4)
    pool.staffed([hand("1"), hand("2")], [], 0, 0.0)
    assert pool.remove() == [DrainWorker("1"), DrainWorker("2")]


def test_a_model_that_is_removed_starts_no_worker_whoever_asks_until_it_is_put_back():
    pool = Pool(WorkerRange(), 4)
    pool.remove()
    assert pool.want("a", 1, 0.0) == []
    assert pool.tick(1.0) == []
    assert pool.change(WorkerRange(), 4, Scale(), "", 2.0) == [StartWorker()]


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens in whatever order: never more leased than workers take, never more workers than may be, in the end enough."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(WorkerRange(min=1, max=3), 2, scale=Scale(idle=5, queue=0.5))
        self.now_s = 0.0
        self.starting = 0
        self.alive: dict[str, Hand] = {}
        self.draining: set[str] = set()
        self.held = {"a": 0, "b": 0}
        self.waiting = {"a": 0, "b": 0}
        self.number = 0
        self.built = ""
        for caller in self.held:
            self.follow(self.pool.join(caller, 0, 0, 0.0))

    def follow(self, orders) -> None:
        for order in orders:
            match order:
                case StartWorker():
                    self.starting += 1
                case DrainWorker(key):
                    assert key in self.alive
                    assert key not in self.draining
                    self.draining.add(key)
                case Grant(caller, count):
                    self.held[caller] += count
                    self.waiting[caller] -= count
                    assert sum(self.held.values()) <= self.capacity()

    def capacity(self) -> int:
        return sum(hand.concurrency for key, hand in self.alive.items() if key not in self.draining)

    @rule(caller=st.sampled_from("ab"), count=st.integers(1, 9))
    def want(self, caller, count):
        self.waiting[caller] += count
        self.follow(self.pool.want(caller, count, self.now_s))

    @rule(caller=st.sampled_from("ab"), data=st.data())
    def give_back(self, caller, data):
        count = data.draw(st.integers(0, self.held[caller]))
        self.held[caller] -= count
        self.follow(self.pool.give_back(caller, count))

    @precondition(lambda self: self.starting)
    @rule(works=st.booleans())
    def started(self, works):
        self.starting -= 1
        if not works:
            self.follow(self.pool.start_failed(self.now_s))
            return
        self.number += 1
        new = self.alive[str(self.number)] = Hand(str(self.number), 2, self.built)
        self.follow(self.pool.worker_ready(Hand(new.key, 2, new.built), self.now_s))

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def dies(self, data):
        key = data.draw(st.sampled_from(sorted(self.alive)))
        del self.alive[key]
        self.draining.discard(key)
        self.follow(self.pool.worker_gone(key, self.now_s))

    @precondition(lambda self: self.draining)
    @rule(data=st.data())
    def drained(self, data):
        key = data.draw(st.sampled_from(sorted(self.draining)))
        self.draining.remove(key)
        del self.alive[key]
        self.follow(self.pool.worker_gone(key, self.now_s))

    @rule(built=st.sampled_from(["", "new"]))
    def changes(self, built):
        self.built = built
        self.follow(self.pool.change(WorkerRange(min=1, max=3), 2, Scale(idle=5), built, self.now_s))

    @rule(pause_s=st.floats(0.1, 20.0))
    def passes(self, pause_s):
        self.now_s += pause_s
        for caller, held in self.held.items():
            self.pool.heard(caller, Waited(held, self.waiting[caller], pause_s if self.waiting[caller] else 0.0), self.now_s)
        self.follow(self.pool.tick(self.now_s))

    @invariant()
    def the_bounds_hold(self):
        assert self.pool.permits.capacity == self.capacity()
        assert len(self.alive) - len(self.draining) + self.starting <= 4  # one more while another is replaced
        assert self.pool.starting == self.starting

    def teardown(self):
        """When nothing breaks any more, what waits is served."""
        for _ in range(400):
            while self.starting:
                self.starting -= 1
                self.number += 1
                self.alive[str(self.number)] = Hand(str(self.number), 2, self.built)
                self.follow(self.pool.worker_ready(Hand(str(self.number), 2, self.built), self.now_s))
            for key in sorted(self.draining):
                self.draining.remove(key)
                del self.alive[key]
                self.follow(self.pool.worker_gone(key, self.now_s))
            for caller in self.held:
                count, self.held[caller] = self.held[caller], 0
                self.follow(self.pool.give_back(caller, count))
            self.passes(1.0)
            if not any(self.waiting.values()) and not self.starting and not self.draining:
                break
        assert self.waiting == {"a": 0, "b": 0}
        assert all(hand.built == self.built for hand in self.alive.values())


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
