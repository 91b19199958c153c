"""The report of one run, read back from its folder."""

import json
from pathlib import Path

from partsong_cluster.batch.run import Limits
from partsong_cluster.batch.session import RunOrder, Session
from partsong_cluster.batch.stop import Stop
from partsong_cluster.report import write_run_report
from scripted_engine import Script, ScriptedEngine, answer, echo

from partsong.contracts import Failure, FailureCode, Reply, Row
from partsong.mesh import load_text

MESH = "version: 1\nmodels:\n  mini: {adapter: recorded, file: outcomes.jsonl}\n"


class Silent:
    def show(self, *state: object) -> None:
        pass

    def say(self, line: str) -> None:
        pass


async def run(folder: Path, script: Script = echo, **about: object) -> str:
    (folder / "outcomes.jsonl").touch()
    rows = [{"id": f"q{n}", "prompt": f"question {n}", **about} for n in range(20)]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    order = RunOrder("mesh.yaml", str(folder / "in.jsonl"), folder / "out", limits=Limits())
    engine = ScriptedEngine(folder / "out", script)
    await Session(order, load_text(MESH, folder, env={}), lambda: engine, Silent(), Stop()).work()
    return write_run_report(folder / "out").read_text()


async def test_a_run_without_expected_answers_claims_no_accuracy(tmp_path):
    html = await run(tmp_path)
    assert "20 rows answered, 0 failed" in html
    assert "nothing is said here about how often they are right" in html


async def test_a_run_with_expected_answers_is_graded(tmp_path):
    html = await run(tmp_path, expected="QUESTION 3")
    assert "5.0 %" in html


async def test_failures_are_told_by_code(tmp_path):
    async def fails(row: Row) -> Reply:
        return answer("fine") if row.row else Failure(code=FailureCode.OVERLOADED, message="come back later")

    html = await run(tmp_path, fails)
    assert "overloaded" in html
    assert '<span class="said">come back later</span><span class="tag">in.jsonl:1</span>' in html
    assert '<span class="bad">failed</span>' in html


async def test_a_run_of_one_plan_is_called_by_its_name(tmp_path):
    html = await run(tmp_path)
    assert "mini answers every row" in html
    assert "routed" not in html


async def test_a_run_says_who_was_asked_and_leaves_out_columns_that_say_nothing(tmp_path):
    html = await run(tmp_path)
    assert "Who was asked" in html
    assert '<td class="name">mini<td class="n">20<td class="n">0' in html
    assert "95 % interval<th" not in html


async def test_one_session_is_one_session(tmp_path):
    assert "in 1 session<" in await run(tmp_path)


async def test_what_the_run_was_made_of_stands_in_the_small_print(tmp_path):
    html = await run(tmp_path)
    assert "mesh.yaml" in html
    assert "in.jsonl" in html
