"""Python workers: functions and classes beside the mesh file or installed, whose faults cost one call."""

import asyncio
import logging
import subprocess
import sys
import textwrap
import time

import pytest

from partsong.adapters.adapter import Surroundings
from partsong.adapters.python import PythonAdapter, PythonSpec
from partsong.contracts import Completion, Failure, FailureCode, Price, Task
from partsong.errors import MeshError


@pytest.fixture
def worker(tmp_path):
    async def opened(source, target="workers:answer", **fields):
        (tmp_path / "workers.py").write_text(textwrap.dedent(source), encoding="utf-8")
        adapter = PythonAdapter(PythonSpec(adapter="python", target=target, **fields), Surroundings(name="helper", folder=tmp_path))
        await adapter.open()
        return adapter

    return opened


async def ask(adapter, prompt="hello", on_text=None):
    try:
        return await adapter.complete(Task.of(prompt), on_text)
    finally:
        await adapter.close()


async def test_an_async_function_answers(worker):
    adapter = await worker("async def answer(task, mark):\n    return task.text.upper() + mark", args={"mark": "!"})
    reply = await ask(adapter)
    assert isinstance(reply, Completion)
    assert (reply.text, reply.model, reply.usage.total_tokens, reply.cost_usd) == ("HELLO!", "workers:answer", 0, 0.0)


async def test_a_plain_function_runs_in_a_thread(worker):
    adapter = await worker("import threading\ndef answer(task): return threading.current_thread().name")
    assert (await ask(adapter)).text.startswith("partsong-helper")


async def test_plain_functions_do_not_hold_each_other_up(worker):
    adapter = await worker("import time\ndef answer(task):\n    time.sleep(0.2)\n    return 'ok'")
    start_s = time.perf_counter()
    await asyncio.gather(*(adapter.complete(Task.of("?")) for _ in range(8)))
    await adapter.close()
    assert time.perf_counter() - start_s < 1.0


async def test_a_class_is_constructed_once_and_asked_by_call_or_complete(worker):
    source = """
        class Counter:
            def __init__(self, start): self.n = start
            def __call__(self, task):
                self.n += 1
                return str(self.n)

        class Completer:
            async def complete(self, task): return "completed"
    """
    counter = await worker(source, "workers:Counter", args={"start": 4})
    assert [(await counter.complete(Task.of("?"))).text for _ in range(2)] == ["5", "6"]
    await counter.close()
    assert (await ask(await worker(source, "workers:Completer"))).text == "completed"


async def test_a_class_that_can_be_closed_is_closed(worker, tmp_path):
    source = """
        import pathlib
        class Answerer:
            def __init__(self, note): self.note = pathlib.Path(note)
            async def __call__(self, task): return "x"
            async def close(self): self.note.write_text("closed")
    """
    await ask(await worker(source, "workers:Answerer", args={"note": str(tmp_path / "note")}))
    assert (tmp_path / "note").read_text() == "closed"


async def test_confidence_is_taken_from_a_pair(worker):
    reply = await ask(await worker("async def answer(task): return 'pos', 0.75"))
    assert (reply.text, reply.confidence) == ("pos", 0.75)


async def test_completions_and_failures_pass_as_they_are(worker):
    source = """
        from partsong.contracts import *
        async def answer(task):
            if task.text == "no":
                return Failure(code=FailureCode.UNSUPPORTED, message="not that")
            return Completion(text="own", model="mine-1", timing=Timing(total_s=1.0))
    """
    assert (await ask(await worker(source))).model == "mine-1"
    assert (await ask(await worker(source), "no")).code is FailureCode.UNSUPPORTED


async def test_what_a_worker_raises_is_a_bounded_failure_with_its_traceback_in_the_log(worker, caplog):
    adapter = await worker("def answer(task): raise LookupError('gone ' * 500)")
    with caplog.at_level(logging.WARNING):
        reply = await ask(adapter)
    assert isinstance(reply, Failure)
    assert (reply.code, reply.where) == (FailureCode.WORKER_ERROR, "helper")
    assert reply.message.startswith("workers:answer raised LookupError at workers.py:")
    assert "gone" not in reply.message
    assert len(reply.message) <= 300
    assert "Traceback" not in reply.message
    assert "Traceback" in caplog.text


async def test_a_worker_that_raises_again_and_again_is_logged_once_for_each_place_and_then_counted(worker, caplog):
    source = """
        def answer(task):
            if task.text == "odd":
                raise ValueError("odd")
            raise LookupError("gone")
    """
    adapter = await worker(source)
    with caplog.at_level(logging.WARNING):
        replies = [await adapter.complete(Task.of(text)) for text in ("even", "odd", "even", "even")]
        assert [reply.message.split(" raised ")[1].split()[0] for reply in replies] == [
            "LookupError",
            "ValueError",
            "LookupError",
            "LookupError",
        ]
        assert caplog.text.count("Traceback") == 2
        caplog.clear()
        await adapter.close()
    [record] = caplog.records
    assert record.getMessage() == "worker helper (workers:answer) raised LookupError at workers.py:5 3 times"


