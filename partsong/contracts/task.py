"""A task: what one row asks, as typed messages, with its constraints."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, PositiveInt

from partsong.contracts.frozen import Frozen, Name, Probability, Seconds, Usd

__all__ = [
    "KIND_FIELDS",
    "OTHER_KIND",
    "AudioPart",
    "CodePart",
    "Constraints",
    "FilePart",
    "ImagePart",
    "Message",
    "Part",
    "PartType",
    "Sampling",
    "Task",
    "TextPart",
    "Tool",
    "ToolCall",
]

KIND_FIELDS = ("kind", "skill", "category")
"""Metadata fields that name the kind of a task, where nobody names another."""
OTHER_KIND = "other"
"""The kind of rows that name none, beside others that do."""

PartType = Literal["text", "image", "audio", "file", "code"]


def _tag(kind: PartType) -> Callable[[dict[str, Any]], Any]:
    """Return a default that depends on the data as far as pydantic knows: the tag then travels even where defaults are left out."""
    return lambda _data: kind


class TextPart(Frozen):
    """Plain text."""

    type: Literal["text"] = Field(default_factory=_tag("text"))
    text: str


class CodePart(Frozen):
    """Source code, told apart from text so that routes and workers can pick it."""

    type: Literal["code"] = Field(default_factory=_tag("code"))
    code: str
    language: str = ""
    """Programming language in lower case (`python`); empty when unknown."""


class ImagePart(Frozen):
    """An image, by address or by its bytes (one of the two)."""

    type: Literal["image"] = Field(default_factory=_tag("image"))
    url: str | None = None
    data: bytes | None = None
    media_type: str = "image/png"


class AudioPart(Frozen):
    """A sound, by its bytes."""

    type: Literal["audio"] = Field(default_factory=_tag("audio"))
    data: bytes
    media_type: str = "audio/wav"


class FilePart(Frozen):
    """A document, by address or by its bytes (one of the two)."""

    type: Literal["file"] = Field(default_factory=_tag("file"))
    name: str
    url: str | None = None
    data: bytes | None = None
    media_type: str = "application/octet-stream"


Part = Annotated[TextPart | CodePart | ImagePart | AudioPart | FilePart, Field(discriminator="type")]


class ToolCall(Frozen):
    """A tool that a model wants called."""

    id: str
    name: str
    arguments: str
    """JSON text, as the model wrote it."""


class Tool(Frozen):
    """A tool that a model may call."""

    name: str
    description: str = ""
    parameters: dict[str, JsonValue] = {}
    """JSON Schema of the arguments."""


class Message(Frozen):
    """One turn of the conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    parts: tuple[Part, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    """Which tool call this message answers (role `tool`)."""

    @property
    def text(self) -> str:
        """The text and code parts, joined by line ends."""
        return "\n".join(p.code if isinstance(p, CodePart) else p.text for p in self.parts if isinstance(p, TextPart | CodePart))


class Sampling(Frozen):
    """How a model is to draw its reply; what is None is left to the provider."""

    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    top_p: Probability | None = None
    max_tokens: PositiveInt | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    """Ask for the log-probability of every generated token."""
    sample: int = 0
    """Which of several independent samples this is: part of what is asked, so that the journal keeps them apart."""


class Constraints(Frozen):
    """What the answer may cost; checked before every model call of the row."""

    deadline_s: Seconds | None = None
    """Seconds from the start of the row's work."""
    max_cost_usd: Usd | None = None
    max_calls: PositiveInt | None = None
    max_tokens: PositiveInt | None = None
    """Prompt and completion tokens over all calls of the row."""
    urgency: Literal["low", "normal", "high"] = "normal"
    fallbacks: bool = True
    """Whether another model may answer in place of one that has failed."""


class Task(Frozen):
    """What one row asks."""

    id: str
    """Unique within a run; echoed as `custom_id`."""
    messages: tuple[Message, ...]
    use: Name | None = None
    """The model or plan the row itself names; None lets the routes choose."""
    sampling: Sampling = Sampling()
    answer_schema: dict[str, JsonValue] | None = None
    """JSON Schema that the answer must satisfy."""
    tools: tuple[Tool, ...] = ()
    constraints: Constraints = Constraints()
    metadata: dict[str, JsonValue] = {}

    @property
    def text(self) -> str:
        """The text of all user messages, joined by line ends."""
        return "\n".join(m.text for m in self.messages if m.role == "user")

    def kind_by(self, fields: Sequence[str] = KIND_FIELDS) -> str | None:
        """Return what kind of task this is, by the first of these metadata fields that it has; None where it has none."""
        return next((str(kind) for field in fields if isinstance(kind := self.metadata.get(field), str | int | bool)), None)

    @property
    def part_types(self) -> frozenset[PartType]:
        """The types of parts that occur in any message."""
        return frozenset(p.type for m in self.messages for p in m.parts)

    @classmethod
    def of(cls, prompt: str, *, id: str = "1", use: str | None = None) -> "Task":
        """Return the task of one user message."""
        return cls(id=id, messages=(Message(role="user", parts=(TextPart(text=prompt),)),), use=use)

    def asking(self, prompt: str, *, system: str | None = None) -> "Task":
        """Return this task with its messages replaced by one prompt (a stage, a subtask, a judge's question)."""
        user = Message(role="user", parts=(TextPart(text=prompt),))
        head = () if system is None else (Message(role="system", parts=(TextPart(text=system),)),)
        return self.model_copy(update={"messages": (*head, user), "answer_schema": None, "tools": ()})
