"""Surroundings: environment variables of every Ray process of a cluster, wherever it runs."""

from partsong.contracts.allowed import PYTHON_VARIABLE
from partsong_cluster.deploy.schema import Security

__all__ = ["HEALTH", "python", "tls"]

HEALTH = {
    "RAY_health_check_initial_delay_ms": "5000",
    "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
}
"""A machine that is cut off counts as lost after about 10 s instead of 65; a busy one may pause for less than that."""


def tls(security: Security) -> dict[str, str]:
    """Return what turns TLS between the machines on, if the deploy file does."""
    if not security.tls:
        return {}
    return {
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": f"{security.tls_folder}/tls.crt",
        "RAY_TLS_SERVER_KEY": f"{security.tls_folder}/tls.key",
        "RAY_TLS_CA_CERT": f"{security.tls_folder}/ca.crt",
    }


def python(security: Security) -> dict[str, str]:
    """Return what keeps Python code of meshes off a machine, if the deploy file does: another system's or job's too."""
    return {} if security.python_adapter else {PYTHON_VARIABLE: "off"}
