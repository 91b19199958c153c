"""Store conformance: what any store must do; a plugin's tests inherit it and say how to open theirs."""

# ruff: noqa: D102 - a test's name is its sentence
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path

import pytest

from partsong.contracts import Answer, CallRecord, Completion, Failure, FailureCode, Reply, RowRecord, Task, Timing
from partsong.contracts.epoch import Epoch
from partsong.contracts.feedback import Feedback
from partsong.errors import FencedError
from partsong.journal.store import FORGOTTEN_AT_ONCE, Published, RunInfo, Store

__all__ = ["StoreConformance", "attempt_record", "call_record", "feedback", "row_record"]


def call_record(
    row: int = 0, step: str = "", *, run: str = "run", asked: str | None = None, reply: Completion | Failure | None = None
) -> CallRecord:
    """Return a call's record; `asked` stands for all that was asked, and says the same text for the same call."""
    said = f"{run}/{row}/{step}" if asked is None else asked
    completion = Completion(text=f"to {said}", model="m-1", timing=Timing(total_s=0.5))
    return CallRecord(run=run, row=row, step=step, ask_hash=said.encode()[-16:].rjust(16, b"."), model="m", reply=reply or completion)


def attempt_record(row: int = 0, step: str = "", *, run: str = "run", usd: float = 0.0, at_s: float = 0.0) -> CallRecord:
    """Return the record of a call that may fare better another time."""
    call = call_record(row, step, run=run, reply=FAILED)
    return call.model_copy(update={"settled": False, "possible_usd": usd, "at_s": at_s})


def feedback(row: int = 0, *, run: str = "run", by: str = "", score: float = 1.0, comment: str = "", at_s: float = 1.0) -> Feedback:
    """Return what somebody said of a row."""
    return Feedback(run=run, row=row, by=by, score=score, comment=comment, at_s=at_s)


def _paid(call: CallRecord, cost_usd: float, possible_usd: float = 0.0, *, model: str = "m", at_s: float = 0.0) -> CallRecord:
    return call.model_copy(update={"cost_usd": cost_usd, "possible_usd": possible_usd, "model": model, "at_s": at_s})


def _forget(store: Store) -> None:
    while store.forget("run"):
        pass


def row_record(row: int = 0, *, run: str = "run", reply: Reply | None = None) -> RowRecord:
    """Return a row's record."""
    return RowRecord(run=run, row=row, custom_id=f"id-{row}", task=Task.of("Why?", id=f"id-{row}"), reply=reply or Answer(text="Because."))


FAILED = Failure(code=FailureCode.TIMEOUT, message="no reply within 60 s", retryable=True)
INFO = RunInfo(run="run", mesh_hash="m", input_hash="i", started_s=1.5)


