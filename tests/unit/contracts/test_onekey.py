"""How pieces named by their one key are read, refused, written and described."""

from typing import Annotated, ClassVar

import jsonschema
import pytest
from pydantic import ValidationError, field_validator

from partsong.contracts import Frozen
from partsong.contracts.onekey import OneKey


class Shape(Frozen):
    kind: ClassVar[str]


class Circle(Shape):
    kind: ClassVar[str] = "circle"
    bare: ClassVar[str] = "radius"

    radius: float

    @field_validator("radius")
    @classmethod
    def _positive(cls, radius):
        if radius < 0:
            raise ValueError("{a circle} cannot be inside out")
        return radius


class Square(Shape):
    kind: ClassVar[str] = "square"

    side: int = 1


class Page(Frozen):
    shape: Annotated[Shape, OneKey("shape", {"circle": Circle, "square": Square})]


def read(shape):
    return Page.model_validate({"shape": shape}).shape


def refusal(shape):
    with pytest.raises(ValidationError) as caught:
        read(shape)
    return [(".".join(map(str, line["loc"])), line["msg"]) for line in caught.value.errors()]


@pytest.mark.parametrize("shape", ["square", {"square": {}}, {"square": None}, {"square": {"side": 1}}, Square()])
def test_a_kind_is_written_by_name_alone_or_with_its_fields(shape):
    assert read(shape) == Square(side=1)


@pytest.mark.parametrize("shape", [{"circle": 2}, {"circle": {"radius": 2}}])
def test_a_kinds_one_field_may_stand_in_place_of_a_mapping(shape):
    assert read(shape) == Circle(radius=2)


@pytest.mark.parametrize(
    ("shape", "place", "words"),
    [
        ({"circel": 2}, "shape", "no kind of shape is called 'circel'; did you mean 'circle'?"),
        ("blob", "shape", "no kind of shape is called 'blob'; one of: circle, square"),
        ({"circle": 2, "square": {}}, "shape", "one key that names its kind, one of: circle, square; here: 2 keys (circle, square)"),
        (4, "shape", "here: int"),
        ({"circle": "wide"}, "shape.circle", "valid number"),
        ({"circle": {"radius": "wide"}}, "shape.circle.radius", "valid number"),
        ({"circle": -1}, "shape.circle", "Value error, {a circle} cannot be inside out"),
        ({"square": {"sides": 1}}, "shape.square.sides", "Extra inputs are not permitted"),
        ("circle", "shape.circle.radius", "Field required"),
    ],
)
def test_an_error_stands_where_the_file_has_it(shape, place, words):
    ((where, what),) = refusal(shape)
    assert where == place
    assert words in what


@pytest.mark.parametrize("shape", [Square(side=3), Circle(radius=0.5)])
def test_what_is_written_reads_back(shape):
    page = Page(shape=shape)
    assert Page.model_validate_json(page.model_dump_json()) == page
    assert page.model_dump()["shape"] == {shape.kind: shape.model_dump()}


@pytest.mark.parametrize(
    ("shape", "good"),
    [("square", True), ({"circle": 2}, True), ({"circle": {"radius": 2}}, True), ("circle", False), ({"blob": {}}, False), ({}, False)],
)
def test_the_json_schema_says_the_same_to_an_editor(shape, good):
    validator = jsonschema.Draft202012Validator(Page.model_json_schema())
    assert validator.is_valid({"shape": shape}) is good
