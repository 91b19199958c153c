"""Prompts: sandboxed Jinja templates of the mesh file, read and compiled when the file is checked."""

from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, TemplateSyntaxError
from jinja2.meta import find_undeclared_variables
from pydantic import AfterValidator, GetJsonSchemaHandler, ValidationInfo, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from partsong.contracts import Failure, FailureCode, Frozen
from partsong.sandbox import MOST_CHARS, Sandbox, budgeted

__all__ = ["PROMPT_LIMIT_CHARS", "PromptTemplate", "sees"]

PROMPT_LIMIT_CHARS = MOST_CHARS
"""A rendered prompt longer than this is a failure, not a request."""

_FILE_ENDINGS = (".j2", ".jinja", ".txt", ".md")


class PromptTemplate(Frozen):
    """A prompt: `name.j2` (also .jinja, .txt, .md) is a file beside the mesh file, any other text is the template itself.

    A text with a line end or `{{` is never a file's name; `{text: "..."}` never names one either. The sandbox lets templates read
    what they are given and nothing else; a name they do not get is an error.
    """

    text: str
    """The template."""
    file: str = ""
    """Where it was read from; empty when it stands in the mesh file itself."""

    @classmethod
    def of(cls, text: str) -> "PromptTemplate":
        """Return the prompt of a template's text."""
        return cls(text=text)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            return value
        if not _names_a_file(value):
            return {"text": value}
        read_prompt = (info.context or {}).get("read_prompt")
        if read_prompt is None:
            raise ValueError(f"{value}: prompt files can be read only while a mesh file is loaded; give the text itself")
        try:
            return {"text": read_prompt(value), "file": value}
        except OSError as error:
            raise ValueError(f"{value}: cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{value}: is not UTF-8 text") from error

    @model_validator(mode="after")
    def _compiles(self) -> "PromptTemplate":
        try:
            _compiled(self.text)
        except TemplateSyntaxError as error:
            raise ValueError(f"{self.file or 'template'} line {error.lineno}: {error.message}") from error
        except (RecursionError, MemoryError, OverflowError, SyntaxError) as error:
            raise ValueError(f"{self.file or 'template'}: cannot be compiled: {type(error).__name__}") from error
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(schema)]}

    def render(self, **values: object) -> str | Failure:
        """Return the prompt with the values filled in; a failure when a value is missing or the prompt grows past all bounds."""
        pieces: list[str] = []
        left = PROMPT_LIMIT_CHARS
        try:
            with budgeted():
                for piece in _compiled(self.text).generate(**values):
                    pieces.append(piece)
                    left -= len(piece)
                    if left < 0:
                        return self._failure(FailureCode.TOO_LARGE, f"grew past {PROMPT_LIMIT_CHARS:,} characters")
        except _RENDER_ERRORS as error:
            return self._failure(FailureCode.BAD_ROW, f"{type(error).__name__}: {error}")
        return "".join(pieces)

    def _failure(self, code: FailureCode, what: str) -> Failure:
        return Failure(code=code, message=f"prompt {self.file or repr(self.text[:40])} cannot be filled in: {what}", where=self.file)


def sees(*names: str) -> AfterValidator:
    """Return a check that a prompt uses no names but these: `Annotated[PromptTemplate, sees("task", "answer")]`."""

    def check(prompt: PromptTemplate) -> PromptTemplate:
        for unknown in sorted(find_undeclared_variables(_sandbox().parse(prompt.text)) - {*names, *_sandbox().globals}):
            near = get_close_matches(unknown, names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"{prompt.file or 'template'} uses {unknown!r}, which it does not get; {hint}it sees {', '.join(names)}")
        return prompt

    return AfterValidator(check)


_RENDER_ERRORS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError, MemoryError)


def _names_a_file(value: str) -> bool:
    return value.endswith(_FILE_ENDINGS) and not any(mark in value for mark in ("\n", "{{", "{%"))


@lru_cache(maxsize=1)
def _sandbox() -> Sandbox:
    return Sandbox()


@lru_cache(maxsize=1024)
def _compiled(text: str) -> Template:
    return _sandbox().from_string(text)
