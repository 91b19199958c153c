"""What `partsong top` makes of metrics pages: sums over processes, rates over half a minute, and what nobody tells is left open."""

from partsong_cluster.top import View, Watch
from partsong_cluster.top.drawn import drawn
from partsong_cluster.top.sample import Sample, samples_of
from partsong_cluster.top.sources import Reading
from rich.console import Console

RAY = 'Component="core_worker",NodeAddress="{node}",WorkerId="{worker}",otel_scope_version="",system="night"'

PAGE = """\
# HELP ray_partsong_calls_total Attempts at a model
# TYPE ray_partsong_calls_total counter
ray_partsong_calls_total{a,actor="worker",model="mini",outcome="ok"} OK
ray_partsong_calls_total{a,actor="worker",model="mini",outcome="timeout"} TIMEOUT
ray_partsong_cost_usd_total{a,actor="worker",model="mini"} COST
ray_partsong_steps_total{b,actor="coordinator",kind="row",outcome="ok"} OK
ray_partsong_steps_total{b,actor="coordinator",kind="plan panel",outcome="ok"} 100000
ray_partsong_calls_in_flight{b,actor="coordinator",model="mini"} 3.0
ray_partsong_calls_in_flight{c,actor="coordinator",model="mini"} 4.0
ray_partsong_breaker{b,actor="coordinator",model="mini"} 0.0
ray_partsong_breaker{c,actor="coordinator",model="mini"} 2.0
ray_partsong_workers{d,actor="pools",model="mini",state="ready"} 2.0
ray_partsong_workers{d,actor="pools",model="mini",state="starting"} 1.0
ray_partsong_limit_used{d,actor="pools",limit="usd_per_day 5 of mini"} 0.25
ray_partsong_limit_used{d,actor="pools",limit="requests_per_minute 60 of mini"} 0.95
ray_partsong_tenure{c,actor="coordinator",of="coordinator-1"} 0.0
ray_partsong_job_rows{e,actor="job",job="j1",state="answered"} 40.0
ray_partsong_job_rows{e,actor="job",job="j1",state="failed"} 2.0
ray_partsong_job_share{e,actor="job",job="j1"} 0.42
ray_node_cpu_utilization{ip="10.0.0.1",IsHeadNode="true"} 37.0
ray_node_mem_used{ip="10.0.0.1"} 3e9
ray_node_mem_total{ip="10.0.0.1"} 4e9
ray_node_network_sent{ip="10.0.0.1"} 1.0
ray_tasks{State="RUNNING"} 5.0
"""


def page(ok: int, timeout: int = 0, cost: float = 0.0) -> Reading:
    text = PAGE.replace("OK", str(ok)).replace("TIMEOUT", str(timeout)).replace("COST", str(cost))
    for letter, node in {"a": "10.0.0.1", "b": "10.0.0.1", "c": "10.0.0.2", "d": "10.0.0.1", "e": "10.0.0.1"}.items():
        text = text.replace("{" + letter + ",", "{" + RAY.format(node=node, worker=letter) + ",")
    return Reading(tuple(samples_of(text)))


def test_only_what_is_of_interest_is_read():
    names = {sample.name for sample in page(1).samples}
    assert "ray_tasks" not in names
    assert "ray_node_network_sent" not in names
    assert "ray_node_mem_used" in names


def test_labels_are_read_as_prometheus_escapes_them_and_empty_ones_are_not_there():
    [sample] = samples_of('ray_partsong_limit_used{limit="a \\"b\\" \\\\ c\\n,d=",model="",system="s"} 0.5 1700000000')
    assert sample == Sample("ray_partsong_limit_used", frozenset({("limit", 'a "b" \\ c\n,d='), ("system", "s")}), 0.5)


def test_levels_are_added_up_and_the_worst_breaker_counts():
    [model] = Watch().saw(page(100), 0.0).models
    assert (model.system, model.model) == ("night", "mini")
    assert (model.in_flight, model.ready, model.starting, model.draining) == (7, 2, 1, 0)
    assert model.breaker == "open"
    assert (model.limit, model.limit_used) == ("requests_per_minute 60", 0.95)
    assert model.wait_p95_s is None


def test_rates_are_those_of_the_last_half_minute():
    watch = Watch()
    first = watch.saw(page(100), 0.0)
    assert (first.models[0].calls_per_s, first.models[0].failed_share, first.over_s) == (0.0, None, 0.0)
    watch.saw(page(200), 10.0)
    seen = watch.saw(page(270, timeout=30, cost=2.0), 20.0)
    assert seen.models[0].calls_per_s == 10.0
    assert seen.models[0].failed_share == 0.15
    assert seen.models[0].usd_per_min == 6.0
    assert seen.systems[0].rows_per_s == 8.5
    assert watch.saw(page(270, timeout=30, cost=2.0), 60.0).models[0].calls_per_s == 0.0


def test_a_counter_that_begins_anew_does_not_fall():
    watch = Watch()
    watch.saw(page(100), 0.0)
    assert watch.saw(page(5), 10.0).models[0].calls_per_s == 0.0


def test_jobs_nodes_and_actors_that_the_store_does_not_confirm():
    view = Watch().saw(page(100), 0.0)
    [job] = view.jobs
    assert (job.job, job.answered, job.failed, job.share, job.left_s) == ("j1", 40, 2, 0.42, None)
    assert [(node.node, node.processes, node.cpu_percent, node.memory_used) for node in view.nodes] == [
        ("10.0.0.1", 3, 37.0, 0.75),
        ("10.0.0.2", 1, None, None),
    ]
    assert view.systems[0].unconfirmed == ("coordinator-1",)


def test_a_system_that_tells_no_model_or_job_yet_is_starting():
    told = Reading(tuple(samples_of('ray_partsong_rows_under_way{actor="coordinator",system="night"} 0.0\n')))
    assert "starting" in shown(Watch().saw(told, 0.0))
    assert "starting" not in shown(Watch().saw(page(100), 0.0))
    assert "none runs, or one is starting" in shown(Watch().saw(Reading(()), 0.0))


def shown(view: View) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(drawn(view, console.width))
    return capture.get()
