"""Explain: the schema's errors in plain words, each at its place in the file, with the nearest valid key or value."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from partsong.adapters.adapter import Adapter
from partsong.contracts import SecretRef
from partsong.errors import Place, Problem
from partsong.mesh.document import Piece
from partsong.mesh.schema import Mesh
from partsong.mesh.vocabulary import Vocabulary
from partsong.prompts import PromptTemplate

__all__ = ["explained", "nearest"]

Loc = tuple[str | int, ...]

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_SIZES = {
    "too_short": ("min_length", "at least", "actual_length"),
    "too_long": ("max_length", "at most", "actual_length"),
    "string_too_short": ("min_length", "at least", ""),
    "string_too_long": ("max_length", "at most", ""),
}


def nearest(word: str, words: Sequence[str], otherwise: str = "") -> str:
    """Return a remedy that names the nearest word, or the few there are."""
    near = get_close_matches(word, words, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"one of: {', '.join(dict.fromkeys(words))}" if 0 < len(words) <= 40 else otherwise


def explained(
    error: ValidationError, root: Piece, adapters: Mapping[str, type[Adapter]] | None = None, *, top: type[BaseModel] = Mesh
) -> tuple[Problem, ...]:
    """Return what is wrong, in the order of the file; of a union's arms only what is wrong with the one that was meant.

    `top` is the schema of the file as a whole.
    """
    words = Vocabulary(root, adapters, top)
    lines = _meant([_Line.of(line, root) for line in error.errors(include_url=False)])
    problems = {_Explaining(line, words).problem(): None for line in lines}
    return tuple(sorted(problems, key=lambda p: (p.at.file, p.at.line, p.at.column) if p.at else ("", 0, 0)))


@dataclass(frozen=True, slots=True)
class _Line:
    """One error of the schema, its place translated from the schema's to the file's."""

    kind: str
    message: str
    ctx: Mapping[str, Any]
    loc: Loc
    """The place in the file, as far as the file has it, and the missing or unknown key."""
    piece: Piece
    """The deepest piece on the way to it."""
    missing: str = ""
    arm: tuple[Loc, str] | None = None
    """Where a union branched, and into which arm."""

    @classmethod
    def of(cls, error: ErrorDetails, root: Piece) -> "_Line":
        loc: list[str | int] = []
        piece, arm, missing = root, None, ""
        parts = [part for part in error["loc"] if part != "[key]"]
        for number, part in enumerate(parts, 1):
            inner = piece.step(part)
            if inner is not None:
                piece = inner
                loc.append(part)
            elif error["type"] == "missing" and number == len(parts):
                missing = str(part)
            elif arm is None:
                arm = (tuple(loc), str(part))
        is_key = bool(error["loc"]) and error["loc"][-1] == "[key]"
        kind = "bad-name" if is_key else error["type"]
        return cls(kind, error["msg"], error.get("ctx", {}), tuple(loc), piece, missing, arm)


def _meant(lines: Sequence[_Line]) -> list[_Line]:
    """Leave out the errors of union arms that were not meant: the arm that took more of the content wins, then the one with fewer."""
    arms: dict[Loc, dict[str, list[_Line]]] = {}
    for line in lines:
        if line.arm is not None:
            arms.setdefault(line.arm[0], {}).setdefault(line.arm[1], []).append(line)
    chosen = {at: max(tags, key=lambda tag: _fit(at, tags[tag])) for at, tags in arms.items()}
    return [line for line in lines if line.arm is None or chosen[line.arm[0]] == line.arm[1]]


def _fit(at: Loc, lines: Sequence[_Line]) -> tuple[bool, int]:
    wrong_shape = any(line.loc == at and not line.missing for line in lines)
    return not wrong_shape, -len(lines)


@dataclass(frozen=True, slots=True)
class _Explaining:
    line: _Line
    words: Vocabulary

    def problem(self) -> Problem:
        """Return the problem in plain words."""
        line = self.line
        if line.kind == "missing":
            return self._missing()
        if line.kind == "extra_forbidden":
            return self._unknown_key()
        if SecretRef in self._types() and line.kind in _WANTED:
            return self._literal_secret()
        if line.kind in _WANTED:
            what = f"{self._name()} is {_shape(line.piece)}; {_WANTED[line.kind]} is wanted"
            return Problem("wrong-type", what, self._at(), self._written_so())
        return self._value() or self._said()

    def _missing(self) -> Problem:
        owner = self._name() if self.line.loc else "the file"
        return Problem("missing-field", f"{owner} lacks {self.line.missing!r}", self._at(self.line.missing), f"add `{self.line.missing}:`")

    def _unknown_key(self) -> Problem:
        key = str(self.line.loc[-1])
        keys = self.words.keys(self.line.loc[:-1])
        owner = _dotted(self.line.loc[:-1]) or "the file"
        at = replace(self.line.piece.key_at or self.line.piece.at, field=_dotted(self.line.loc))
        return Problem("unknown-key", f"{owner} has no key {key!r}", at, nearest(key, keys, "take it out"))

    def _literal_secret(self) -> Problem:
        what = f"{self._name()} stands in the file itself, which holds no secrets"
        env = f"{self.line.loc[1]}".upper().replace("-", "_").replace(".", "_") if len(self.line.loc) > 1 else "NAME"
        remedy = f"write {{env: {env}_API_KEY}} or {{file: path}}, and change the key if others have seen this file"
        return Problem("literal-secret", what, self._at(), remedy)

    def _value(self) -> Problem | None:
        kind, ctx = self.line.kind, self.line.ctx
        shown = _shape(self.line.piece)
        if kind == "bad-name":
            key = str(self.line.loc[-1])
            what = f"{key!r} is no name"
            at = replace(self.line.piece.key_at or self.line.piece.at, field=_dotted(self.line.loc))
            return Problem("bad-name", what, at, "a letter, then letters, digits, `_`, `.` or `-`; at most 64 characters")
        if kind == "literal_error":
            choices = re.findall(r"'([^']*)'", ctx["expected"]) or [ctx["expected"]]
            word = str(self.line.piece.content)
            return Problem("wrong-value", f"{self._name()} cannot be {shown}", self._at(), nearest(word, choices))
        if kind in _BOUNDS:
            bound, words = _BOUNDS[kind]
            return Problem("out-of-range", f"{self._name()} is {shown}; it must be {words} {ctx[bound]:g}", self._at(), self._written_so())
        if kind in _SIZES:
            bound, words, actual = _SIZES[kind]
            has = f" has {ctx[actual]} entries;" if actual else " is"
            noun = "" if actual else " characters long"
            return Problem("wrong-size", f"{self._name()}{has} {words} {ctx[bound]}{noun} are needed", self._at())
        if kind == "string_pattern_mismatch":
            return Problem(
                "wrong-value", f"{self._name()} is {shown}, which does not match {ctx['pattern']}", self._at(), self._written_so()
            )
        return None

    def _said(self) -> Problem:
        """Return what a validator of ours said, in its own words."""
        ours = self.line.message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
        what, _, remedy = ours.partition("; ")
        if self.line.kind in ("unknown-adapter", "adapter-broken"):
            return Problem(self.line.kind, f"{self._name()}: {what}", self._place_of(self.line.piece.step("adapter"), "adapter"), remedy)
        if self.line.kind == "unknown-kind" and len(self.line.piece.fields) == 1:
            (key, inner), *_ = self.line.piece.fields.items()
            at = replace(inner.key_at or inner.at, field=_dotted((*self.line.loc, key)))
            return Problem(self.line.kind, f"{self._name()}: {what}", at, remedy)
        code = self.line.kind if "-" in self.line.kind else "bad-prompt" if PromptTemplate in self._types() else "wrong-value"
        return Problem(code, f"{self._name()}: {what}" if self.line.loc else what, self._at(), remedy or self._written_so())

    def _place_of(self, piece: Piece | None, key: str) -> Place:
        return self._at(key) if piece is None else replace(piece.spot, field=_dotted((*self.line.loc, key)))

    def _types(self) -> list[Any]:
        return self.words.types(self.line.loc)

    def _written_so(self) -> str:
        """Return what the reference page says of the field."""
        field = next((part for part in reversed(self.line.loc) if isinstance(part, str)), "")
        description = self.words.description(self.line.loc)
        return f"{field}: {description}" if description else ""

    def _name(self) -> str:
        return _dotted(self.line.loc) or "the file"

    def _at(self, further: str = "") -> Place:
        return replace(self.line.piece.spot, field=_dotted((*self.line.loc, further) if further else self.line.loc))


def _dotted(loc: Loc) -> str:
    return ".".join(str(part) for part in loc)


def _shape(piece: Piece) -> str:
    content = piece.content
    if content is None:
        return "empty"
    if isinstance(content, dict | list):
        noun = "mapping" if isinstance(content, dict) else "list"
        return f"a {noun}" if content else f"an empty {noun}"
    if isinstance(content, bool):
        return "true" if content else "false"
    text = repr(content)
    return text if len(text) <= 60 else f"{text[:57]}..."
