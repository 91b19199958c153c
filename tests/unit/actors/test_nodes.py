"""Nodes: whether one could take a worker, has room for it now, and what is told when none has."""

import pytest
from partsong_actors.nodes import Node, fits, no_node_comes, room, waits_for_a_node

from partsong.contracts import Resources


def node(cpu: float = 4.0, *, free: float | None = None, labels: dict[str, str] | None = None, **custom: float) -> Node:
    amounts = {"CPU": cpu, "memory": 8e9, **custom}
    return Node("id", amounts, labels or {}, amounts if free is None else {**amounts, "CPU": free})


@pytest.mark.parametrize(
    ("need", "there"),
    [
        (Resources(), "now"),
        (Resources(cpu=4), "now"),
        (Resources(cpu=5), "never"),
        (Resources(gpu=1), "never"),
        (Resources(memory=9_000_000_000), "never"),
        (Resources(custom={"tpu": 1}), "never"),
    ],
)
def test_a_node_takes_what_it_has(need, there):
    assert room(need, [node()]) == there


def test_a_node_that_is_full_could_take_it():
    assert room(Resources(cpu=2), [node(free=1.0)]) == "full"


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        ("a", True),
        ("b", False),
        ("!a", False),
        ("!b", True),
        ("in(a, b)", True),
        ("in(b,c)", False),
        ("!in(b, c)", True),
        ("!in(a)", False),
    ],
)
def test_labels_are_selected_as_ray_does(wanted, takes):
    assert fits(Resources(labels={"zone": wanted}), node(labels={"zone": "a"})) is takes


def test_what_no_node_has_is_told_with_what_nodes_have():
    notice = waits_for_a_node("big", Resources(gpu=1), [node(), node(8)])
    assert str(notice).startswith(
        "big: a worker waits for a node with gpu 1: none has it; nodes have cpu 4, gpu 0; cpu 8, gpu 0; it starts when"
    )


def test_labels_that_no_node_has_are_told():
    notice = waits_for_a_node("big", Resources(labels={"zone": "b"}), [node(labels={"zone": "a", "ray.io/node-id": "x"})])
    assert notice.what == "a worker waits for a node with zone=b: none has it; nodes have cpu 4, zone=a"


def test_full_nodes_are_told_as_such():
    assert "are full" in waits_for_a_node("big", Resources(cpu=2), [node(free=1.0)]).what


def test_that_no_node_comes_names_model_resource_what_there_is_and_what_to_do():
    error = no_node_comes("big", Resources(gpu=1, custom={"tpu": 4}), [node(tpu=1)])
    assert str(error) == (
        "no-node: no worker of big can start: it needs a node with gpu 1, tpu 4: none has it; nodes have cpu 4, gpu 0, tpu 1\n"
        "  add a node that has it, or ask for less: `models.big.resources`"
    )
