"""As row: a task written as an input row again, so that failed rows can be run once more (see failed_row.py)."""

import base64
from collections.abc import Sequence
from typing import Any

from partsong.contracts import AudioPart, CodePart, FilePart, ImagePart, Message, Part, Task, TextPart, Tool, ToolCall
from partsong_cluster.batch.openai_request import AUDIO_TYPES

__all__ = ["as_row"]


def as_row(task: Task) -> dict[str, Any]:
    """Return the row that `as_task` reads as this task."""
    row: dict[str, Any] = {"id": task.id, **_asked(task.messages)}
    row |= {"use": task.use} if task.use is not None else {}
    row |= {"schema": task.answer_schema} if task.answer_schema is not None else {}
    row |= {"tools": [_tool(tool) for tool in task.tools]} if task.tools else {}
    for name in ("sampling", "constraints"):
        if fields := getattr(task, name).model_dump(exclude_defaults=True):
            row[name] = fields
    return row | ({"metadata": task.metadata} if task.metadata else {})


def _asked(messages: Sequence[Message]) -> dict[str, Any]:
    if len(messages) == 1 and messages[0].role == "user" and len(messages[0].parts) == 1 and isinstance(messages[0].parts[0], TextPart):
        return {"prompt": messages[0].parts[0].text}
    return {"messages": [_message(message) for message in messages]}


def _message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": [_part(part) for part in message.parts]}
    written |= {"tool_calls": [_call(call) for call in message.tool_calls]} if message.tool_calls else {}
    return written | ({"tool_call_id": message.tool_call_id} if message.tool_call_id is not None else {})


def _part(part: Part) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case CodePart():
            return {"type": "code", "code": part.code, "language": part.language}
        case ImagePart():
            return {"type": "image_url", "image_url": {"url": part.url or _data_url(part.media_type, part.data)}}
        case AudioPart():
            form = next((name for name, media_type in AUDIO_TYPES.items() if media_type == part.media_type), "wav")
            return {"type": "input_audio", "input_audio": {"data": base64.b64encode(part.data).decode(), "format": form}}
        case FilePart():
            content = {"file_url": part.url} if part.url else {"file_data": _data_url(part.media_type, part.data)}
            return {"type": "file", "file": {"filename": part.name, **content}}


def _data_url(media_type: str, content: bytes | None) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content or b'').decode()}"


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _tool(tool: Tool) -> dict[str, Any]:
    return {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters}}
