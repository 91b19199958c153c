"""The wire: what is packed comes back equal; what was never packed is a WireError and nothing else."""

import math
from typing import Any

import msgpack
import pytest
from contract_strategies import JSON, contracts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import partsong.contracts
from partsong.contracts import (
    Answer,
    BillLine,
    Call,
    CallRecord,
    Completion,
    Failure,
    FailureCode,
    Frozen,
    ImagePart,
    Message,
    Row,
    RowOutcome,
    RowRecord,
    Task,
    Timing,
)
from partsong.errors import WireError
from partsong.wire import WIRE_VERSION, Codec

EVERY_CONTRACT = [
    kind for name in partsong.contracts.__all__ if isinstance(kind := getattr(partsong.contracts, name), type) and issubclass(kind, Frozen)
]

Record = CallRecord | RowRecord
RECORDS = Codec[Record](Record)
TASKS = Codec[Task](Task)
REPLIES = Codec[Answer | Failure](Answer | Failure)


def task_holding(value: Any) -> Task:
    return Task(id="1", messages=(), metadata={"value": value})


def nested(depth: int) -> Any:
    value: Any = "inside"
    for _ in range(depth):
        value = [value]
    return value


def outcome(codec: Codec[Any], data: bytes) -> str:
    try:
        codec.unpack(data)
    except WireError as error:
        return error.code
    return "message"


@pytest.mark.parametrize("kind", EVERY_CONTRACT, ids=lambda kind: kind.__name__)
def test_every_contract_survives_packing(kind: type[Frozen]) -> None:
    codec = Codec[Frozen](kind)

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(contracts(kind), max_size=2))
    def survives(items: list[Frozen]) -> None:
        assert codec.unpack(codec.pack(items)) == items

    survives()


def test_members_of_a_union_come_back_as_their_own_class() -> None:
    call = CallRecord(
        run="r", row=1, step="cascade/0", ask_hash=b"\xff" * 16, model="m", reply=Completion(text="42", model="m", timing=Timing(total_s=1))
    )
    failed = call.model_copy(update={"reply": Failure(code=FailureCode.TIMEOUT, message="late")})
    row = RowRecord(run="r", row=1, custom_id="a", task=Task.of("6 x 7?"), reply=Answer(text="42"))
    assert RECORDS.unpack(RECORDS.pack([call, row, failed])) == [call, row, failed]
    assert [type(item) for item in RECORDS.unpack(RECORDS.pack([call, row, failed]))] == [CallRecord, RowRecord, CallRecord]


@given(st.lists(contracts(Answer) | contracts(Failure), max_size=3))
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_and_failures_are_told_apart(replies: list[Answer | Failure]) -> None:
    assert [type(item) for item in REPLIES.unpack(REPLIES.pack(replies))] == [type(item) for item in replies]


def test_pack_each_gives_messages_of_one() -> None:
    tasks = [Task.of("a"), Task.of("b")]
    assert TASKS.pack_each(tasks) == [TASKS.pack([task]) for task in tasks]


def test_no_items_are_a_message_too() -> None:
    assert TASKS.unpack(TASKS.pack([])) == []


@pytest.mark.parametrize("value", [2**63, 2**64, -(2**63) - 1, 10**400, -(10**400)])
def test_integers_past_64_bits_survive(value: int) -> None:
    assert TASKS.unpack(TASKS.pack([task_holding(value)]))[0].metadata["value"] == value


def test_infinities_and_not_a_number_survive() -> None:
    value = TASKS.unpack(TASKS.pack([task_holding([math.nan, math.inf, -math.inf])]))[0].metadata["value"]
    assert isinstance(value, list)
    assert repr(value) == "[nan, inf, -inf]"


def test_lone_surrogates_survive() -> None:
    task = Task.of("half a pair: \ud83d")
    assert TASKS.unpack(TASKS.pack([task])) == [task]


def test_bytes_stay_bytes() -> None:
    task = Task(id="1", messages=(Message(role="user", parts=(ImagePart(data=b"\x89PNG\x00\xff"),)),))
    assert TASKS.unpack(TASKS.pack([task])) == [task]


def test_nesting_survives_as_deep_as_a_contract_may_be() -> None:
    assert TASKS.unpack(TASKS.pack([task_holding(nested(200))])) == [task_holding(nested(200))]


