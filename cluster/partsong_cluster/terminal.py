"""Terminal: texts from models, rows and strangers' files as a terminal may show them: nothing in them steers it or turns text around."""

import re
import sys

__all__ = ["as_read", "as_shown", "in_a_cell", "in_json", "plain"]

_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, ESC among them, without tab and line end
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls, which show text in another order than it is in
    "\ud800-\udfff]"  # halves of surrogate pairs, which no output can carry
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_INSTEAD = "\ufffd"


def plain(text: str) -> str:
    """Return the text as one line; what cannot be seen is replaced."""
    return "".join(char if char.isprintable() else _INSTEAD for char in text)


def as_shown(text: str) -> str:
    """Return the text with its lines and tabs; what would steer a terminal is replaced."""
    return _STEERING.sub(_INSTEAD, text.replace("\r\n", "\n"))


def in_a_cell(value: object) -> object:
    """Return the value as a cell of CSV may hold it: a text that a spreadsheet would take for a formula is marked as text (CWE-1236)."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def as_read(text: str) -> str:
    """Return the text as standard output may have it: as it is where a program reads it, as_shown on a terminal."""
    return as_shown(text) if sys.stdout.isatty() else _SURROGATE.sub(_INSTEAD, text)


def in_json(text: str) -> str:
    """Return JSON that says the same, with what would steer a terminal as escapes."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
