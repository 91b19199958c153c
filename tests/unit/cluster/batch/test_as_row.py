"""A task written as a row is read as the same task."""

from typing import get_args

import pytest
from partsong_cluster.batch.as_row import as_row
from partsong_cluster.batch.as_task import Shape, as_task
from pydantic_core import from_json, to_json

from partsong.contracts import (
    AudioPart,
    CodePart,
    Constraints,
    FilePart,
    ImagePart,
    Message,
    Part,
    Sampling,
    Task,
    TextPart,
    Tool,
    ToolCall,
)

PARTS: tuple[Part, ...] = (
    TextPart(text="look"),
    CodePart(code="x = 1", language="python"),
    ImagePart(url="https://example.org/a.png"),
    ImagePart(data=b"\x89PNG", media_type="image/jpeg"),
    AudioPart(data=b"RIFF"),
    AudioPart(data=b"ID3", media_type="audio/mpeg"),
    FilePart(name="a.pdf", data=b"%PDF", media_type="application/pdf"),
    FilePart(name="a.pdf", url="https://example.org/a.pdf"),
)

TASKS = [
    Task.of("hello", id="q1"),
    Task.of("hello", id="q1", use="vote"),
    Task(id="parts", messages=(Message(role="system", parts=(TextPart(text="be brief"),)), Message(role="user", parts=PARTS))),
    Task(
        id="tools",
        messages=(
            Message(role="user", parts=(TextPart(text="look it up"),)),
            Message(role="assistant", parts=(), tool_calls=(ToolCall(id="c1", name="look", arguments="{}"),)),
            Message(role="tool", parts=(TextPart(text="42"),), tool_call_id="c1"),
        ),
        tools=(Tool(name="look", description="looks", parameters={"type": "object"}),),
    ),
    Task.of("hello").model_copy(
        update={
            "sampling": Sampling(temperature=0.5, stop=("END",)),
            "answer_schema": {"type": "object"},
            "constraints": Constraints(deadline_s=3.0, max_calls=2),
            "metadata": {"expected": "yes", "metadata": {"a": [1]}, "prompt": "no"},
        }
    ),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_a_task_survives_being_written(task: Task):
    assert as_task(from_json(to_json(as_row(task))), task.id, Shape()) == task


def test_every_kind_of_part_is_written():
    assert {type(part) for part in PARTS} == set(get_args(get_args(Part)[0]))
