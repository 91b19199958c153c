"""Nothing leaves a model's adapter that holds its key, in any form, whatever the server or somebody else's adapter says."""

import base64
import logging
from typing import Literal
from urllib.parse import quote

import pytest

from partsong.adapters import discreet
from partsong.adapters.adapter import Adapter, Surroundings
from partsong.adapters.discreet import Redaction, adapter_of
from partsong.contracts import Completion, Failure, FailureCode, ModelSpec, Task, Timing, ToolCall
from partsong.errors import EngineError, WeightsError

KEY = 'sk-canary+0123/456789=="x'


class Spec(ModelSpec):
    adapter: Literal["telling"]
    does: str = ""


class Telling(Adapter):
    kind = "telling"
    Spec = Spec

    def __init__(self, spec, around):
        self.does, self.key = spec.does, around.secret
        if self.does == "construct":
            raise RuntimeError(f"no luck with {self.key}")

    async def open(self):
        if self.does == "open":
            raise RuntimeError(f"no luck with {self.key}")
        if self.does == "refuse":
            raise WeightsError("gone", f"nothing for {self.key}", remedy=f"not {self.key}")

    async def close(self):
        if self.does == "close":
            raise RuntimeError(self.key)

    async def complete(self, task, on_text=None):
        match self.does:
            case "raise":
                raise ValueError(f"bad {self.key}") from KeyError(self.key)
            case "fail":
                return Failure(code=FailureCode.AUTH, message=f"{self.key} {quote(self.key)} is wrong", retryable=False)
            case "repeat":
                return Completion(
                    text=f"It is {self.key}.",
                    model="m",
                    timing=Timing(total_s=0),
                    tool_calls=(ToolCall(id="1", name="f", arguments=repr(self.key)),),
                )
            case "expire":
                raise TimeoutError(self.key)
        return Completion(text="fine", model="m", timing=Timing(total_s=0))


@pytest.fixture
def opened(monkeypatch):
    monkeypatch.setattr(discreet, "adapter_kinds", lambda: {"telling": Telling})

    async def make(does, secret=KEY):
        adapter = adapter_of(Spec(adapter="telling", does=does), Surroundings("model", secret=secret))
        await adapter.open()
        return adapter

    return make


@pytest.mark.parametrize("does", ["raise", "fail", "repeat"])
async def test_no_reply_holds_the_key(opened, caplog, does):
    reply = await (await opened(does)).complete(Task.of("x"))
    assert "canary" not in reply.model_dump_json() + caplog.text
    assert "***" in reply.model_dump_json() + caplog.text


async def test_what_an_adapter_raised_is_in_the_log_but_for_the_key(opened, caplog):
    reply = await (await opened("raise")).complete(Task.of("x"))
    assert (reply.code, reply.where) == (FailureCode.WORKER_ERROR, "model")
    assert "ValueError: bad ***" in caplog.text
    assert "Traceback" in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize(("does", "kind"), [("construct", EngineError), ("open", EngineError), ("refuse", WeightsError)])
async def test_no_error_of_opening_holds_the_key(opened, caplog, does, kind):
    with pytest.raises(kind) as caught:
        await opened(does)
    assert "canary" not in f"{caught.value} {caught.value.args} {caught.value.problems} {caplog.text}"
    assert caught.value.__cause__ is None


async def test_closing_says_nothing_either(opened, caplog):
    await (await opened("close")).close()
    assert "canary" not in caplog.text


async def test_a_timeout_stays_one(opened):
    with pytest.raises(TimeoutError) as caught:
        await (await opened("expire")).complete(Task.of("x"))
    assert caught.value.args == ()


async def test_replies_without_the_key_pass_as_they_are_and_short_stand_ins_mask_no_answers(opened):
    assert (await (await opened("")).complete(Task.of("x"))).text == "fine"
    assert (await (await opened("repeat", "password")).complete(Task.of("x"))).text == "It is password."
    failure = await (await opened("fail", "password")).complete(Task.of("x"))
    assert failure.message == "*** *** is wrong"


async def test_without_a_key_the_adapter_is_itself(opened):
    assert type(await opened("", secret=None)) is Telling
    adapter = await opened("")
    assert (adapter.kind, adapter.Spec) == ("telling", Spec)


@pytest.mark.parametrize("before", ["", "u:", "us:", "user:", "Bearer "])
def test_a_key_is_masked_in_base64_behind_anything(before):
    encoded = base64.b64encode((before + KEY).encode()).decode()
    assert Redaction(KEY).holds(encoded)
    assert Redaction(KEY).holds(encoded.replace("+", "-").replace("/", "_"))
    assert KEY.encode().hex() not in Redaction(KEY)(KEY.encode().hex())


def test_pieces_of_a_key_are_masked_in_words():
    words = Redaction(KEY).in_words(f"input {KEY[:9]}...{KEY[-14:]} and {KEY[3:15]}, {KEY[:4]}...")
    assert words == f"input ***...*** and ***, {KEY[:4]}..."


def test_surroundings_do_not_show_the_key():
    assert KEY not in repr(Surroundings("m", secret=KEY))
    logging.getLogger(__name__).debug("%r", Surroundings("m", secret=KEY))
