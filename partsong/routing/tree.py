"""Tree: a decision tree of conditions that a person can read and edit; its leaves name models and plans."""

from collections.abc import Callable, Iterator
from typing import Any, Optional

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from partsong.contracts import Frozen, Name, Route, Task
from partsong.errors import MeshError
from partsong.routing.rules import Condition

__all__ = ["Tree"]


class Tree(Frozen):
    """A branch, `{if: CONDITION, then: TREE, else: TREE}`, or a leaf, `{use: NAME}` or the name alone."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    condition: Condition | None = Field(default=None, alias="if")
    """What a task must be like to go on at `then`."""
    then: Optional["Tree"] = None
    """Where tasks go on for which it holds."""
    otherwise: Optional["Tree"] = Field(default=None, alias="else")
    """Where the others go on; None leaves them to the gate or the default."""
    use: Name | None = None
    """The model, plan or experiment that answers."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"use": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(schema)]}

    @model_validator(mode="after")
    def _branch_or_leaf(self) -> "Tree":
        is_branch = self.condition is not None and self.then is not None
        if self.use is None and not is_branch:
            raise ValueError("a branch says `if` and `then`, a leaf `use`")
        if self.use is not None and (self.condition or self.then or self.otherwise):
            raise ValueError("a leaf says `use` and nothing else")
        return self

    def decider(self, language_of: Callable[[str], str] | None) -> Callable[[Task], Route | None]:
        """Return it as a decider of the router. MeshError when it asks for the language and nothing can tell languages."""
        if language_of is None and any(branch.condition is not None and branch.condition.language for _, branch in self.walk()):
            what = "the tree asks for the language, and no language detector is installed"
            raise MeshError("no-language-detector", what, remedy="pip install 'partsong[specialists]' brings one (py3langid)")
        return lambda task: self._route(task, language_of or str)

    def walk(self, *path: str) -> Iterator[tuple[tuple[str, ...], "Tree"]]:
        """Yield the tree and every tree in it, each with its place."""
        yield path, self
        for part, inner in (("then", self.then), ("else", self.otherwise)):
            if inner is not None:
                yield from inner.walk(*path, part)

    def _route(self, task: Task, language_of: Callable[[str], str]) -> Route | None:
        """Return where the task goes, its reason being the way through the tree."""
        at: Tree | None = self
        way: list[str] = []
        while at is not None and at.use is None:
            assert at.condition is not None, "it is a branch"
            holds = not at.condition.unmet(task, language_of)
            way.append(str(at.condition) if holds else f"not ({at.condition})")
            at = at.then if holds else at.otherwise
        return None if at is None or at.use is None else Route(use=at.use, reason=f"tree: {', '.join(way) or 'whatever it is'}")
