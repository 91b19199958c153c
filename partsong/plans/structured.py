"""Structured output: an answer to a task with a JSON Schema is parsed and validated; one repair is asked, then it is a failure."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from pydantic import JsonValue

from partsong.contracts import Answer, Failure, FailureCode, Message, Reply, Task, TextPart

if TYPE_CHECKING:
    from jsonschema.protocols import Validator  # imported where a schema is met, not before: it takes 60 ms

__all__ = ["InvalidAnswerError", "parsed", "repair", "schema_problem", "validated"]

_SHOWN_CHARS = 300
"""How much of an error the model is shown: small models lose the thread in more."""


class InvalidAnswerError(ValueError):
    """The text is not JSON that satisfies the schema; the message says what is wrong, for a model and a person."""


def parsed(text: str, schema: Mapping[str, JsonValue]) -> JsonValue:
    """Return the JSON value that the text holds; raises InvalidAnswerError.

    A code fence around it is forgiven, and of a choice among words, quotes that are missing.
    """
    value = text.strip() if _is_choice(text.strip(), schema) else _value(text)
    if problem := _problem(value, json.dumps(schema)):
        raise InvalidAnswerError(problem[:_SHOWN_CHARS])
    return value


def schema_problem(schema: Mapping[str, JsonValue]) -> str | None:
    """Return what is wrong with the JSON Schema itself; None when it is one."""
    return _schema_problem(json.dumps(schema))


async def validated(reply: Reply, task: Task, ask_again: Callable[[Task], Awaitable[Reply]]) -> Reply:
    """Return the answer with its `value`, after at most one repair; else a failure INVALID_ANSWER.

    Call it once for every model call whose task has an `answer_schema`. `ask_again` asks the same model with the task of the repair. An
    answer that calls tools is no answer yet and passes through, as do failures and tasks without a schema.
    """
    if task.answer_schema is None or isinstance(reply, Failure) or reply.tool_calls:
        return reply
    if problem := schema_problem(task.answer_schema):
        return Failure(code=FailureCode.BAD_ROW, message=f"answer_schema is {problem}", where=reply.source)
    first = _with_value(reply, task.answer_schema)
    if isinstance(first, Answer):
        return first
    again = await ask_again(repair(task, reply.text, str(first)))
    if isinstance(again, Failure) or again.tool_calls:
        return again
    second = _with_value(again, task.answer_schema)
    return second if isinstance(second, Answer) else _invalid(again.source, second)


def _with_value(answer: Answer, schema: Mapping[str, JsonValue]) -> Answer | InvalidAnswerError:
    try:
        return answer.model_copy(update={"value": parsed(answer.text, schema)})
    except InvalidAnswerError as error:
        cut = answer.finish_reason == "length"
        return InvalidAnswerError(f"it was cut off at the limit of tokens, be shorter ({error})") if cut else error


def repair(task: Task, wrong: str, problem: str) -> Task:
    """Return the task of a repair: the conversation so far, the answer that was wrong, and what was wrong with it."""
    told = f"That answer is not valid: {problem}. Answer again with corrected JSON only, no other words."
    turns = (_message("assistant", wrong), _message("user", told))
    return task.model_copy(update={"messages": (*task.messages, *turns)})


def _message(role: str, text: str) -> Message:
    return Message.model_validate({"role": role, "parts": (TextPart(text=text),)})


def _invalid(source: str, problem: InvalidAnswerError) -> Failure:
    return Failure(
        code=FailureCode.INVALID_ANSWER,
        message=f"the answer does not satisfy the task's JSON Schema, also after one repair: {problem}",
        where=source,
        sent="yes",
    )


def _is_choice(word: str, schema: Mapping[str, JsonValue]) -> bool:
    choices = schema.get("enum")
    return isinstance(choices, list) and word in choices


def _value(text: str) -> JsonValue:
    inner = text.strip()
    if inner.startswith("```"):
        inner = inner.removeprefix("```").removesuffix("```").strip().removeprefix("json").strip()
    try:
        value: JsonValue = json.loads(inner, parse_constant=_no_constant)
    except RecursionError:
        raise InvalidAnswerError("the JSON is nested too deeply") from None
    except ValueError as error:
        raise InvalidAnswerError(f"it is not JSON: {error}"[:_SHOWN_CHARS]) from None
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _problem(value: JsonValue, schema_json: str) -> str | None:
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    try:
        wrong = best_match(_validator(schema_json).iter_errors(value))
    except (Unresolvable, RecursionError, re.error) as error:
        return f"the JSON Schema cannot be applied: {type(error).__name__}: {error}"
    return None if wrong is None else f"at {wrong.json_path}: {wrong.message}"


@lru_cache(maxsize=256)
def _schema_problem(schema_json: str) -> str | None:
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    schema = json.loads(schema_json)
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        return f"no valid JSON Schema: at {error.json_path}: {error.message}"[:_SHOWN_CHARS]
    return None


@lru_cache(maxsize=256)
def _validator(schema_json: str) -> "Validator":
    from jsonschema.validators import validator_for
    from referencing import Registry

    schema = json.loads(schema_json)
    return validator_for(schema)(schema, registry=Registry())  # an empty registry: nothing is ever fetched
