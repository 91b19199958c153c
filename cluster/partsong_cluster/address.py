"""Address: which cluster a command means, and by which of its doors: Ray itself, which is joined, or the HTTP API of Ray's dashboard."""

from partsong.contracts.credentials import credential_in
from partsong.errors import InputError

__all__ = ["DASHBOARD", "dashboard_url", "is_dashboard", "joinable"]

DASHBOARD = "http://127.0.0.1:8265"
"""Where Ray's head has it, seen from itself or through a forwarded port."""

_BY_NAME = frozenset({"auto", "local"})
"""Ray's own words for a cluster of this machine."""


def is_dashboard(address: str) -> bool:
    """Return whether it is an address of the dashboard, which no process can join."""
    return address.startswith(("http://", "https://"))


def dashboard_url(address: str) -> str:
    """Return the URL without a slash at its end; InputError when it is none, or holds a credential."""
    if not is_dashboard(address):
        raise InputError("bad-address", f"{address!r} is no address of a job API", remedy=f"write it as {DASHBOARD}: Ray's dashboard")
    if found := credential_in(address):
        remedy = "take it out and change it: the token is in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token"
        raise InputError("literal-secret", f"the address of the job API holds {found}", remedy=remedy)
    return address.rstrip("/")


def joinable(address: str) -> str:
    """Return the address of a Ray that can be joined; InputError when it is the dashboard's, or none at all."""
    if is_dashboard(address):
        what = f"{address} is the address of the job API; this command joins the cluster itself"
        raise InputError("not-joinable", what, remedy="run it on a machine of the cluster with `--address auto`")
    if address not in _BY_NAME and ":" not in address:
        raise InputError(
            "bad-address", f"{address!r} is no address of a cluster", remedy="write it as HOST:6379, or auto for this machine's"
        )
    return address