class StoreConformance(ABC):
    """Inherit as `class TestMyStore(StoreConformance)` and give `open`; pytest does the rest."""

    @abstractmethod
    def open(self, folder: Path) -> Store:
        """Return the store of this folder: what one store has closed, the next one opened here finds."""

    def test_calls_come_back_by_row_until_their_row_is_finished(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.append([call_record(2, "a"), call_record(1, "a"), call_record(1, "b"), call_record(3, "a")])
            store.append([row_record(2)])
            assert store.calls("run", 0, 2) == [call_record(1, "a"), call_record(1, "b")]

    def test_calls_of_a_finished_row_stay_in_the_cache(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.append([call_record(1, "a"), row_record(1)])
            assert store.cached([call_record(1, "a").ask_hash]) == {call_record(1, "a").ask_hash: call_record(1, "a").reply}

    def test_failed_calls_are_found_when_their_row_is_finished(self, tmp_path: Path) -> None:
        failed = call_record(1, "a", reply=FAILED)
        with closing(self.open(tmp_path)) as store:
            store.append([failed, call_record(1, "b"), row_record(1), call_record(3, "a", reply=FAILED), attempt_record(2, usd=1.0)])
            assert store.failed_calls("run", 0, 2) == [failed]
            assert not store.failed_calls("other", 0, 9)

    def test_a_record_that_is_there_is_left_as_it_was(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.append([call_record(1, "a"), row_record(2)])
            store.append([call_record(1, "a", reply=FAILED), row_record(2, reply=FAILED), call_record(1, "b")])
            assert store.calls("run", 1, 1) == [call_record(1, "a"), call_record(1, "b")]
            assert [row for _, row in store.rows("run", 0, 10)] == [row_record(2)]

    def test_what_is_asked_otherwise_at_the_same_step_is_another_call(self, tmp_path: Path) -> None:
        first, second = call_record(1, "a", asked="x"), call_record(1, "a", asked="y")
        with closing(self.open(tmp_path)) as store:
            store.append([first])
            store.append([second, first])
            assert store.calls("run", 1, 1) == [first, second]
            assert set(store.cached([first.ask_hash, second.ask_hash])) == {first.ask_hash, second.ask_hash}

    def test_a_record_twice_in_one_append_counts_once(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.append([row_record(1), row_record(1), call_record(2), call_record(2)])
            assert len(store.rows("run", 0, 10)) == 1
            assert len(store.calls("run", 0, 10)) == 1

    def test_records_survive_closing(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.begin(INFO)
            store.append([call_record(1), row_record(2)])
            store.publish("run", Published(seq=1, output_bytes=10, errors_bytes=2))
        with closing(self.open(tmp_path)) as store:
            assert store.run("run") == INFO
            assert store.calls("run", 0, 9) == [call_record(1)]
            assert [row for _, row in store.rows("run", 0, 9)] == [row_record(2)]
            assert store.published("run") == Published(seq=1, output_bytes=10, errors_bytes=2)

    def test_done_names_the_finished_rows_of_the_range(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.append([row_record(row) for row in (1, 3, 5, 8)] + [row_record(4, run="other")])
            assert store.done("run", 3, 5) == {3, 5}

    def test_finished_rows_are_counted_up_to_a_row(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.append([row_record(row) for row in (0, 1, 3, 5)] + [row_record(2, run="other"), call_record(2)])
            assert [store.finished("run", before) for before in (0, 2, 4, 9)] == [0, 2, 3, 4]

    def test_a_finished_row_is_found_by_its_number(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.append([row_record(3), row_record(4, run="other"), call_record(5)])
            assert store.row("run", 3) == row_record(3)
            assert store.row("run", 4) is None
            assert store.row("run", 5) is None

    def test_rows_come_in_the_order_they_were_appended(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.append([row_record(5), row_record(2, run="other")])
            store.append([row_record(1), row_record(3, reply=FAILED)])
            found = store.rows("run", 0, 10)
            assert [row.row for _, row in found] == [5, 1, 3]
            assert [seq for seq, _ in found] == sorted({seq for seq, _ in found})

    def test_rows_are_paged_by_their_place(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.append([row_record(row) for row in range(5)])
            first = store.rows("run", 0, 3)
            rest = store.rows("run", first[-1][0], 3)
            assert [row.row for _, row in [*first, *rest]] == [0, 1, 2, 3, 4]

    def test_the_cache_is_of_all_runs_and_of_answers_alone(self, tmp_path: Path) -> None:
        answered, failed = call_record(1, run="earlier", asked="x"), call_record(2, run="earlier", asked="y", reply=FAILED)
        with closing(self.open(tmp_path)) as store:
            store.append([answered, failed])
            assert store.cached([answered.ask_hash, failed.ask_hash, b"never asked....."]) == {answered.ask_hash: answered.reply}

    def test_the_cache_takes_thousands_of_questions_at_once(self, tmp_path: Path) -> None:
        calls = [call_record(row) for row in range(3000)]
        with closing(self.open(tmp_path)) as store:
            store.append(calls)
            assert len(store.cached([call.ask_hash for call in calls])) == 3000
            assert store.cached([]) == {}

    def test_the_first_of_several_answers_to_one_question_is_cached(self, tmp_path: Path) -> None:
        first = call_record(1, asked="x")
        later = call_record(2, asked="x", reply=Completion(text="later", model="m-1", timing=Timing(total_s=1)))
        with closing(self.open(tmp_path)) as store:
            store.append([first])
            store.append([later])
            assert store.cached([first.ask_hash]) == {first.ask_hash: first.reply}

    def test_runs_that_are_named_have_their_own_answer_to_a_question_before_others(self, tmp_path: Path) -> None:
        monday, alone = call_record(1, run="monday", asked="x"), call_record(2, run="monday", asked="y")
        tuesday = call_record(1, run="tuesday", asked="x", reply=Completion(text="later", model="m-1", timing=Timing(total_s=1)))
        with closing(self.open(tmp_path)) as store:
            store.append([monday, alone])
            store.append([tuesday])
            found = store.cached([monday.ask_hash, alone.ask_hash], ["tuesday", "wednesday"])
            assert found == {monday.ask_hash: tuesday.reply, alone.ask_hash: alone.reply}

    def test_a_run_is_found_by_its_name_and_left_as_it_began(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            assert store.run("run") is None
            store.begin(INFO)
            store.begin(RunInfo(run="run", mesh_hash="changed", input_hash="changed", started_s=9.0))
            assert store.run("run") == INFO

    def test_a_forgotten_run_leaves_nothing_and_others_alone(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.begin(INFO)
            store.append([call_record(1, asked="x"), row_record(2), call_record(1, run="other")])
            store.publish("run", Published(seq=1))
            _forget(store)
            assert store.run("run") is None
            assert not store.calls("run", 0, 9)
            assert not store.rows("run", 0, 9)
            assert not store.cached([call_record(1, asked="x").ask_hash])
            assert store.published("run") == Published()
            assert len(store.calls("other", 0, 9)) == 1

    def test_a_large_run_is_forgotten_part_by_part_and_others_write_in_between(self, tmp_path: Path) -> None:
        rows = [*range(FORGOTTEN_AT_ONCE + 1), 10**9]
        with closing(self.open(tmp_path)) as store:
            store.begin(INFO)
            store.append([row_record(row) for row in rows] + [_paid(call_record(row), 1.0, at_s=100.0) for row in rows])
            assert store.forget("run")
            assert (store.run("run"), store.finished("run", 10**10), store.spent(None, 0.0)) == (None, 2, {"m": float(len(rows))})
            store.append([row_record(1, run="other")])
            _forget(store)
            assert (store.finished("run", 10**10), store.finished("other", 9)) == (0, 1)
            assert store.spent(None, 0.0) == {"m": float(len(rows))}

    def test_a_forgotten_run_can_begin_again_and_its_places_go_on_growing(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.begin(INFO)
            store.append([row_record(1)])
            [(before, _)] = store.rows("run", 0, 9)
            _forget(store)
            store.begin(INFO)
            store.append([row_record(1)])
            [(after, _)] = store.rows("run", 0, 9)
            assert after > before

    def test_a_call_that_is_not_settled_is_asked_again_and_leaves_room_for_the_one_that_is(self, tmp_path: Path) -> None:
        unsettled, settled = attempt_record(1, "a", usd=0.5), call_record(1, "a")
        with closing(self.open(tmp_path)) as store:
            store.append([unsettled, unsettled])
            assert not store.calls("run", 0, 9)
            assert not store.cached([unsettled.ask_hash])
            store.append([settled])
            store.append([unsettled])
            assert store.calls("run", 0, 9) == [settled]
            assert store.cached([settled.ask_hash]) == {settled.ask_hash: settled.reply}

    def test_what_is_spent_is_the_cost_known_and_the_cost_possible_of_all_calls_by_model(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.append([_paid(call_record(1), 0.5, 0.25), _paid(call_record(2), 1.0, model="n"), call_record(3), row_record(1)])
            store.append([attempt_record(4, usd=2.0), attempt_record(4, usd=2.0)])
            assert store.spent("run", 0.0) == {"m": 4.75, "n": 1.0}

    def test_a_call_that_is_there_costs_once(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.append([_paid(call_record(1), 0.5)])
            store.append([_paid(call_record(1), 0.5)])
            assert store.spent("run", 0.0) == {"m": 0.5}

    def test_what_is_spent_is_told_of_one_run_or_of_all_and_since_a_moment(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.append([_paid(call_record(1), 1.0, at_s=99.5), _paid(call_record(2), 2.0, at_s=100.0)])
            store.append([_paid(call_record(1, run="other"), 4.0, at_s=101.0), attempt_record(3, run="other", usd=8.0, at_s=102.0)])
            assert store.spent("run", 0.0) == {"m": 3.0}
            assert store.spent("run", 100.0) == {"m": 2.0}
            assert store.spent(None, 100.0) == {"m": 14.0}
            assert store.spent(None, 103.0) == {}
            assert store.spent("nobody", 0.0) == {}

    def test_what_a_forgotten_run_spent_is_known_of_all_runs_and_of_no_run(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.begin(INFO)
            store.append([_paid(call_record(1), 1.0, at_s=100.0), attempt_record(2, usd=2.0, at_s=90_000.0)])
            _forget(store)
            assert store.spent("run", 0.0) == {}
            assert store.spent(None, 0.0) == {"m": 3.0}
            assert store.spent(None, 86_400.0) == {"m": 2.0}

    def test_a_clock_that_jumps_by_a_day_loses_no_record_and_moves_only_the_day_it_counts_for(self, tmp_path: Path) -> None:
        day_s, noon_s = 86_400.0, 43_200.0
        at = [noon_s, noon_s + day_s, noon_s - day_s, noon_s + 1]
        with closing(self.open(tmp_path)) as store:
            store.append([_paid(call_record(row), 1.0, at_s=at_s) for row, at_s in enumerate(at)])
            assert [call.row for call in store.calls("run", 0, 9)] == [0, 1, 2, 3]
            assert store.spent(None, 0.0) == {"m": 3.0}
            assert store.spent(None, day_s) == {"m": 1.0}
            assert store.spent("run", -day_s) == {"m": pytest.approx(4.0)}

    def test_feedback_comes_back_by_row_and_person_and_the_latest_counts(self, tmp_path: Path) -> None:
        first = feedback(3, by="b", score=1.0, at_s=10.0)
        later = feedback(3, by="b", score=0.0, comment="wrong after all", at_s=20.0)
        others = [feedback(1, score=0.5), feedback(3, by="a", score=1.0), feedback(9), feedback(3, run="other")]
        with closing(self.open(tmp_path)) as store:
            store.rate([first, *others])
            store.rate([later])
            store.rate([first])
        with closing(self.open(tmp_path)) as store:
            assert store.ratings("run", 0, 8) == [others[0], others[1], later]
            assert store.ratings("nobody", 0, 8) == []

    def test_an_edit_and_a_verdict_of_one_person_stand_beside_each_other(self, tmp_path: Path) -> None:
        verdict = feedback(3, score=0.5, at_s=10.0)
        edit = verdict.model_copy(update={"score": None, "edited": "mended", "at_s": 20.0})
        with closing(self.open(tmp_path)) as store:
            store.rate([verdict, edit])
            assert store.ratings("run", 3, 3) == [edit.model_copy(update={"score": 0.5})]
            store.rate([verdict.model_copy(update={"score": 0.0, "at_s": 30.0})])
            assert [(one.score, one.edited) for one in store.ratings("run", 3, 3)] == [(0.0, "mended")]

    def test_an_edit_that_is_older_than_a_kept_verdict_is_dropped_and_so_is_an_older_verdict(self, tmp_path: Path) -> None:
        verdict = feedback(3, score=0.5, at_s=20.0)
        edit = verdict.model_copy(update={"score": None, "edited": "mended"})
        with closing(self.open(tmp_path)) as store:
            store.rate([verdict, edit.model_copy(update={"at_s": 10.0})])
            assert store.ratings("run", 3, 3) == [verdict]
            store.rate([edit, verdict.model_copy(update={"score": 1.0, "at_s": 10.0})])
            assert store.ratings("run", 3, 3) == [edit.model_copy(update={"score": 0.5})]

    def test_an_edit_without_a_word_leaves_the_comment_of_a_verdict_and_a_new_verdict_does_not(self, tmp_path: Path) -> None:
        verdict = feedback(3, score=0.0, at_s=10.0).model_copy(update={"comment": "six digits"})
        edit = verdict.model_copy(update={"score": None, "edited": "mended", "comment": "", "at_s": 20.0})
        with closing(self.open(tmp_path)) as store:
            store.rate([verdict, edit])
            assert [one.comment for one in store.ratings("run", 3, 3)] == ["six digits"]
            store.rate([verdict.model_copy(update={"score": 1.0, "comment": "", "at_s": 30.0})])
            assert [one.comment for one in store.ratings("run", 3, 3)] == [""]

    def test_a_forgotten_run_takes_its_feedback_along(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.rate([feedback(1), feedback(1, run="other")])
            store.forget("run")
            assert store.ratings("run", 0, 9) == []
            assert store.ratings("other", 0, 9) == [feedback(1, run="other")]

    def test_who_claims_a_name_holds_it_until_the_next_one_does(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            first, other = store.claim("a/journal-0"), store.claim("a/pools")
            assert (first, other) == (Epoch(name="a/journal-0", number=1), Epoch(name="a/pools", number=1))
            assert store.holds(first)
            second = store.claim("a/journal-0")
            assert second == Epoch(name="a/journal-0", number=2)
            assert [store.holds(epoch) for epoch in (first, second, other)] == [False, True, True]
            assert not store.holds(Epoch(name="nobody's", number=1))

    def test_epochs_survive_closing(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.claim("a")
        with closing(self.open(tmp_path)) as store:
            assert store.holds(Epoch(name="a", number=1))
            assert store.claim("a").number == 2

    def test_what_is_appended_under_the_latest_epochs_is_recorded(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.append([call_record(1)], [store.claim("a"), store.claim("b")])
            assert store.calls("run", 0, 9) == [call_record(1)]

    def test_of_what_is_appended_under_an_epoch_that_is_over_nothing_is_recorded(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            over, held = store.claim("a"), store.claim("b")
            store.claim("a")
            with pytest.raises(FencedError, match="a is over: 2 is the latest"):
                store.append([call_record(1), attempt_record(2, usd=1.0), row_record(3)], [held, over])
            assert not store.calls("run", 0, 9)
            assert not store.rows("run", 0, 9)
            assert store.spent("run", 0.0) == {}
            store.append([call_record(1)], [held])
            assert store.calls("run", 0, 9) == [call_record(1)]

    def test_a_run_is_not_begun_published_or_forgotten_under_an_epoch_that_is_over(self, tmp_path: Path) -> None:
        published = Published(seq=1, output_bytes=10)
        with closing(self.open(tmp_path)) as store:
            over, held = store.claim("a"), store.claim("a")
            with pytest.raises(FencedError):
                store.begin(INFO, [over])
            assert store.run("run") is None
            store.begin(INFO, [held])
            store.publish("run", published, [held])
            with pytest.raises(FencedError):
                store.publish("run", Published(), [over])
            with pytest.raises(FencedError):
                store.forget("run", [over])
            assert (store.run("run"), store.published("run")) == (INFO, published)

    def test_a_name_is_taken_from_the_holder_that_is_meant_and_from_no_later_one(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            first = store.claim("a")
            second = store.claim("a", first.number)
            assert (store.holds(first), store.holds(second)) == (False, True)
            assert store.claim("a", first.number) == second
            assert store.holds(second)

    def test_an_epoch_that_the_store_does_not_know_is_refused(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store, pytest.raises(FencedError, match="does not know"):
            store.append([call_record(1)], [Epoch(name="a", number=1)])

    def test_checkpoints_replace_one_another(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as store:
            store.begin(INFO)
            assert store.published("run") == Published()
            store.publish("run", Published(seq=3, output_bytes=100))
            store.publish("run", Published(seq=7, output_bytes=250, errors_bytes=9))
            assert store.published("run") == Published(seq=7, output_bytes=250, errors_bytes=9)

    def test_closing_twice_is_harmless(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        store.close()
        store.close()
