"""Sources: where the numbers come from: the nodes' own metrics endpoints, or a Prometheus that scrapes them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import httpx

from partsong.errors import EngineError
from partsong_cluster.dashboard import Dashboard
from partsong_cluster.top.sample import OF_INTEREST, Sample, samples_of

__all__ = ["Endpoints", "PrometheusServer", "Reading", "Source", "endpoints_of"]

_TIMEOUT_S = 5.0
_AT_ONCE = 32
_FROM_AFAR = (
    "they listen on the nodes' own addresses: run it on the head (ssh HEAD partsong top), give those that can be reached with --endpoint, "
    "or a Prometheus with --prometheus"
)


class Reading(NamedTuple):
    """What was read at one time."""

    samples: tuple[Sample, ...]
    unreachable: tuple[str, ...] = ()
    """Endpoints that did not answer."""


class Source(Protocol):
    """Blocking."""

    def read(self) -> Reading:
        """Return all series as they stand. Raises EngineError when nothing answers."""
        ...


class Endpoints:
    """The nodes' own: `host:port` each, or URLs."""

    def __init__(self, endpoints: Sequence[str], timeout_s: float = _TIMEOUT_S) -> None:
        self._urls = [one if "://" in one else f"http://{one}/metrics" for one in endpoints]
        self._timeout_s = timeout_s

    def read(self) -> Reading:
        """See Source.read."""
        with ThreadPoolExecutor(min(_AT_ONCE, len(self._urls) or 1)) as pool:
            pages = list(pool.map(self._page, self._urls))
        unreachable = tuple(url for url, page in zip(self._urls, pages, strict=True) if page is None)
        if len(unreachable) == len(self._urls):
            what = f"none of {len(self._urls)} metrics endpoints answers ({', '.join(self._urls[:3])})"
            raise EngineError("ray-unreachable", what, remedy=_FROM_AFAR)
        return Reading(tuple(sample for page in pages if page is not None for sample in samples_of(page)), unreachable)

    def _page(self, url: str) -> str | None:
        try:
            answer = httpx.get(url, timeout=self._timeout_s)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None
        return answer.text if answer.status_code == httpx.codes.OK else None


class PrometheusServer:
    """One that scrapes the nodes: what it holds may be as old as its scrape interval."""

    def __init__(self, url: str, timeout_s: float = _TIMEOUT_S) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s

    def read(self) -> Reading:
        """See Source.read."""
        query = '{__name__=~"' + "|".join(f"{beginning}.*" for beginning in OF_INTEREST) + '"}'
        try:
            answer = httpx.get(f"{self._url}/api/v1/query", params={"query": query}, timeout=self._timeout_s)
            answer.raise_for_status()
            found = answer.json()["data"]["result"]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as error:
            what = f"no Prometheus answers at {self._url} ({type(error).__name__})"
            raise EngineError("prometheus-unreachable", what, remedy="give its address: http://HOST:9090") from error
        return Reading(tuple(_sample(series["metric"], series["value"][1]) for series in found))


def _sample(labels: dict[str, str], value: str) -> Sample:
    name = labels.pop("__name__", "")
    return Sample(name, frozenset((key, text) for key, text in labels.items() if text), float(value))


def endpoints_of(dashboard: Dashboard) -> Sequence[str]:
    """Return the metrics endpoints that Ray's head knows: of all nodes that are up, and its own."""
    return [target for group in dashboard.get("/api/prometheus/sd") for target in group["targets"]]
