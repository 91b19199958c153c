"""Reading: what an answer says, by its kind (number, letter, label, JSON, text), in one normal form for votes and grades alike."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue

from partsong.contracts import Frozen, Probability
from partsong.contracts.onekey import OneKey

__all__ = ["KINDS", "Exact", "Grader", "Json", "Kind", "KindField", "Label", "Letter", "Number", "Text"]

_LONGEST = 20_000
"""Characters looked at, from the end: a final answer stands there, and no answer may cost more than a few milliseconds to read."""


class Grader(Frozen, ABC):
    """Says whether an answer is right; its fields are its entry in the mesh file."""

    kind: ClassVar[str]
    """The key that names it in the mesh file: `number`."""

    @abstractmethod
    def right(self, text: str, value: JsonValue, reference: JsonValue) -> bool:
        """Return whether an answer (its text, and its structured value if it has one) is what the reference asks for."""


class Kind(Grader):
    """What sort of answer a task has, and so when two answers say the same."""

    @abstractmethod
    def read(self, text: str, value: JsonValue = None) -> str | None:
        """Return the normal form; None when the text cannot be read as this kind. A structured `value` outranks the text."""

    def same(self, one: str, other: str) -> bool:
        """Return whether two normal forms count as one answer."""
        return one == other

    def right(self, text: str, value: JsonValue, reference: JsonValue) -> bool:
        """Return whether the answer says the same as the reference, or as one of them when it is a list."""
        said = self.read(text, value)
        wanted = reference if isinstance(reference, list) else [reference]
        return said is not None and any((asked := self._read_reference(one)) is not None and self.same(said, asked) for one in wanted)

    def _read_reference(self, reference: JsonValue) -> str | None:
        return self.read(reference) if isinstance(reference, str) else self.read(json.dumps(reference), reference)

    @property
    def groups_exactly(self) -> bool:
        """Whether `same` is equality of normal forms."""
        return True


class Exact(Kind):
    """The text itself, without the white space around it."""

    kind = "exact"

    def read(self, text: str, value: JsonValue = None) -> str | None:
        """See Kind.read."""
        return text.strip() or None


class Label(Kind):
    """One of a few names, in any case: `**Positive.**` reads as `positive`, `card-arrival` as `card_arrival` if that is in the list.

    With a list, a longer text counts as the label it names; one that names several counts as the one after its last `answer:` or `label:`,
    else cannot be read. Without a list, the whole text is the label.
    """

    kind = "label"
    bare: ClassVar[str] = "among"

    among: tuple[str, ...] = ()
    """All labels there are; empty takes any text."""

    def read(self, text: str, value: JsonValue = None) -> str | None:
        """See Kind.read."""
        said = value if isinstance(value, str) else text
        if not self.among:
            return " ".join(said.casefold().split()).strip(_WRAPPING) or None
        said = said[-_LONGEST:]
        words, named = _words(said), _spelt(self.among)
        bare = said.strip().casefold()
        whole = [label for label, spelt in named.items() if label.casefold() == bare or (spelt and spelt == words)]
        return whole[0] if whole else _named_in(said, named)


class Letter(Kind):
    """The letter of a multiple-choice answer: `B`, `(B)`, `**B**`, `B) Paris`, `The answer is B.`, `\\boxed{B}`.

    In a longer text the last one after `answer` counts, else the last in brackets or bold, else one that starts the text (`B. Paris`).
    """

    kind = "letter"
    bare: ClassVar[str] = "among"

    among: Annotated[str, Field(pattern=r"^[A-Z]+$")] = "ABCDEFGHIJ"
    """The letters there are."""

    def read(self, text: str, value: JsonValue = None) -> str | None:
        """See Kind.read."""
        said = (value if isinstance(value, str) else text)[-_LONGEST:].strip()
        alone = said.strip(_WRAPPING).upper()
        if len(alone) == 1:
            return alone if alone in self.among else None
        for pattern in _LETTER_PATTERNS:
            found = [letter for match in pattern.finditer(said) if (letter := _first_group(match).upper()) in self.among]
            if found:
                return found[-1]
        return None


class Number(Kind):
    """A number: `$1,200.00`, `1.2e3` and `1200` read alike, in a longer text the marked one or else the last.

    Marks: `\\boxed{...}`, `####`, `answer is`, `answer:`. A percent sign is dropped (`50%` reads as `50`, as GSM8K graders do), fractions
    are divided out (`3/4` reads as `0.75`, `1 1/2` as `1.5`), units and currencies are ignored. Twelve significant digits count. Of 8,073
    GSM8K outputs of ten models it reads 20 otherwise than ZeroEval's own extraction, most of them sums like `12 * 12 = 144`.
    """

    kind = "number"

    places: Annotated[int, Field(ge=0, le=100)] | None = None
    """Decimal places that count; None compares twelve significant digits."""

    def read(self, text: str, value: JsonValue = None) -> str | None:
        """See Kind.read."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            text = repr(value)
        said = text[-_LONGEST:].replace("\u2212", "-")
        number = _marked_number(said)
        return None if number is None else _plain(number, self.places)


