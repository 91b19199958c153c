"""Counted: what can be counted on a text that says how much is asked."""

import re

__all__ = ["numbers", "sentences"]

_LONGEST = 100_000
_SENTENCE_END = re.compile(r"[.?!\u3002\uff01\uff1f](?=\s|$)|[\u3002\uff01\uff1f]|\n\s*\n")
_NUMBER = re.compile(r"\d[\d.,]*")


def sentences(text: str) -> int:
    """Return how many sentences there are: ends of one (also of Chinese and Japanese ones), and a last one without an end."""
    looked_at = text[:_LONGEST].strip()
    ends = [match.end() for match in _SENTENCE_END.finditer(looked_at)]
    return len(ends) + bool(looked_at[ends[-1] if ends else 0 :].strip())


def numbers(text: str) -> int:
    """Return how many numbers stand in it."""
    return len(_NUMBER.findall(text[:_LONGEST]))
