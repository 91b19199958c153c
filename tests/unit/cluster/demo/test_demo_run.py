"""The demo on the inline engine: without weights it does what it can, and a second time it asks nothing again."""

from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from partsong_cluster.batch.stop import Outcome, Stop
from partsong_cluster.demo import DemoOrder, DemoResult, run_demo
from partsong_cluster.demo.parts import recorded_part
from partsong_cluster.demo.run import Show
from partsong_cluster.report.billed import as_billed
from partsong_cluster.report.headline import headline
from partsong_cluster.report.proof_words import proof_words

from partsong.contracts import Answer, BillLine, Route, RowRecord
from partsong.plans.cascade import Cascade
from partsong.plans.ensemble import Ensemble

CASCADE = Cascade.model_validate({"tiers": [{"ask": "trio", "trust": {"agreement": 1.0}}, {"ask": "strong"}]})
PLANS = {"cascade": CASCADE, "trio": Ensemble.model_validate({"members": ["a", "b"]})}


class Silent(Show):
    def __init__(self) -> None:
        self.begun: list[str] = []
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    def begin(self, part, way, rows) -> None:
        self.begun.append(f"{part.name}/{way.name}")

    def show(self, *state: object) -> None:
        pass

    @asynccontextmanager
    async def fetching(self, name):
        yield lambda done, doing: None


async def demo(folder: Path, show: Silent, **options: object) -> DemoResult:
    return await run_demo(DemoOrder(folder, engine="inline", fetch=False, **options), show, Stop())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PARTSONG_CACHE", str(folder / "empty-cache"))


@pytest.mark.timeout(400)
async def test_without_weights_the_other_workers_and_the_recorded_models_are_compared(folder):
    show = Silent()
    result = await demo(folder, show)
    workers, recorded = result.sections
    assert {line.name for line in workers.lines} == {"lexicon", "langid", "cascade", "routed"}
    assert workers.rows == 115
    assert next(line for line in workers.lines if line.name == "routed").summary.accuracy > 0.9
    assert len(recorded.lines) >= 15
    assert recorded.rows == 300
    assert any("language model" in line for line in result.left_out)
    assert any("smollm2-135m" in line for line in result.left_out)


async def test_a_second_demo_asks_nothing_again(folder):
    show = Silent()
    result = await demo(folder, show)
    assert show.begun == []
    assert (result.worked_ways, result.reused_ways >= 19) == (0, True)
    assert show.said == []


async def test_what_was_learned_is_judged_on_other_rows_and_set_beside_what_its_money_buys(folder):
    result = await demo(folder, Silent())
    [proved], [_, recorded] = result.proofs, result.sections
    frugal = next(line for line in recorded.lines if line.name == "frugal")
    assert proved.proof.accuracy.value == frugal.summary.accuracy
    assert proved.proof.cost_per_1000.value == pytest.approx(frugal.summary.usd_per_1000)
    assert proved.proof.rows == 300
    assert [one.name for one in proved.proof.contenders] == ["best single model", "random mix"]
    assert "romise" in headline(recorded)[-1]
    assert {line.name for line in proved.beside} - {"promised"} == {"vote", "weighted-vote", "cheap-trio", "cascade", "routed", "thorough"}
    told = " ".join(proof_words(proved.proof, proved.beside))
    assert "other plans here did better on these rows" in told
    assert "cascade (94.0 % for $0.971 per 1,000)" in told
    assert next(line for line in recorded.lines if line.name == "routed").summary.routes["gate"] == 300


async def test_without_scikit_learn_nothing_is_learned_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("partsong_cluster.demo.run.find_spec", lambda name: None)
    stop = Stop()
    stop.ask(Outcome.INTERRUPTED)
    result = await run_demo(DemoOrder(tmp_path, engine="inline", fetch=False), Silent(), stop)
    assert any("scikit-learn, scipy not installed (pip install 'partsong[learn]')" in line for line in result.left_out)
    assert recorded_part(learns=False).lessons is None


def test_calls_one_after_another_add_up_and_of_calls_side_by_side_the_longest_counts():
    bill = tuple(
        BillLine(step=step, model=step, latency_s=latency_s, outcome="cache")
        for step, latency_s in (("cascade/0-trio/0-a", 1.0), ("cascade/0-trio/1-b", 3.0), ("cascade/1-strong", 5.0))
    )
    reply = Answer(text="x", route=Route(use="cascade", reason=""), bill=bill, latency_s=0.001)
    billed = as_billed(RowRecord(run="r", row=0, custom_id="q", reply=reply), PLANS)
    assert isinstance(billed.reply, Answer)
    assert billed.reply.latency_s == 8.0
