"""Sandbox: Jinja's sandbox, with the work of a template bounded too: no loop, product or padding keeps a machine busy or fills its memory.

Jinja's own lets templates read what they are given and nothing else. Of its filters and of the methods of texts, those that can make much
out of little are left out here; what remains charges a budget for every step and for every character it touches.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["MOST_CHARS", "Sandbox", "budgeted"]

MOST_CHARS = 1_000_000
"""Nothing that a template makes on its way is larger."""
_MOST_WORK = 50_000_000
"""Characters touched and nodes run by one rendering: about a second."""
_STEP = 20
"""What running one node costs."""
_CALL = 200

_CONTAINER = 10
"""What an item of a list counts besides what it holds."""

_FILTERS = frozenset(
    [
        "abs",
        "attr",
        "capitalize",
        "count",
        "d",
        "default",
        "dictsort",
        "e",
        "escape",
        "first",
        "float",
        "indent",
        "int",
        "items",
        "join",
        "last",
        "length",
        "list",
        "lower",
        "map",
        "max",
        "min",
        "reject",
        "rejectattr",
        "replace",
        "reverse",
        "round",
        "select",
        "selectattr",
        "sort",
        "string",
        "striptags",
        "sum",
        "title",
        "tojson",
        "trim",
        "truncate",
        "unique",
        "upper",
        "wordcount",
    ]
)
_TESTS = frozenset(
    [
        "boolean",
        "defined",
        "divisibleby",
        "even",
        "false",
        "float",
        "integer",
        "iterable",
        "mapping",
        "none",
        "number",
        "odd",
        "sequence",
        "string",
        "true",
        "undefined",
    ]
)
_METHODS = frozenset(
    [
        "capitalize",
        "count",
        "endswith",
        "find",
        "get",
        "index",
        "isalpha",
        "isdigit",
        "items",
        "keys",
        "lower",
        "lstrip",
        "removeprefix",
        "removesuffix",
        "rstrip",
        "split",
        "splitlines",
        "startswith",
        "strip",
        "title",
        "upper",
        "values",
    ]
)
_NUMBERS_AT_MOST = 10_000
"""For a number given to a filter: a width, an indent, a length."""

_left: ContextVar[list[int] | None] = ContextVar("partsong-template-budget", default=None)


@contextmanager
def budgeted() -> Iterator[None]:
    """Let one rendering do a bounded amount of work; past it, ValueError."""
    token = _left.set([_MOST_WORK])
    try:
        yield
    finally:
        _left.reset(token)


def _charge(work: int) -> None:
    left = _left.get()
    if left is not None:
        left[0] -= work
        if left[0] < 0:
            raise ValueError("the template does too much work")


def _weighed(value: Any) -> Any:
    """Return the value, its size charged."""
    size = _size(value)
    if size > MOST_CHARS:
        raise ValueError(f"a value grows past {MOST_CHARS:,} characters or items")
    _charge(_STEP + size)
    return value


def _size(value: Any) -> int:
    """Return how long the value would be as text, roughly; not counted past the limit, for `[x, x]` doubles what is in it each time."""
    if isinstance(value, str):
        return len(value)
    size, ahead = 0, [value]
    while ahead and size <= MOST_CHARS:
        inner = ahead.pop()
        if isinstance(inner, str):
            size += len(inner)
        elif isinstance(inner, dict):
            size += _CONTAINER * (1 + len(inner))
            ahead += [*inner, *inner.values()]
        elif isinstance(inner, list | tuple):
            size += _CONTAINER * (1 + len(inner))
            ahead += inner
    return size


def _counted(items: Iterable[Any], work: int) -> Iterator[Any]:
    """Yield the items of a loop, each charged with what the loop's body costs."""
    for item in items:
        _charge(work)
        yield item


