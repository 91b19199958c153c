"""The faults' page: what a user gets of every fault, out of the table that the tests hold the engine to."""

from collections.abc import Iterator, Sequence

from providers.fault_table import ADAPTERS, TABLE, Case, Cell, Column

__all__ = ["page"]

_INTRO = """# Faults

What a row comes to when its provider, or the way there, does this. Each line is a test: a real server does it on a real socket, a real
engine asks, and the server counts how often it was asked (`tests/unit/adapters/test_faults.py`).

- **Gets**: the failure's [code](errors.md#failure-codes), or the answer and how it is marked.
- **Sent**: whether the request can have reached the provider, and so may be billed; `no` only where it cannot have.
- **Again**: whether the model is asked again, at most `retries` times (busy and throttled ones for as long as `patience`); never once
  text of a stream was handed on.
- **The row** is in the output when it is answered, else in `errors.jsonl` with the code. Fallbacks and plans come before that.

Where **of** is empty, all adapters (openai, anthropic, gemini) and both kinds of reply, whole and streamed, do the same.

A failure's message may hold the provider's own words: at most 400 characters of them, on one line, without the key however it is
spelt. They may quote the prompt.
"""

_HEAD = "| fault | of | gets | sent | again | the row |\n| --- | --- | --- | --- | --- | --- |"


def page() -> str:
    """Return the page."""
    return "\n".join([_INTRO, *(line for title, cases in TABLE.items() for line in _section(title, cases))])


def _section(title: str, cases: Sequence[Case]) -> Iterator[str]:
    yield f"## {title}\n\n{_HEAD}"
    for case in cases:
        fault = case.fault
        for cell, columns in case.groups():
            yield f"| {fault} | {_of(columns)} | {_gets(cell)} | {'' if cell.code is None else cell.sent} | {_again(cell)} | {_row(cell)} |"
            fault = ""
    yield ""


def _of(columns: Sequence[Column]) -> str:
    """Return whose replies these are; nothing when they are everybody's."""
    whose = {streamed: [adapter for adapter in ADAPTERS if Column(adapter, streamed) in columns] for streamed in (False, True)}
    if whose[False] == whose[True]:
        return "" if len(whose[True]) == len(ADAPTERS) else ", ".join(whose[True])
    kinds = {False: "whole", True: "streamed"}
    named = [(kinds[streamed], adapters) for streamed, adapters in whose.items() if adapters]
    return "; ".join(kind if len(adapters) == len(ADAPTERS) else f"{kind}: {', '.join(adapters)}" for kind, adapters in named)


def _gets(cell: Cell) -> str:
    if cell.code is not None:
        return f"`{cell.code}`"
    marks = [f"`finish_reason: {cell.finish_reason}`"] if cell.finish_reason != "stop" else []
    marks += ["`usage.estimated`"] if cell.estimated else []
    return ", ".join(["the answer", *marks])


def _again(cell: Cell) -> str:
    return "" if cell.code is None else "yes" if cell.retried else "no"


def _row(cell: Cell) -> str:
    if cell.code is None:
        return "answered"
    return "answered once it passes, else `errors.jsonl`" if cell.retried else "`errors.jsonl`"
