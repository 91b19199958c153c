"""Edit: one word set in a mesh file's text; comments, order, quotes and line ends stay as somebody wrote them."""

import re
from collections.abc import Sequence

from partsong.errors import MeshError, Place
from partsong.mesh.document import Piece, read_document

__all__ = ["with_word"]

_WORD = re.compile(r"""'[^']*'|"[^"]*"|[^\s,}\]#]+""")
_LINE_END = re.compile(r"\r?\n$")


def with_word(text: str, file: str, mapping: Sequence[str], key: str, word: str, *, beside: str) -> str:
    """Return the text with the key of a mapping set to a word; where it is not there yet, it stands after the key `beside`.

    MeshError where the mapping is not written in this text, or so that setting the word would change something else too (an anchor).
    """
    root = read_document(text.encode(), file)
    found: Piece | None = root
    for part in mapping:
        found = None if found is None else found.step(part)
    if found is None or beside not in found.fields:
        what = f"{'.'.join(mapping)} is not written in this file"
        raise MeshError("not-written-here", what, at=Place(file), remedy="change the file that has it: the one that `extends` names")
    edited = _replaced(text, found.fields[key], word) if key in found.fields else _inserted(text, found.fields[beside], key, word)
    if _plain(edited, file) != _set(root.plain(), mapping, key, word):
        remedy = f"write `{key}: {word}` there yourself"
        raise MeshError("not-editable", f"{'.'.join(mapping)} cannot be changed by itself", at=found.spot, remedy=remedy)
    return edited


def _replaced(text: str, piece: Piece, word: str) -> str:
    lines = text.splitlines(keepends=True)
    at, line = piece.at, lines[piece.at.line - 1]
    lines[at.line - 1] = line[: at.column - 1] + _WORD.sub(word, line[at.column - 1 :], count=1)
    return "".join(lines)


def _inserted(text: str, piece: Piece, key: str, word: str) -> str:
    """Return the text with the key after the piece: on its line in a flow mapping, on the next one in a block."""
    lines = text.splitlines(keepends=True)
    at, line = piece.at, lines[piece.at.line - 1]
    value = _WORD.match(line, at.column - 1)
    end = len(line.rstrip("\r\n")) if value is None else value.end()
    if line[end:].lstrip()[:1] in (",", "}"):
        lines[at.line - 1] = f"{line[:end]}, {key}: {word}{line[end:]}"
        return "".join(lines)
    ends = _LINE_END.search(line)
    indent = " " * ((piece.key_at or at).column - 1)
    lines[at.line - 1] = f"{line}{'' if ends else chr(10)}{indent}{key}: {word}{ends[0] if ends else ''}"
    return "".join(lines)


def _plain(text: str, file: str) -> object:
    try:
        return read_document(text.encode(), file).plain()
    except MeshError:
        return None


def _set(plain: dict[str, object], mapping: Sequence[str], key: str, word: str) -> object:
    """Return the plain document with the word in it."""
    if not mapping:
        return {**plain, key: word}
    inner = plain[mapping[0]]
    assert isinstance(inner, dict), "it was found there"
    return {**plain, mapping[0]: _set(inner, mapping[1:], key, word)}