class Json(Kind):
    """A JSON value, whatever the order of its keys and its white space; fences and words around it are ignored."""

    kind = "json"

    def read(self, text: str, value: JsonValue = None) -> str | None:
        """See Kind.read."""
        if value is not None:
            return _canonical(value)
        for part in _json_parts(text):
            try:
                return _canonical(json.loads(part, parse_constant=_no_constant))
            except (ValueError, RecursionError):
                continue
        return None

    def right(self, text: str, value: JsonValue, reference: JsonValue) -> bool:
        """Return whether the answer is the reference's JSON value; a reference that is text is read as JSON where it can be."""
        said = self.read(text, value)
        return said is not None and said in (self._read_reference(reference), _canonical(reference))


class Text(Kind):
    """Free text: two answers count as one when they are similar enough."""

    kind = "text"
    bare: ClassVar[str] = "at_least"

    at_least: Probability = 0.6
    """Similarity from which two texts say the same."""
    similarity: Literal["words", "characters"] = "words"
    """`words`: share of words in common (Jaccard index); `characters`: share of pairs of neighbouring characters in common (Dice
    coefficient), for languages without spaces and for spelling mistakes."""

    def read(self, text: str, value: JsonValue = None) -> str | None:
        """See Kind.read."""
        return " ".join(text.casefold().split()) or None

    def same(self, one: str, other: str) -> bool:
        """See Kind.same."""
        return one == other or self.alike(one, other) >= self.at_least

    def alike(self, one: str, other: str) -> float:
        """Return the similarity in [0, 1]."""
        if self.similarity == "characters":
            left, right = _neighbours(one), _neighbours(other)
            return 2 * len(left & right) / (len(left) + len(right))
        left, right = set(_WORD.findall(one)), set(_WORD.findall(other))
        return len(left & right) / len(left | right) if left | right else 0.0

    @property
    def groups_exactly(self) -> bool:
        """See Kind.groups_exactly."""
        return False


KINDS: dict[str, type[Kind]] = {kind.kind: kind for kind in (Exact, Label, Letter, Number, Json, Text)}

KindField = Annotated[Kind, OneKey("kind of answer", KINDS)]
"""A kind as the mesh file writes it: `number`, `{label: [positive, negative]}`, `{text: 0.6}`."""

_WRAPPING = " \t\r\n*_`\"'\u201c\u201d\u2018\u2019()[]{}<>.,:;!#"
_WORD = re.compile(r"\w+")
_ANSWER_MARK = re.compile(r"(?:answer|label|category|intent|sentiment)[\"'*_]{0,3}\s*(?:is|:|=)", re.IGNORECASE)


def _neighbours(text: str) -> set[str]:
    framed = f" {text} "
    return {framed[at : at + 2] for at in range(len(framed) - 1)}


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold().replace("_", " ")))


