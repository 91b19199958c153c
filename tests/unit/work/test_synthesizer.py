"""Merging that goes wrong tells no answers."""

from partsong.contracts import Candidate, Failure, FailureCode, MergeWork
from partsong.work import synthesizer
from partsong.work.synthesizer import Synthesizer


class Quoting:
    def combine(self, candidates, replies):
        raise ValueError(f"cannot make a number of {candidates[0].text!r}")


async def test_a_rule_that_raises_fails_its_merge_without_quoting_answers(monkeypatch, caplog):
    monkeypatch.setattr(synthesizer, "merge_rule", lambda entry: Quoting())
    failure = await Synthesizer().merge(MergeWork(rule="quoting", candidates=(Candidate(source="a", text="my secret"),), replies=()))
    assert isinstance(failure, Failure)
    assert (failure.code, failure.message) == (FailureCode.INTERNAL, "merging raised ValueError; see the log")
    assert "my secret" not in caplog.text
    assert "ValueError" in caplog.text
