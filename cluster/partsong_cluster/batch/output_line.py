"""Output lines: an answer in OpenAI's Batch output shape with a `partsong` object; a failure with its input, code and reason."""

import json
from typing import Any

from pydantic_core import to_json, to_jsonable_python

from partsong.contracts import Answer, Failure, RowRecord
from partsong_cluster.batch.as_row import as_row
from partsong_cluster.batch.tally import paid_usd

__all__ = ["error_line", "output_line"]


def output_line(record: RowRecord) -> bytes:
    """Return the line of `output.jsonl` for an answered row."""
    answer = record.reply
    assert isinstance(answer, Answer)
    name = f"{record.run}-{record.row}"
    line = {
        "id": f"batch_req_{name}",
        "custom_id": record.custom_id,
        "response": {"status_code": 200, "request_id": answer.trace_id or f"req_{name}", "body": _chat_completion(record, answer, name)},
        "error": None,
        "partsong": _story(record, answer),
    }
    return _json(line) + b"\n"


def error_line(record: RowRecord) -> bytes:
    """Return the line of `errors.jsonl` for a failed row."""
    failure = record.reply
    assert isinstance(failure, Failure)
    line = {
        "custom_id": record.custom_id,
        "row": record.row,
        "file": record.source,
        "line": record.line,
        "code": failure.code.value,
        "reason": failure.message,
        "where": failure.where,
        "retryable": failure.retryable,
        "status": failure.status,
        "cost_usd": paid_usd(failure),
        "bill": [entry.model_dump(exclude_defaults=True) for entry in failure.bill],
        "input": record.raw or (None if record.task is None else as_row(record.task)),
    }
    return _json(line) + b"\n"


def _json(line: dict[str, Any]) -> bytes:
    try:
        return to_json(line, inf_nan_mode="null")
    except ValueError:  # half a surrogate pair, as some models write: JSON has it as an escape
        return json.dumps(_jsonable(line), separators=(",", ":")).encode()


def _jsonable(value: Any) -> Any:
    """Return the value as JSON has it; pydantic's own refuses half a surrogate pair in a key (a vote, a field of the row)."""
    if isinstance(value, dict):
        return {_jsonable(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(inner) for inner in value]
    return value if isinstance(value, str) else to_jsonable_python(value, inf_nan_mode="null")


def _chat_completion(record: RowRecord, answer: Answer, name: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in answer.tool_calls
        ]
    prompt_tokens = sum(line.usage.prompt_tokens for line in answer.bill)
    completion_tokens = sum(line.usage.completion_tokens for line in answer.bill)
    return {
        "id": f"chatcmpl-{name}",
        "object": "chat.completion",
        "created": int(record.at_s),
        "model": answer.source,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def _story(record: RowRecord, answer: Answer) -> dict[str, Any]:
    """Return how the answer came about; the same keys for every row."""
    return {
        "row": record.row,
        "file": record.source,
        "line": record.line,
        "route": None if answer.route is None else answer.route.model_dump(exclude_defaults=True),
        "source": answer.source,
        "value": answer.value,
        "confidence": answer.confidence,
        "votes": answer.votes,
        "candidates": [candidate.model_dump(exclude_none=True) for candidate in answer.candidates],
        "tiers": [tier.model_dump() for tier in answer.tiers],
        "escalations": answer.escalations,
        "stopped": answer.stopped,
        "cost_usd": paid_usd(answer),
        "cpu_s": sum(line.cpu_s for line in answer.bill),
        "latency_s": answer.latency_s,
        "bill": [line.model_dump(exclude_defaults=True) for line in answer.bill],
        "trace_id": answer.trace_id,
        "metadata": record.task.metadata if record.task else {},
    }