@lru_cache(maxsize=64)
def _spelt(labels: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    return {label: _words(label) for label in labels}


def _named_in(said: str, named: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return the one label named in the text, or in what follows the last mark of an answer."""
    marks = list(_ANSWER_MARK.finditer(said))
    for part in (said[marks[-1].end() :], said) if marks else (said,):
        words = f" {' '.join(_words(part))} "
        found = {label: spelt for label, spelt in named.items() if spelt and f" {' '.join(spelt)} " in words}
        widest = [a for a, spelt in found.items() if not any(_within(spelt, other) for b, other in found.items() if b != a)]
        if len(widest) == 1:
            return widest[0]
    return None


def _within(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    return len(inner) < len(outer) and f" {' '.join(inner)} " in f" {' '.join(outer)} "


_LETTER_PATTERNS = (
    re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*\(?([A-Za-z])\b"),
    re.compile(
        r"(?i:answer)\W{0,5}(?:\s(?i:is|would be|should be)\b)?[\s:=*_`\"'(\[]{0,8}(?:(?i:option)\s+)?"
        r"([A-Z])(?![\w'])(?!(?<=[AI])\s+(?!because|since)[a-z])"  # "the answer is A because", but not "the answer is A tree"
    ),
    re.compile(r"\(([A-Z])\)|\[([A-Z])\]|\*\*\(?([A-Z])[).:]?\*\*"),
    re.compile(r"\A[\s*(\[]*([A-Z])[).:\]*](?=\s|\*|$)"),
    re.compile(r"^[\s*(\[]*([A-Z])[.:)\]*]*\s*\Z", re.MULTILINE),
)


def _first_group(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None)


_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
_NUMBER = re.compile(
    rf"(?P<sign>(?<![\w.)\]-])-\s?\$?)?\$?(?:(?P<whole>\d+)\s+(?=\d+/\d))?"
    rf"(?P<digits>{_DIGITS}(?:\.\d+)?|(?<![\d.])\.\d+)(?P<exp>[eE][-+]?\d+)?"
    rf"(?:/(?P<under>\d+(?:\.\d+)?)(?![/\d]))?(?:\s?[x\u00d7*]\s?10\s?\^\s?\{{?(?P<power>[-+]?\d+)\}}?)?"
)
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}")
_NUMBER_MARK = re.compile(r"\\boxed\{|####|answer[\"'*_]{0,3}\s*(?:is|:|=)", re.IGNORECASE)
_MARKS_TRIED = 8
_CLAUSE_END = re.compile(r"[.,;](?:\s|$)")
_LONGEST_NUMBER = 100
_LARGEST_EXPONENT = 300
_DIGITS_THAT_COUNT = 12


def _marked_number(said: str) -> Decimal | None:
    """Return the first number after the last mark that has one behind it, else the text's last number."""
    said = _LATEX_FRACTION.sub(r" \1/\2 ", said).replace("**", " ").replace("{,}", ",")
    for mark in list(_NUMBER_MARK.finditer(said))[: -_MARKS_TRIED - 1 : -1]:
        line = said[mark.end() : mark.end() + 2 * _LONGEST_NUMBER].lstrip().partition("\n")[0]
        clause = _CLAUSE_END.split(line, maxsplit=1)[0].rpartition("=")[2]  # of "5 * 3 = 15" the result
        if match := _NUMBER.search(clause) or _NUMBER.search(line):
            return _decimal(match)
    last = None
    for last in _NUMBER.finditer(said):  # noqa: B007  the last match is what is wanted
        pass
    return None if last is None else _decimal(last)


def _decimal(match: re.Match[str]) -> Decimal | None:
    if len(match[0]) > _LONGEST_NUMBER:
        return None
    with localcontext(prec=_DIGITS_THAT_COUNT + 8):
        try:
            number = Decimal(match["digits"].replace(",", "") + (match["exp"] or ""))
            if match["under"]:
                number /= Decimal(match["under"])
            number += Decimal(match["whole"] or 0)
            number = number.scaleb(int(match["power"] or 0))
        except ArithmeticError:
            return None
        if number and number.adjusted() > _LARGEST_EXPONENT:
            return None
        if number.adjusted() < -_LARGEST_EXPONENT:
            return Decimal(0)
        return -number if match["sign"] else number


def _plain(number: Decimal, places: int | None) -> str:
    with localcontext(prec=_DIGITS_THAT_COUNT):
        number = +number
    if places is not None:
        with localcontext(prec=_LARGEST_EXPONENT + places + 2):
            number = number.quantize(Decimal(1).scaleb(-places))
    if not number:
        return "0"
    number = number.normalize()
    return f"{number:f}" if abs(number.adjusted()) < 30 else f"{number:e}"


_FENCE = re.compile(r"```[\w-]*\n(.*?)```", re.DOTALL)


def _json_parts(text: str) -> list[str]:
    """Return where JSON may stand, likeliest first: all of it, the last fence, from the first bracket to the last."""
    spans = [text[first : last + 1] for a, z in ("{}", "[]") if -1 < (first := text.find(a)) < (last := text.rfind(z))]
    return [text, *reversed(_FENCE.findall(text)), *sorted(spans, key=len, reverse=True)]


def _canonical(value: Any) -> str:
    return json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _whole(value: Any) -> Any:
    """Return the value with `1.0` written as `1`: JSON knows one kind of number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _whole(inner) for key, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list | tuple) else value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
