"""A notice: something broke or was limited, and what is done about it; told to the user once, not once a row."""

from partsong.contracts.frozen import Frozen

__all__ = ["Notice"]


class Notice(Frozen):
    """What a person is told while a run goes on."""

    code: str
    """Stable: `breaker-open`, `throttled`, `worker-lost`."""
    where: str = ""
    """The model or process that it is about."""
    what: str
    """What happened."""
    doing: str = ""
    """What is done about it."""

    def __str__(self) -> str:
        told = f"{self.where}: {self.what}" if self.where else self.what
        return f"{told}; {self.doing}" if self.doing else told
