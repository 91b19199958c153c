"""Contracts: the values that travel between all parts; frozen, documented, units in names."""

from partsong.contracts.answer import Answer, Candidate, Reply, Route, TierOutcome
from partsong.contracts.bill import BillLine
from partsong.contracts.completion import Completion, FinishReason, Logprobs, Timing, Usage
from partsong.contracts.failure import Failure, FailureCode, Sent
from partsong.contracts.frozen import Frozen, Name, Probability, Seconds, Usd
from partsong.contracts.messages import Call, CallRecord, MergeWork, Row, RowOutcome, RowRecord
from partsong.contracts.model import Duration, ModelSpec, Price, Resources, SecretRef, Size, WorkerRange
from partsong.contracts.task import (
    AudioPart,
    CodePart,
    Constraints,
    FilePart,
    ImagePart,
    Message,
    Part,
    PartType,
    Sampling,
    Task,
    TextPart,
    Tool,
    ToolCall,
)

__all__ = [
    "Answer",
    "AudioPart",
    "BillLine",
    "Call",
    "CallRecord",
    "Candidate",
    "CodePart",
    "Completion",
    "Constraints",
    "Duration",
    "Failure",
    "FailureCode",
    "FilePart",
    "FinishReason",
    "Frozen",
    "ImagePart",
    "Logprobs",
    "MergeWork",
    "Message",
    "ModelSpec",
    "Name",
    "Part",
    "PartType",
    "Price",
    "Probability",
    "Reply",
    "Resources",
    "Route",
    "Row",
    "RowOutcome",
    "RowRecord",
    "Sampling",
    "Seconds",
    "SecretRef",
    "Sent",
    "Size",
    "Task",
    "TextPart",
    "TierOutcome",
    "Timing",
    "Tool",
    "ToolCall",
    "Usage",
    "Usd",
    "WorkerRange",
]
