"""What a cascade's tiers would have given on recorded rows."""

import asyncio

import numpy as np
import pytest
from partsong_cluster.outcomes.climbs import climbs_of

from partsong.contracts import Completion, Failure, FailureCode, Price, Task
from partsong.contracts.completion import Timing
from partsong.evaluation.reading import Label
from partsong.learning.tabled import Replies, tabled
from partsong.plans.cascade import Cascade

PLAN = Cascade.model_validate({"tiers": [{"ask": "mini", "trust": {"confidence": "learned"}}, {"ask": "maxi"}]})
PRICES = dict.fromkeys(("mini", "maxi"), Price(input=1.0, output=1.0))


def row(number: int, **replies: Completion | Failure) -> Replies:
    return Replies(str(number), Task.of(f"question {number}", id=str(number)), None, "yes", Label(), dict(replies))


def said(text: str, cost_usd: float, confidence: float | None = None) -> Completion:
    return Completion(text=text, model="m-1", timing=Timing(total_s=0.5), cost_usd=cost_usd, confidence=confidence)


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    begun, own = [], asyncio.new_event_loop
    monkeypatch.setattr(asyncio.events, "new_event_loop", lambda: begun.append(None) or own())
    return begun


def test_every_rows_tiers_are_climbed_in_one_event_loop(loops: list[object]):
    gone = Failure(code=FailureCode.TIMEOUT, message="late")
    rows = [
        row(0, mini=said("yes", 1.0, 0.9), maxi=said("yes", 5.0)),
        row(1, mini=said("no", 1.0, 0.2)),
        row(2, mini=gone, maxi=said("no", 5.0)),
    ]
    [climb] = climbs_of(tabled(rows, ("mini", "maxi"), PRICES), {"climb": PLAN, "other": PLAN.model_copy(update={"tiers": PLAN.tiers[1:]})})
    assert climb.plan == "climb"
    np.testing.assert_array_equal(climb.tiers.right, [[1, 1], [0, np.nan], [0, 0]])
    np.testing.assert_array_equal(climb.tiers.stated, [[0.9, np.nan], [0.2, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(climb.asked, [[1, 1], [1, np.nan], [1, 1]])
    assert len(loops) == 1
