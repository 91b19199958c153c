"""Sample: one number of one series, as Prometheus's text format writes it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["OF_INTEREST", "Sample", "samples_of"]

OF_INTEREST = ("ray_partsong_", "ray_node_cpu_utilization", "ray_node_mem_", "ray_node_disk_free", "ray_node_disk_usage")
"""Beginnings of the names that are read; a page of Ray's has a hundred others."""

_LINE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)(?: \d+)?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


class Sample(NamedTuple):
    """One of them; a label that is empty is left out, as Prometheus does."""

    name: str
    labels: frozenset[tuple[str, str]]
    value: float

    def of(self, label: str) -> str:
        """Return the label's value, empty when it has none."""
        return next((value for name, value in self.labels if name == label), "")


def samples_of(page: str) -> Iterator[Sample]:
    """Yield what is of interest; a line that is no sample is passed over."""
    for line in page.splitlines():
        if line.startswith(OF_INTEREST) and (found := _LINE.fullmatch(line)):
            name, labels, value = found.groups()
            yield Sample(name, frozenset(_labels(labels or "")), float(value))


def _labels(written: str) -> Iterator[tuple[str, str]]:
    for name, value in _LABEL.findall(written):
        if value:
            yield name, _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], value)
