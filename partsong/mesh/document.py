"""Document: YAML read into a tree of which every piece knows its file, line and column."""

import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.parser import Parser

from partsong.errors import MeshError, Place, Problem

__all__ = ["Piece", "read_document"]

LONGEST_BYTES = 1_000_000
_MOST_PIECES = 100_000
_MOST_EVENTS = 20_000
"""Values, aliases, and beginnings and ends of mappings and lists, as they stand in one file."""
_DEEPEST = 100
_TAG = "tag:yaml.org,2002:"
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Piece:
    """One value of the document: a mapping, a list or a scalar, and where it stands."""

    content: "dict[str, Piece] | list[Piece] | str | int | float | bool | None"
    at: Place
    """Where the value starts."""
    key_at: Place | None = None
    """Where its key starts, when it has one."""

    @property
    def fields(self) -> "dict[str, Piece]":
        """The mapping's pieces by key; empty for what is no mapping."""
        return self.content if isinstance(self.content, dict) else {}

    @property
    def spot(self) -> Place:
        """Where an error about this piece points: at the scalar, or at the key of a mapping or list."""
        return self.key_at if self.key_at is not None and isinstance(self.content, dict | list) else self.at

    def plain(self) -> Any:
        """Return the value as plain dicts, lists and scalars."""
        if isinstance(self.content, dict):
            return {key: piece.plain() for key, piece in self.content.items()}
        return [piece.plain() for piece in self.content] if isinstance(self.content, list) else self.content

    def step(self, part: str | int) -> "Piece | None":
        """Return the piece one key or index further, if there is one."""
        if isinstance(self.content, dict):
            return self.content.get(str(part))
        if isinstance(self.content, list) and isinstance(part, int) and 0 <= part < len(self.content):
            return self.content[part]
        return None

    def with_fields(self, fields: "dict[str, Piece]") -> "Piece":
        """Return this mapping with other fields."""
        return replace(self, content=fields)


def read_document(raw: bytes, file: str, starts: str = "`version: 1` and `models:`") -> Piece:
    """Return the document's tree; MeshError names every syntax error, duplicate key and unusable scalar found.

    `starts` says what such a file starts with, for whoever gives an empty one.
    """
    text = _text(raw, file)
    try:
        # A parser made for its error: the pure one, whose marks are exact, and whose YAML 1.2 reads `no` as a word.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML lets an anchor be set anew; the later one holds from there on
            reader = YAML(typ="safe", pure=True)
            reader.Parser = type("Parser", (_BoundedParser,), {"file": file})
            root = reader.compose(text)
    except MarkedYAMLError as error:
        raise _syntax_error(error, file) from None
    except RecursionError:
        raise _too_deep(Place(file)) from None
    except (YAMLError, ValueError) as error:
        raise MeshError("yaml", _first_line(str(error)), at=Place(file), remedy="mend the YAML") from None
    if root is None:
        raise MeshError("mesh-empty", "the file is empty", at=Place(file), remedy=f"start with {starts}")
    builder = _Builder(file)
    piece = builder.piece(root, None, 0)
    if builder.problems:
        raise MeshError.of(builder.problems)
    if not isinstance(piece.content, dict):
        raise MeshError("not-a-mapping", "the file is a mapping at its top", at=piece.at, remedy=f"start with {starts}")
    return piece


def _text(raw: bytes, file: str) -> str:
    if len(raw) > LONGEST_BYTES:
        what = f"the file is {len(raw):,} bytes long; it may have {LONGEST_BYTES:,}"
        raise MeshError("mesh-too-large", what, at=Place(file), remedy="is it the right file? Large prompts belong into files of their own")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = _place_of(raw[: error.start].decode("utf-8", "replace"), file)
        what = f"byte 0x{raw[error.start]:02x} is not UTF-8"
        raise MeshError("not-utf-8", what, at=at, remedy="save the file as UTF-8") from None
    if odd := _UNPRINTABLE.search(text):
        at = _place_of(text[: odd.start()], file)
        raise MeshError("control-character", f"character U+{ord(odd[0]):04X} cannot stand in the file", at=at, remedy="delete it")
    return text


