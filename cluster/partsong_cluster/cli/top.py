"""`partsong top`: a live view of a cluster, from the metrics that Prometheus scrapes."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from partsong.errors import EngineError
from partsong_cluster.address import DASHBOARD
from partsong_cluster.dashboard import Dashboard
from partsong_cluster.ray_token import token_of
from partsong_cluster.terminal import in_json
from partsong_cluster.top import Endpoints, PrometheusServer, Source, View, Watch, endpoints_of
from partsong_cluster.top.drawn import drawn
from partsong_cluster.top.keys import Keys, listened

__all__ = ["TOP_EXAMPLES", "top"]

TOP_EXAMPLES = "Examples:  partsong top  |  partsong top --prometheus http://monitor:9090  |  partsong top --once --json"

_LOOKS_S = 0.1
_READ_COLUMNS = 160
"""Of what a program reads, or a file keeps."""


def top(
    address: Annotated[str | None, typer.Option(help="Ray's dashboard.", metavar="URL", show_default=DASHBOARD)] = None,
    prometheus: Annotated[str | None, typer.Option(help="A Prometheus that scrapes the cluster, instead.", metavar="URL")] = None,
    endpoint: Annotated[list[str] | None, typer.Option(help="A node's metrics endpoint, instead; repeatable.", metavar="HOST:PORT")] = None,
    once: Annotated[bool, typer.Option("--once", help="Print it once; takes an interval, as rates need two readings.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it once, as JSON.")] = False,
    interval_s: Annotated[float, typer.Option("--interval", help="Seconds between readings; Ray renews its own every 10.", min=0.1)] = 5.0,
) -> None:
    """Watch pools, jobs, nodes and the journal of a running cluster; q quits.

    The dashboard says where the nodes' metrics endpoints are; these listen on the nodes' own addresses, so from outside of their network
    give a Prometheus that scrapes them.
    """
    source = _source(address, prometheus, endpoint or [])
    if once or as_json or not sys.stdout.isatty():
        view = _twice(source, interval_s)
        if as_json:
            typer.echo(in_json(view.model_dump_json(indent=2)))
        else:
            console = Console(width=None if sys.stdout.isatty() else _READ_COLUMNS)
            console.print(drawn(view, console.width))
        return
    with listened() as keys:
        _live(source, keys, interval_s)


def _source(address: str | None, prometheus: str | None, endpoints: list[str]) -> Source:
    if sum(map(bool, (address, prometheus, endpoints))) > 1:
        raise typer.BadParameter("give one of --address, --prometheus and --endpoint")
    if prometheus:
        return PrometheusServer(prometheus)
    if endpoints:
        return Endpoints(endpoints)
    url = address or os.environ.get("RAY_API_SERVER_ADDRESS") or DASHBOARD
    return Endpoints(endpoints_of(Dashboard(url, token_of().text)))


def _twice(source: Source, interval_s: float) -> View:
    watch = Watch()
    watch.saw(source.read(), time.monotonic())
    time.sleep(interval_s)
    return watch.saw(source.read(), time.monotonic())


def _live(source: Source, keys: Keys, interval_s: float) -> None:
    watch, console = Watch(), Console()
    with ThreadPoolExecutor(1) as aside, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            reading = aside.submit(source.read)
            while not reading.done():
                if keys.end_within(_LOOKS_S):
                    return
            try:
                shown = drawn(watch.saw(reading.result(), time.monotonic()), console.width, keys=True)
            except EngineError as error:  # it may come back
                shown = Text(f"{error}\n\nq quits; it is asked again", "yellow")
            live.update(shown, refresh=True)
            if keys.end_within(interval_s):
                return
