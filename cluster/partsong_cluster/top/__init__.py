"""What `partsong top` shows, out of the metrics that Prometheus scrapes."""

from partsong_cluster.top.sources import Endpoints, PrometheusServer, Source, endpoints_of
from partsong_cluster.top.view import View, Watch

__all__ = ["Endpoints", "PrometheusServer", "Source", "View", "Watch", "endpoints_of"]
