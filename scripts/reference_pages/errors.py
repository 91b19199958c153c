"""The errors' page: failure codes of rows, and the codes of errors that end a command, found where they are raised."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import partsong_actors
import partsong_cluster

import partsong
import partsong.errors
from partsong.contracts import FailureCode
from partsong.errors import PartsongError
from reference_pages.members import members

__all__ = ["page"]

_FAILURES = """# Errors

A row that comes to no answer is a *failure*: data with a code, in `errors.jsonl` and in `Failure.code`; the run goes on. What stops a
command is an *error*: a code, what was wrong, where, and what to do, on standard error; the [exit code](cli.md#exit-codes) says of which
family.

## Failure codes

| code | meaning |
| --- | --- |"""

_ERRORS = """
## Error codes

By the class that is raised, in Python a subclass of `partsong.PartsongError`; `{...}` is filled in. Problems of a mesh file are all
reported at once, each with its own code, in `MeshError.problems`.
"""

_TITLES = {
    "MeshError": "the mesh file",
    "InputError": "the input as a whole",
    "RunError": "the run's folder",
    "StoreError": "the journal's store",
    "WeightsError": "weights of local models",
    "EngineError": "Ray, workers, the engine",
    "WireError": "messages between actors",
    "PartsongError": "none of these",
}


def page() -> str:
    """Return the page."""
    failures = [f"| `{code}` | {meaning} |" for code, meaning in members(FailureCode)]
    return "\n".join([_FAILURES, *failures, _ERRORS, *_classes()])


def _classes() -> Iterator[str]:
    found = set(_all_raised())
    for kind, title in _TITLES.items():
        if own := sorted((one for one in found if one.kind == kind), key=lambda one: (one.code, one.what, one.remedy)):
            yield f"### {kind}: {title}\n\n| code | what | what to do |\n| --- | --- | --- |"
            yield from (f"| `{one.code}` | {_cell(one.what)} | {_cell(one.remedy)} |" for one in own)
            yield ""


@dataclass(frozen=True, slots=True)
class _Raised:
    """One place where an error is made."""

    kind: str
    code: str
    what: str
    remedy: str


def _all_raised() -> Iterator[_Raised]:
    for package in (partsong, partsong_actors, partsong_cluster):
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            yield from _raised(ast.parse(path.read_text(encoding="utf-8")))


def _raised(module: ast.Module) -> Iterator[_Raised]:
    for scope in ast.walk(module):
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            calls = [node for node in ast.walk(scope) if isinstance(node, ast.Call)]
            yield from (made for call in calls if (made := _made(call, _Words(module, scope, call.lineno))))


def _made(call: ast.Call, words: "_Words") -> _Raised | None:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    arguments = list(call.args)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    code = arguments[0] if arguments else None
    if not isinstance(code, ast.Constant) or not isinstance(code.value, str) or not re.fullmatch(r"[a-z]+(-[a-z]+)*", code.value):
        return None
    if name == "PydanticCustomError" and "-" in code.value:
        return _Raised("MeshError", code.value, words.of(arguments[1]), "")
    if name == "Problem":
        remedy = given.get("remedy") or (arguments[3] if len(arguments) > 3 else None)
        return _Raised("MeshError", code.value, words.of(arguments[1]), words.of(remedy))
    if name == PartsongError.__name__ or name in {kind.__name__ for kind in PartsongError.__subclasses__()}:
        return _Raised(name, code.value, words.of(arguments[1]), words.of(given.get("remedy")))
    return None


@dataclass(frozen=True, slots=True)
class _Words:
    """Texts as one line of a function writes them: what is filled in stands in braces, by its name."""

    module: ast.Module
    scope: ast.AST
    line: int

    def of(self, node: ast.expr | None) -> str:
        match node:
            case None:
                return ""
            case ast.Constant(value=str(text)):
                return text
            case ast.JoinedStr(values=parts):
                return "".join(self.of(part) for part in parts)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.of(left) + self.of(right)
            case ast.IfExp(body=one, orelse=other):
                return " / ".join(dict.fromkeys(text for text in (self.of(one), self.of(other)) if text))
            case ast.Subscript(value=inner, slice=ast.Slice()):
                return self.of(inner)
            case ast.Name(id=name) if (assigned := self._assigned(name)) is not None:
                return self.of(assigned)
            case ast.FormattedValue(value=ast.Name(id=name)) if isinstance(assigned := self._assigned(name), ast.Constant):
                return self.of(assigned)
            case ast.FormattedValue(value=inner):
                return f"{{{_last_name(inner)}}}"
            case ast.Call(func=ast.Name(id="nearest")):
                return "names the nearest, or those there are"
        return f"{{{_last_name(node)}}}"

    def _assigned(self, name: str) -> ast.expr | None:
        """Return the text that the name has at this line; None when it is no text that is written somewhere."""
        assigns = [node for scope in (self.module.body, ast.walk(self.scope)) for node in scope if isinstance(node, ast.Assign)]
        values = [a.value for a in assigns if a.lineno < self.line and isinstance(a.targets[0], ast.Name) and a.targets[0].id == name]
        if values:
            return values[-1] if isinstance(values[-1], ast.JoinedStr | ast.IfExp | ast.Constant | ast.BinOp) else None
        return self._imported(name)

    def _imported(self, name: str) -> ast.expr | None:
        """Return the text that another module of ours calls so."""
        imports = [node for node in self.module.body if isinstance(node, ast.ImportFrom) and name in {one.name for one in node.names}]
        text = getattr(import_module(imports[0].module or ""), name, None) if imports else None
        return ast.Constant(text) if isinstance(text, str) else None


def _last_name(node: ast.expr) -> str:
    names = [n.attr if isinstance(n, ast.Attribute) else n.id for n in ast.walk(node) if isinstance(n, ast.Attribute | ast.Name)]
    named = [name for name in names if name not in ("str", "len", "type", "sorted", "join", "map")]
    return named[0].strip("_") if named else "..."


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "\\<").split())
