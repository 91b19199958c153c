"""Python: trust by a function of the user's."""

import importlib
import inspect
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from partsong.contracts import Answer, Task
from partsong.errors import MeshError
from partsong.plans.trust.rule import Asked, Threshold, TrustRule, Verdict, at_least, passed, unmeasured

__all__ = ["Python"]


class Python(TrustRule):
    """Trust by a Python function of yours: `def trusts(task: Task, answer: Answer) -> bool | float`, plain or async.

    A number is the confidence, held against the threshold; a function that raises trusts nothing. It runs on the coordinator's event loop:
    keep it quick. `import_function` in the validation context finds it beside the mesh file; without, it is imported on first use.
    """

    kind: ClassVar[str] = "python"
    bare: ClassVar[str] = "function"

    function: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]
    """Import path: `package.module:function`."""
    threshold: Threshold = 0.5
    """Confidence from which on the answer is trusted, when the function returns a number."""
    _found: Callable[[Task, Answer], Any] | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _imported(self, info: ValidationInfo) -> "Python":
        import_function = (info.context or {}).get("import_function")
        if import_function is not None:
            self._found = import_function(self.function)
        return self

    def __getstate__(self) -> dict[Any, Any]:
        return {**super().__getstate__(), "__pydantic_private__": {"_found": None}}

    async def judge(self, asked: Asked) -> Verdict:
        """See TrustRule.judge."""
        trusts = self._found or _function(self.function)
        try:
            said = trusts(asked.task, asked.answer)
            said = await said if inspect.isawaitable(said) else said
        except Exception as error:  # noqa: BLE001  a user's function: whatever it raises, the answer is not trusted
            return unmeasured(f"{self.function} raised {type(error).__name__}")
        if isinstance(said, bool):
            return passed(said, f"{self.function} says {'yes' if said else 'no'}")
        if not isinstance(said, int | float) or not 0.0 <= said <= 1.0:
            return unmeasured(f"{self.function} returned {type(said).__name__}, not a bool or a number in [0, 1]")
        return at_least(self.function, float(said), self.threshold)


def _function(path: str) -> Callable[[Task, Answer], Any]:
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise MeshError("cannot-import", f"{path}: {error}", remedy="name a function as package.module:function") from error
    return found  # type: ignore[no-any-return]