@pytest.mark.parametrize("returned", ["3", "None", "('a', 'b', 'c')", "('a', 2.0)", "('a', 'sure')"])
async def test_what_is_no_answer_is_a_failure(worker, returned):
    reply = await ask(await worker(f"async def answer(task): return {returned}"))
    assert isinstance(reply, Failure)
    assert reply.code is FailureCode.WORKER_ERROR


async def test_a_price_costs_by_estimated_tokens(worker):
    reply = await ask(await worker("def answer(task): return 'y' * 8", price=Price(input=1.0, output=2.0, request=0.5)), "x" * 40)
    assert reply.usage.estimated
    assert reply.cost_usd == pytest.approx(0.5 + (10 * 1 + 2 * 2) / 1e6)


async def test_the_answer_is_streamed_as_one_piece(worker):
    pieces: list[str] = []
    await ask(await worker("def answer(task): return 'all'"), on_text=pieces.append)
    assert pieces == ["all"]


BURN = "    end = time.process_time() + 0.1\n    while time.process_time() < end: pass\n    return 'x'"


@pytest.mark.parametrize("head", ["def answer(task):\n", "async def answer(task):\n    await asyncio.sleep(0.05)\n"])
async def test_processor_time_is_measured(worker, head):
    reply = await ask(await worker("import asyncio, time\n" + head + BURN))
    assert 0.02 < reply.timing.cpu_s < 1.0


async def test_waiting_is_not_counted_as_processor_time(worker):
    adapter = await worker("import asyncio\nasync def answer(task):\n    await asyncio.sleep(0.2)\n    return 'x'")
    reply = await ask(adapter)
    assert reply.timing.cpu_s < 0.05
    assert reply.timing.total_s >= 0.19


async def test_a_cancelled_call_cancels_the_async_function(worker):
    source = """
        import asyncio
        seen = []
        async def answer(task):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise
        async def told(task): return str(seen)
    """
    adapter = await worker(source)
    call = asyncio.create_task(adapter.complete(Task.of("?")))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await adapter.close()
    assert (await ask(await worker(source, "workers:told"))).text == "['cancelled']"


async def test_an_installed_module_is_found(tmp_path):
    adapter = PythonAdapter(PythonSpec(adapter="python", target="partsong.specialists.sentiment:sentiment"), Surroundings("s", tmp_path))
    await adapter.open()
    assert (await ask(adapter, "I love it")).text == "positive"


async def test_modules_and_packages_beside_the_mesh_work_and_leave_no_trace(worker, tmp_path):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("from .words import WORD", encoding="utf-8")
    (tmp_path / "pack" / "words.py").write_text("WORD = 'packed'\ndef answer(task): return WORD", encoding="utf-8")
    path = list(sys.path)
    assert (await ask(await worker("import pack\ndef answer(task): return pack.WORD"))).text == "packed"
    assert (await ask(await worker("", "pack.words:answer"))).text == "packed"
    assert sys.path == path
    assert "pack" not in sys.modules
    assert "workers" not in sys.modules


async def test_two_meshes_may_each_have_a_module_of_the_same_name(worker, tmp_path):
    first = await worker("def answer(task): return 'first'")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "workers.py").write_text("def answer(task): return 'second'", encoding="utf-8")
    second = PythonAdapter(PythonSpec(adapter="python", target="workers:answer"), Surroundings("b", tmp_path / "other"))
    await second.open()
    assert [(await ask(first)).text, (await ask(second)).text] == ["first", "second"]


@pytest.mark.parametrize(
    ("source", "target", "code", "remedy"),
    [
        ("", "nowhere:answer", "cannot-import", "nowhere.py"),
        ("import absent_package", "workers:answer", "cannot-import", "install 'absent_package'"),
        ("1 / 0", "workers:answer", "cannot-import", "mend the module"),
        ("def (", "workers:answer", "cannot-import", "mend the module"),
        ("", "workers:answer", "no-such-target", "after the colon"),
        ("answer = 3", "workers:answer", "not-callable", "name a function"),
        ("def answer(task, needed): ...", "workers:answer", "bad-arguments", "args of model 'helper'"),
        ("class answer:\n    def __init__(self, needed): ...", "workers:answer", "bad-arguments", "args of model 'helper'"),
        ("class answer:\n    def __init__(self): 1 / 0", "workers:answer", "worker-not-constructed", "check args"),
        ("class answer: ...", "workers:answer", "not-callable", "name a function"),
    ],
)
async def test_what_cannot_be_used_is_told_with_a_remedy(worker, source, target, code, remedy):
    with pytest.raises(MeshError, match=remedy) as caught:
        await worker(source, target)
    assert caught.value.code == code


def test_a_worker_beside_the_mesh_is_found_from_another_process(tmp_path):
    (tmp_path / "workers.py").write_text("def answer(task): return 'far'", encoding="utf-8")
    script = """
        import asyncio, pathlib, sys
        from partsong.adapters.adapter import Surroundings
        from partsong.adapters.python import PythonAdapter, PythonSpec
        from partsong.contracts import Task
        async def main():
            adapter = PythonAdapter(PythonSpec(adapter="python", target="workers:answer"), Surroundings("w", pathlib.Path(sys.argv[1])))
            await adapter.open()
            print((await adapter.complete(Task.of("?"))).text)
            await adapter.close()
        asyncio.run(main())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), tmp_path], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("far\n", 0), done.stderr
