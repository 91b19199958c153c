"""The ground of every contract: frozen, strict about unknown fields, documented under each field."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Frozen", "Name", "Probability", "Seconds", "Usd"]


class Frozen(BaseModel):
    """An immutable value; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]
"""What a mesh file calls a model or a plan: a letter, then letters, digits, `_`, `.`, `-`; at most 64 characters."""

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(ge=0.0)]
Usd = Annotated[float, Field(ge=0.0)]