def _filtering(made: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(made)
    def charged(*given: Any, **named: Any) -> Any:
        for value in (*given, *named.values()):
            if isinstance(value, int) and abs(value) > _NUMBERS_AT_MOST and given and value is not given[0]:
                raise ValueError(f"a filter takes no number past {_NUMBERS_AT_MOST:,}")
            _weighed(value)
        return _weighed(made(*given, **named))

    return charged


def _replace(text: object, old: str, new: str, count: int | None = None) -> str:
    """Replace as Jinja's filter does, its result's size known before it is made."""
    given = str(text)
    times = given.count(old) if count is None else min(count, given.count(old))
    if len(given) + times * (len(new) - len(old)) > MOST_CHARS:
        raise ValueError(f"a value grows past {MOST_CHARS:,} characters")
    return given.replace(old, new, -1 if count is None else count)


def _join(items: Iterable[Any], between: str = "", attribute: str | None = None) -> str:
    if attribute is not None:
        raise ValueError("join takes no attribute here; map it first: items | map(attribute='x') | join")
    texts: list[str] = []
    size = 0
    for item in items:
        texts.append(str(_weighed(item)))
        size += len(texts[-1]) + len(between)
        if size > MOST_CHARS:
            raise ValueError(f"a value grows past {MOST_CHARS:,} characters")
    return between.join(texts)


def _indent(text: object, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    margin = " " * width if isinstance(width, int) else str(width)
    lines = str(text).split("\n")
    if len(lines) * len(margin) > MOST_CHARS:
        raise ValueError(f"a value grows past {MOST_CHARS:,} characters")
    return "\n".join(
        line if (number == 0 and not first) or (not line and not blank) else margin + line for number, line in enumerate(lines)
    )


class _Code(CodeGenerator):
    """Writes `a ~ b` as a call that is charged."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802  Jinja's own name
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class Sandbox(ImmutableSandboxedEnvironment):
    """Compiles templates that can do no harm."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    code_generator_class = _Code

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=False, finalize=_weighed)
        own = {"replace": _replace, "join": _join, "indent": _indent}
        self.filters = {name: _filtering(own.get(name, made)) for name, made in self.filters.items() if name in _FILTERS}
        self.tests = {name: test for name, test in self.tests.items() if name in _TESTS}
        self.globals = {name: self.globals[name] for name in ("range", "dict", "namespace")}
        self.globals |= {"_counted": _counted, "_weighed": _weighed}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _check(tree)
        for loop in list(tree.find_all(nodes.For)):
            body = sum(1 for _ in loop.find_all(nodes.Node))
            loop.iter = _called("_counted", loop.iter, nodes.Const(_STEP * (1 + body)))
        for compared in list(tree.find_all(nodes.Compare)):
            compared.expr = _called("_weighed", compared.expr)
            for operand in compared.ops:
                operand.expr = _called("_weighed", operand.expr)
        return tree

    def getitem(self, obj: Any, argument: Any) -> Any:
        """See Jinja's; what is found is charged."""
        return _weighed(super().getitem(obj, argument))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """See Jinja's; what would be too large is refused before it is made."""
        if operator == "%" and isinstance(left, str):
            raise ValueError("a text is not formatted with %")
        if _size_of(operator, left, right) > MOST_CHARS:
            raise ValueError("a sum, product or power is too large")
        return _weighed(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *given: Any, **named: Any) -> Any:  # noqa: N805  Jinja's own names
        """See Jinja's; of methods only those that make nothing large can be called."""
        method = getattr(__obj, "__name__", "")
        if not isinstance(__obj, Macro) and hasattr(__obj, "__self__") and __obj.__self__ is not None and method not in _METHODS:
            raise ValueError(f"a template calls no {method or 'such'}()")
        _charge(_CALL)
        _weighed(getattr(__obj, "__self__", None))
        return _weighed(super().call(__context, __obj, *given, **named))

    @staticmethod
    def joined(parts: tuple[Any, ...]) -> str:
        """Return the parts as one text."""
        texts = [str(_weighed(part)) for part in parts]
        return str(_weighed("".join(texts)))


def _check(tree: nodes.Template) -> None:
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise TemplateSyntaxError("a loop cannot be recursive here", loop.lineno)
    for other in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        raise TemplateSyntaxError("a prompt names no other template", other.lineno)
    for name in tree.find_all(nodes.Name):
        if name.name in ("_counted", "_weighed"):
            raise TemplateSyntaxError(f"{name.name!r} is no name of a prompt", name.lineno)


def _called(name: str, *given: Any) -> nodes.Call:
    at = given[0].lineno
    call = nodes.Call(nodes.Name(name, "load", lineno=at), list(given), [], None, None, lineno=at)
    call.set_environment(given[0].environment)
    return call


def _size_of(operator: str, left: Any, right: Any) -> int:
    """Return how large the result can be: bits of a number, items of a text or list."""
    if isinstance(left, int) and isinstance(right, int):
        return left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
    if operator == "+":
        return _size(left) + _size(right)
    if isinstance(left, int) and hasattr(right, "__len__"):
        left, right = right, left
    return len(left) * abs(right) if isinstance(right, int) and hasattr(left, "__len__") else 0