def _place_of(before: str, file: str) -> Place:
    return Place(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _syntax_error(error: MarkedYAMLError, file: str) -> MeshError:
    mark = error.problem_mark or error.context_mark
    at = Place(file) if mark is None else Place(file, mark.line + 1, mark.column + 1)
    what = _first_line(error.problem or str(error))
    if "\\t" in what:
        return MeshError("yaml-tab", "a tab cannot indent YAML", at=at, remedy="indent with spaces")
    remedy = "check indentation, colons, quotes and brackets here and in the line before"
    if "undefined alias" in what:
        remedy = "define it before with &name, or quote the value if the * is meant as text"
    return MeshError("yaml", what, at=at, remedy=remedy)


def _too_deep(at: Place) -> MeshError:
    return MeshError("mesh-too-deep", f"more than {_DEEPEST} levels of nesting", at=at, remedy="plans can be named and asked by name")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


class _BoundedParser(Parser):
    """Stops where a file holds more values, or nests deeper, than any mesh file: reading a megabyte of them takes most of a minute."""

    file = ""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._read = self._depth = 0

    def get_event(self) -> Any:
        """See Parser.get_event."""
        event = super().get_event()
        self._read += 1
        self._depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        at = Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
        if self._depth > _DEEPEST + 1:
            raise _too_deep(at)
        if self._read > _MOST_EVENTS:
            raise MeshError(
                "mesh-too-large", f"more than {_MOST_EVENTS:,} values", at=at, remedy="is it the right file? Write what differs"
            )
        return event


class _Builder:
    """Turns YAML nodes into pieces; counts them, so that aliases of aliases cannot grow without limit."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._pieces = 0
        self.problems: list[Problem] = []

    def piece(self, node: Node, key_at: Place | None, depth: int) -> Piece:
        at = self._at(node)
        self._pieces += 1
        if self._pieces > _MOST_PIECES:
            what = f"more than {_MOST_PIECES:,} values once aliases are followed"
            raise MeshError("mesh-too-large", what, at=at, remedy="write what differs, name what is shared")
        if depth > _DEEPEST:  # an alias inside its own anchor ends here too
            raise _too_deep(at)
        if isinstance(node, ScalarNode):
            return Piece(self._scalar(node, at), at, key_at)
        if isinstance(node, MappingNode):
            return Piece(self._mapping(node, depth), at, key_at)
        return Piece([self.piece(item, None, depth + 1) for item in node.value], at, key_at)

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, Piece]:
        own: dict[str, Piece] = {}
        merged: dict[str, Piece] = {}
        for key_node, value_node in node.value:
            key_at = self._at(key_node)
            if key_node.tag == f"{_TAG}merge":
                merged = self._merged(value_node, key_at, depth) | merged
                continue
            if not isinstance(key_node, ScalarNode) or not isinstance(key := self._scalar(key_node, key_at), str):
                self._problem("key-not-text", "a key is text", key_at, "put quotes around it")
                continue
            if key in own:
                first = own[key].key_at
                self._problem("duplicate-key", f"key {key!r} stands here a second time", key_at, f"the first is at {first}; keep one")
                continue
            own[key] = self.piece(value_node, key_at, depth + 1)
        return merged | own

    def _merged(self, node: Node, key_at: Place, depth: int) -> dict[str, Piece]:
        """Return what `<<` brings in: of several mappings, the first that has a key wins."""
        result: dict[str, Piece] = {}
        for mapping in [node] if isinstance(node, MappingNode) else reversed(list(_items(node))):
            if isinstance(mapping, MappingNode):
                result |= self.piece(mapping, None, depth + 1).fields
            else:
                self._problem("yaml", "`<<` takes a mapping or a list of mappings", key_at, "write `<<: *name`")
        return result

    def _scalar(self, node: ScalarNode, at: Place) -> str | int | float | bool | None:
        kind = str(node.tag).removeprefix(_TAG)
        text = node.value
        match kind:
            case "str" | "timestamp" | "value" | "merge":
                return self._word(text, at)
            case "null":
                return None
            case "bool":
                return bool(text.lower() == "true")
            case "int":
                return self._integer(text, at)
            case "float":
                return self._number(text, at)
            case _:
                self._problem("yaml-tag", f"the tag {node.tag} has no meaning here", at, "delete it")
                return None

    def _word(self, text: str, at: Place) -> str:
        if odd := _UNPRINTABLE.search(text):
            self._problem("control-character", f"character U+{ord(odd[0]):04X} cannot stand in the file", at, "delete the escape")
        return text

    def _integer(self, text: str, at: Place) -> int:
        try:
            value = int(text.replace("_", ""), 0 if text.lstrip("+-").lower().startswith(("0x", "0o", "0b")) else 10)
        except ValueError:
            value = 2**63
        if not -(2**63) <= value < 2**63:
            self._problem("number-too-large", "a whole number has at most 64 bits", at, "quote it, if it is text")
        return value

    def _number(self, text: str, at: Place) -> float:
        try:
            value = float(text.replace("_", ""))
        except ValueError:  # `.inf`, `.nan`
            value = math.inf
        if not math.isfinite(value):
            self._problem("not-finite", f"{text} is no finite number", at, "leave the field out for no limit, where it may be")
        return value

    def _at(self, node: Node) -> Place:
        return Place(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _problem(self, code: str, what: str, at: Place, remedy: str) -> None:
        self.problems.append(Problem(code, what, at, remedy))


def _items(node: Node) -> Iterator[Node]:
    return iter(node.value) if not isinstance(node, ScalarNode) else iter((node,))
