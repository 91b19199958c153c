"""Built: a worker is replaced when what it is made from has changed, and only then."""

import pytest

from partsong.contracts import Limits, ModelSpec, Resources, Scale, WorkerRange
from partsong.pool.built import built_from

MINI = ModelSpec(adapter="openai", model="mini")


@pytest.mark.parametrize(
    "change",
    [
        {"workers": WorkerRange(min=0, max=9)},
        {"scale": Scale(idle=1.0)},
        {"limits": Limits(calls_in_flight=3)},
        {"retries": 9},
        {"fallbacks": ("other",)},
        {"skills": ("code",)},
        {"breaker": "off"},
    ],
)
def test_a_worker_stays_when_what_others_heed_changes(change):
    assert built_from(MINI.model_copy(update=change)) == built_from(MINI)


@pytest.mark.parametrize(
    "change", [{"model": "other"}, {"concurrency": 7}, {"resources": Resources(gpu=1)}, {"timeout": 7.0}, {"generation": 1}]
)
def test_a_worker_is_replaced_when_its_own_entry_changes(change):
    assert built_from(MINI.model_copy(update=change)) != built_from(MINI)
