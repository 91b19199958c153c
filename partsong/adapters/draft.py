"""Draft: what a reply has said so far; each wire shape writes into it, whole or event by event, and it becomes a completion."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from partsong.contracts import Completion, FinishReason, Logprobs, Price, Task, Timing, ToolCall, Usage

__all__ = ["Draft", "ToolCallDraft", "count"]


@dataclass(slots=True)
class ToolCallDraft:
    """A tool call whose pieces are coming."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Draft:
    """One reply."""

    hand_over: Callable[[str], object] | None = None
    """Takes each piece of text as it comes."""
    unwrap: str | None = None
    """The one property that the answer was wrapped in, for a provider whose structured output must be an object."""
    answer_tool: str | None = None
    """The tool whose arguments are the answer, where structured output is a forced tool."""
    model: str = ""
    pieces: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    tool_calls: dict[int, ToolCallDraft] = field(default_factory=dict)
    finish: FinishReason | None = None
    withheld: str = ""
    """Why the provider withholds the reply or cut it, in its own short word."""
    refused: bool = False
    """Whether what was said before is withdrawn too."""
    counts: dict[str, Any] = field(default_factory=dict)
    """Token counts under the provider's names, where they come in several pieces."""
    usage: Usage | None = None
    ended: bool = False
    """Whether the stream's end mark has come."""
    first_s: float | None = None
    """When the first piece came, on the performance counter."""

    @property
    def is_blank(self) -> bool:
        """Whether nothing was said, not even why."""
        return self.finish is None and not (self.pieces or self.tool_calls)

    def say(self, text: str) -> None:
        """Take a piece of text; TypeError when it is none."""
        if not text:
            return
        if not isinstance(text, str):
            raise TypeError(f"a piece of text is a JSON {type(text).__name__}")
        if self.first_s is None:
            self.first_s = time.perf_counter()
        self.pieces.append(text)
        if self.hand_over is not None and self.unwrap is None:
            self.hand_over(text)

    def tool_call(self, index: int) -> ToolCallDraft:
        """Return the tool call of this place, begun if it is new."""
        return self.tool_calls.setdefault(index, ToolCallDraft())

    def logprob(self, token: str, value: float) -> None:
        """Take a token's log-probability."""
        self.tokens.append(token)
        self.logprobs.append(min(0.0, float(value)))

    def completion(self, task: Task, model: str, price: Price | None, start_s: float) -> Completion:
        """Return the completion; `model` is its name where the reply gave none."""
        streamed = self.hand_over is not None
        text = self._text()
        usage = self.usage or _estimated(task, text, self.tool_calls)
        return Completion(
            text=text,
            finish_reason=self.finish or "stop",
            model=self.model or model,
            usage=usage,
            cost_usd=0.0 if price is None else price.cost_usd(usage),
            timing=Timing(
                total_s=time.perf_counter() - start_s,
                first_token_s=self.first_s - start_s if streamed and self.first_s is not None else None,
            ),
            logprobs=Logprobs(tokens=tuple(self.tokens), values=tuple(self.logprobs)) if self.tokens else None,
            tool_calls=tuple(
                ToolCall(id=call.id or f"call_{index}", name=call.name, arguments=call.arguments or "{}")
                for index, call in sorted(self.tool_calls.items())
            ),
        )

    def _text(self) -> str:
        text = _mended("".join(self.pieces))
        if self.unwrap is None:
            return text
        text = _unwrapped(text, self.unwrap)
        if self.hand_over is not None and text:
            self.hand_over(text)
        return text


def count(fields: Any, name: str) -> int:
    """Return a count of tokens out of a provider's object; what is missing or no count is 0."""
    value = fields.get(name) if isinstance(fields, dict) else None
    return int(value) if isinstance(value, int | float) and 0 < value < 2**53 else 0


def _mended(text: str) -> str:
    """Join surrogates whose halves came in two pieces; one that stays alone becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _unwrapped(text: str, name: str) -> str:
    """Return the wrapped value as JSON; what is not wrapped as asked stays as it is, for the answer's check to judge."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps(value[name], ensure_ascii=False) if isinstance(value, dict) and value.keys() == {name} else text


def _estimated(task: Task, text: str, calls: dict[int, ToolCallDraft]) -> Usage:
    """Return a count of 4 characters a token."""
    in_chars = sum(len(message.text) for message in task.messages)
    out_chars = len(text) + sum(len(call.name) + len(call.arguments) for call in calls.values())
    return Usage(prompt_tokens=-(-in_chars // 4), completion_tokens=-(-out_chars // 4), estimated=True)
