"""Rollouts: rows go in; the next stage, no further, or the end comes out."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from partsong.contracts import Answer, BillLine, Route, RowRecord, Task
from partsong.evaluation.guardrails import Guardrails
from partsong.routing.experiments import Rollout
from partsong.routing.rollout import Advanced, Held, Rollouts, RolloutState, Stopped

ROLLOUT = Rollout.model_validate(
    {
        "champion": "old",
        "challenger": "new",
        "stages": [{"share": 0.2, "rows": 100}, {"share": 0.5, "rows": 100}, {"share": 1.0}],
        "guardrails": {"accuracy_drop": 0.2, "failure_rise": None},
    }
)
LENIENT = ROLLOUT.model_copy(update={"guardrails": Guardrails(accuracy_drop=None, failure_rise=None)})


def row(number: int, share: float, dice: Random, right: float, *, graded: bool = True) -> RowRecord:
    """A finished row as a router would have sent it at this share."""
    new = dice.random() < share
    route = Route(
        use="new" if new else "old",
        reason="r",
        propensity=share if new else 1.0 - share,
        experiment="trial",
        arm="challenger" if new else "champion",
    )
    is_right = dice.random() < (right if new else 0.8)
    task = Task.of("hello", id=str(number)).model_copy(update={"metadata": {"expected": "yes"} if graded else {}})
    reply = Answer(text="yes" if is_right else "no", route=route, bill=(BillLine(step="s", model=route.use, cost_usd=0.001),))
    return RowRecord(run="r", row=number, custom_id=str(number), task=task, reply=reply)


def worked(rollout: Rollout, rows: int, right: float = 0.8, seed: int = 1, *, graded: bool = True):
    """Work so many rows; return the rollouts, what they told, and the records."""
    rollouts, told, records, dice = Rollouts({"trial": rollout}), [], [], Random(seed)
    for number in range(rows):
        records.append(row(number, rollouts.shares["trial"], dice, right, graded=graded))
        if (change := rollouts.saw(records[-1])) is not None:
            told.append((number + 1, change))
    return rollouts, told, records


def test_a_good_challenger_goes_from_stage_to_stage_after_the_rows_of_each():
    rollouts, told, _ = worked(ROLLOUT, 300)
    assert [(after, type(change), change.share) for after, change in told] == [(100, Advanced, 0.5), (200, Advanced, 1.0)]
    assert rollouts.shares == {"trial": 1.0}
    assert str(told[0][1]).startswith("trial goes on to 50 % of the rows for the challenger: accuracy ")


def test_a_bad_challenger_is_stopped_for_good():
    rollouts, told, _ = worked(ROLLOUT, 400, right=0.1)
    assert isinstance(told[-1][1], Stopped)
    assert told[-1][0] < 300
    assert rollouts.shares == {"trial": 0.0}
    assert "the champion answers every row from now on: accuracy " in str(told[-1][1])


def test_a_guardrail_that_cannot_be_measured_holds_the_stage_and_says_so_once():
    rollouts, told, _ = worked(ROLLOUT, 300, graded=False)
    [(after, held)] = told
    assert isinstance(held, Held)
    assert after == 100
    assert rollouts.shares == {"trial": 0.2}
    assert str(held) == "trial stays at 20 %: accuracy: cannot be measured, no row is graded (`expected` in its metadata)"


def test_without_guardrails_rows_alone_decide():
    _, told, _ = worked(LENIENT, 300, right=0.0)
    assert [after for after, _ in told] == [100, 200]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 400), st.sampled_from([0.1, 0.5, 0.8]), st.integers(0, 20))
def test_who_begins_anew_with_the_journals_rows_finds_the_same_share(rows, right, seed):
    before, _, records = worked(ROLLOUT, rows, right, seed)
    after = Rollouts({"trial": ROLLOUT})
    for record in records:
        after.saw(record)
    assert after.shares == before.shares


def test_a_row_tells_of_a_stage_or_an_end_that_others_rows_led_to():
    dice = Random(1)
    later = Rollouts({"trial": ROLLOUT})
    later.saw(row(0, 0.5, dice, 0.8))
    assert later.shares == {"trial": 0.5}
    later.saw(row(1, 0.2, dice, 0.8))  # it was under way since the stage before
    assert later.shares == {"trial": 0.5}
    later.saw(row(2, 0.0, dice, 0.8))
    assert later.shares == {"trial": 0.0}


def test_rows_that_later_runs_have_again_are_no_new_evidence():
    stays = ROLLOUT.model_copy(update={"stages": ROLLOUT.stages[1:2]})
    rollouts, told, records = worked(stays, 40, right=0.3)
    for run in range(40):
        told += [rollouts.saw(record.model_copy(update={"run": f"again-{run}"})) for record in records]
    assert not any(isinstance(change, Stopped) for change in told)
    _, told, _ = worked(stays, 1600, right=0.3)
    assert isinstance(told[-1][1], Stopped)


def test_rows_of_other_routes_and_decided_rollouts_change_nothing():
    decided = Rollouts({"trial": ROLLOUT.model_copy(update={"decided": "champion"})})
    assert not decided.going
    assert decided.shares == {}
    plain = row(0, 0.2, Random(1), 0.8)
    elsewhere = plain.model_copy(update={"reply": plain.reply.model_copy(update={"route": Route(use="old", reason="r")})})
    assert Rollouts({"trial": ROLLOUT}).saw(elsewhere) is None


def test_the_last_stage_goes_on_for_ever():
    state = RolloutState("trial", ROLLOUT.model_copy(update={"stages": ROLLOUT.stages[:1]}))
    assert state.share == 0.2