def test_a_value_nested_too_deeply_is_refused_when_packed() -> None:
    deep = Task.of("x").model_copy(update={"metadata": {"value": nested(5000)}})
    with pytest.raises(WireError) as caught:
        TASKS.pack([deep])
    assert caught.value.code == "wire-invalid"


def test_a_value_of_the_wrong_type_is_refused_when_packed_without_being_shown() -> None:
    wrong = Task.of("x").model_copy(update={"metadata": {"key": object()}, "id": {"secret"}})
    with pytest.raises(WireError) as caught:
        TASKS.pack([wrong])
    assert "secret" not in str(caught.value)


def test_what_was_built_without_checks_is_packed_if_it_can_be_read_back() -> None:
    line = BillLine.model_construct(step="a", model="m", cost_usd=0, failure=FailureCode.TIMEOUT)
    loose = Answer(text="x").model_copy(update={"bill": [line], "latency_s": 1})
    strict = Answer(text="x", bill=(BillLine(step="a", model="m", failure="timeout"),), latency_s=1.0)
    assert REPLIES.unpack(REPLIES.pack([loose])) == [strict]
    assert REPLIES.pack_each([loose, loose]) == [REPLIES.pack([loose])] * 2


def test_what_could_not_be_read_back_is_refused_when_packed_naming_the_field_alone() -> None:
    wrong = RowOutcome.model_construct(row="secret", custom_id="a", reply=Answer(text="x"))  # type: ignore[arg-type]
    with pytest.raises(WireError, match=r"int_parsing at 0\.row") as caught:
        Codec[RowOutcome](RowOutcome).pack([wrong])
    assert "secret" not in str(caught.value)


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=500, deadline=None)
def test_random_bytes_are_a_wire_error_or_a_message(data: bytes, versioned: bool) -> None:
    head = bytes([WIRE_VERSION]) if versioned else b""
    for codec in (RECORDS, TASKS, REPLIES):
        assert outcome(codec, head + data) in {"message", "wire-version", "wire-truncated", "wire-invalid"}


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_msgpack_of_something_else_is_invalid(value: Any) -> None:
    packed = msgpack.packb([{"text": value}], default=lambda _: None, unicode_errors="surrogatepass")
    with pytest.raises(WireError) as caught:
        TASKS.unpack(bytes([WIRE_VERSION]) + packed)
    assert caught.value.code == "wire-invalid"


@given(st.data(), contracts(Row))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_message_cut_short_is_truncated(data: st.DataObject, row: Row) -> None:
    codec = Codec[Row](Row)
    packed = codec.pack([row])
    with pytest.raises(WireError) as caught:
        codec.unpack(packed[: data.draw(st.integers(0, len(packed) - 1))])
    assert caught.value.code == "wire-truncated"


@given(st.data(), contracts(Call))
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_flipped_bit_never_raises_anything_but_a_wire_error(data: st.DataObject, call: Call) -> None:
    codec = Codec[Call](Call)
    packed = bytearray(codec.pack([call]))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert outcome(codec, bytes(packed)) in {"message", "wire-version", "wire-truncated", "wire-invalid"}


def test_another_version_is_named() -> None:
    with pytest.raises(WireError, match=f"version 9, this process reads {WIRE_VERSION}") as caught:
        TASKS.unpack(b"\x09" + TASKS.pack([])[1:])
    assert caught.value.code == "wire-version"


def test_bytes_after_the_message_are_invalid() -> None:
    with pytest.raises(WireError) as caught:
        TASKS.unpack(TASKS.pack([]) + b"\x00")
    assert caught.value.code == "wire-invalid"


def test_a_huge_announced_length_takes_no_memory() -> None:
    with pytest.raises(WireError):
        TASKS.unpack(bytes([WIRE_VERSION]) + b"\xdd\xff\xff\xff\xff")


def test_an_unknown_field_is_named_and_its_value_is_not() -> None:
    packed = bytes([WIRE_VERSION]) + msgpack.packb(
        [{**RowOutcome(row=1, custom_id="a", reply=Answer(text="x")).model_dump(), "extra": "sk-123"}]
    )
    with pytest.raises(WireError, match=r"extra_forbidden at 0\.extra") as caught:
        Codec[RowOutcome](RowOutcome).unpack(packed)
    assert "sk-123" not in str(caught.value)
