"""Patterns: regular expressions that are searched in time linear in the text, for texts that strangers write."""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import SchemaError, SchemaValidator, core_schema

__all__ = ["Pattern", "found_by"]


@lru_cache(maxsize=1024)
def found_by(pattern: str) -> Callable[[str], bool]:
    """Return whether the pattern is found in a text, in time linear in its length: Rust's regex, which pydantic brings, never backtracks.

    With Python's `re` a row or an answer could hang its coordinator (`(a+)+$`). The price: look-around and back references are refused.
    """
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")).isinstance_python


def _usable(value: str) -> str:
    try:
        found_by(value)
    except SchemaError as error:
        why = str(error).strip().splitlines()[-1].removeprefix("error: ")  # the lines before it draw the place
        raise ValueError(f"{value!r} is no regular expression that can be used here: {why}") from None
    return value


Pattern = Annotated[str, AfterValidator(_usable)]
"""A field of the mesh file that holds one."""
