"""The metrics' page: what every process counts, and what spans are called and tell."""

import ast
import inspect
from collections.abc import Iterator
from textwrap import dedent
from types import FunctionType

from partsong.telemetry import attributes, metrics
from partsong.telemetry.attributes import SEMANTIC_CONVENTIONS
from partsong.telemetry.counts import COUNTS
from partsong.telemetry.exported import EVERYWHERE, EXPORTED
from partsong.telemetry.levels import LEVELS
from partsong.telemetry.metrics import METRICS

__all__ = ["page"]

_METRICS = """# Metrics and spans

Names follow OpenTelemetry's GenAI semantic conventions, version {version}; what they have no name for begins with `partsong.`. How to
switch them on: [tracing](../tracing.md).

## Metrics

| name | unit | meaning |
| --- | --- | --- |"""

_SERVED = """
## On a cluster

Served by the metrics endpoint of every Ray node, whatever the mesh file says of telemetry ([operating](../operating.md)). Besides its own,
each has the labels {everywhere}; Ray adds `NodeAddress` and `WorkerId`, its name of the process. A level that is not told any more is gone
after 20 s.

| name | labels | meaning |
| --- | --- | --- |"""

_SPANS = """
## Spans

One trace a row.

| span | of | meaning |
| --- | --- | --- |
| `submit` | driver | A row handed to a coordinator; Ray engine only. |
| `row` | coordinator | Everything until its record is durable. |
| `shadow` | coordinator | The same of a row's shadow, in a trace of its own. |
| `plan NAME` | coordinator | A plan of the mesh file at work. |
| `merge RULE` | coordinator | Candidates becoming one answer, the judge's or writer's calls beneath. |
| `synthesize` | synthesizer | The merge itself; Ray engine only. |
| `call MODEL` | coordinator | A model call as the plan sees it: waiting for a permit, attempts, waits between them, fallbacks. |
| `chat MODEL` | worker | One attempt at the provider. Kind `client`. |
| `journal` | coordinator | Waiting until all records of the row are durable. |
| `append` | journal | The transaction that had the row's record, with those of rows beside it; Ray engine only. |

Each says of its process: `service.name` (the part), `service.instance.id`, `host.name`, over Ray `partsong.node.id`, Ray's id of the node.
Over Ray a row's trace id begins with its run.

## Attributes
"""

_TELLING = ("call_attributes", "reply_attributes", "settled_attributes", "failure_attributes")
"""The functions of `telemetry/attributes.py` that name attributes."""


def page() -> str:
    """Return the page."""
    lines = [f"| `{one.name}` | {one.unit.strip('{}')} | {one.description} |" for one in (*METRICS, *COUNTS, *LEVELS)]
    everywhere = " and ".join(f"`{label}`" for label in EVERYWHERE)
    served = [f"| `{one.served}` | {', '.join(one.labels)} | {one.description} |" for one in EXPORTED]
    head = _METRICS.format(version=SEMANTIC_CONVENTIONS)
    return "\n".join([head, *lines, _SERVED.format(everywhere=everywhere), *served, _SPANS, *_attributes()])


def _attributes() -> Iterator[str]:
    for name in _TELLING:
        told: FunctionType = getattr(attributes, name)
        yield f"{(told.__doc__ or '').strip().removeprefix('Return ').capitalize()}\n"
        yield "".join(f"- `{key}`\n" for key in _keys(told))
    yield "On metrics:\n"
    yield "".join(f"- `{key}`\n" for key in _keys(metrics.Metrics))


def _keys(told: object) -> list[str]:
    """Return the attribute names in the source, in their order: texts with a dot, as keys of mappings."""
    tree = ast.parse(dedent(inspect.getsource(told)))  # type: ignore[arg-type]
    keys = [key for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys if isinstance(key, ast.Constant)]
    return list(dict.fromkeys(str(key.value) for key in keys if "." in str(key.value)))
