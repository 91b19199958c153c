"""Finding: one thing that was looked at, how it is, and what to do about it."""

from collections.abc import Iterable, Sequence
from typing import Literal

from partsong.contracts import Frozen

__all__ = ["Finding", "Level", "fail", "merged", "ok", "warn"]

Level = Literal["ok", "warn", "fail"]
"""`fail`: something does not work, or is open to strangers; `warn`: it may not, or is worth knowing."""


class Finding(Frozen):
    """A line of what the doctor says."""

    where: str
    """The node, `here`, or what else it is about."""
    level: Level
    what: str
    remedy: str = ""


def ok(where: str, what: str) -> Finding:
    """Return that all is well."""
    return Finding(where=where, level="ok", what=what)


def warn(where: str, what: str, remedy: str) -> Finding:
    """Return that something may be wrong, and what to do."""
    return Finding(where=where, level="warn", what=what, remedy=remedy)


def fail(where: str, what: str, remedy: str) -> Finding:
    """Return that something is wrong, and what to do."""
    return Finding(where=where, level="fail", what=what, remedy=remedy)


def merged(findings: Iterable[Finding]) -> Sequence[Finding]:
    """Return them with those that say the same of several nodes as one."""
    alike: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding.level, finding.what, finding.remedy), []).append(finding)
    return [one[0].model_copy(update={"where": ", ".join(finding.where for finding in one)}) for one in alike.values()]
