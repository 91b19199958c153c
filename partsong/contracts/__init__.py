"""Contracts: the values that travel between all parts; frozen, documented, units in names."""

from partsong.contracts.allowed import Allowed, python_is_off
from partsong.contracts.answer import Answer, Candidate, Reply, TierOutcome
from partsong.contracts.bill import BillLine
from partsong.contracts.completion import Completion, FinishReason, Logprobs, Timing, Usage
from partsong.contracts.epoch import Epoch
from partsong.contracts.failure import Failure, FailureCode, Sent
from partsong.contracts.feedback import Feedback
from partsong.contracts.frozen import Frozen, Name, Probability, Seconds, Usd
from partsong.contracts.messages import Call, CallRecord, MergeWork, Row, RowOutcome, RowRecord, Terms
from partsong.contracts.model import (
    NOT_THE_ANSWER,
    BreakerSpec,
    Duration,
    HedgeSpec,
    Limits,
    ModelSpec,
    Price,
    Resources,
    Scale,
    SecretRef,
    Size,
    WorkerRange,
)
from partsong.contracts.notice import Notice
from partsong.contracts.route import Arm, Route
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
    "NOT_THE_ANSWER",
    "Allowed",
    "Answer",
    "Arm",
    "AudioPart",
    "BillLine",
    "BreakerSpec",
    "Call",
    "CallRecord",
    "Candidate",
    "CodePart",
    "Completion",
    "Constraints",
    "Duration",
    "Epoch",
    "Failure",
    "FailureCode",
    "Feedback",
    "FilePart",
    "FinishReason",
    "Frozen",
    "HedgeSpec",
    "ImagePart",
    "Limits",
    "Logprobs",
    "MergeWork",
    "Message",
    "ModelSpec",
    "Name",
    "Notice",
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
    "Scale",
    "Seconds",
    "SecretRef",
    "Sent",
    "Size",
    "Task",
    "Terms",
    "TextPart",
    "TierOutcome",
    "Timing",
    "Tool",
    "ToolCall",
    "Usage",
    "Usd",
    "WorkerRange",
    "python_is_off",
]
