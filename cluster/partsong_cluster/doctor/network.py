"""Network: what listens where, who is let in, and whether what travels is encrypted."""

from collections.abc import Iterator, Sequence

from partsong.errors import EngineError
from partsong_cluster.doctor.finding import Finding, fail, ok, warn
from partsong_cluster.doctor.patient import Patient
from partsong_cluster.ray_token import WHERE_IT_GOES

__all__ = ["auth", "listeners", "tls"]

_ALL = frozenset({"0.0.0.0", "::"})  # noqa: S104  what is looked for
_LOOPBACK = ("127.", "::1", "::ffff:127.")
_OPEN_TO_ALL = "metrics"
"""What Ray serves without asking for the token, whatever its mode."""
_REFUSED = frozenset({401, 403})
_SOON_DAYS = 14.0
_WITH_TOKEN = "start Ray everywhere with RAY_AUTH_MODE=token and the same token"  # noqa: S105  words


def listeners(patient: Patient) -> Iterator[Finding]:
    """Which of Ray's ports can be reached from outside?"""
    token = _asks_for_token(patient)
    for node in patient.nodes:
        if node.facts is None:
            continue
        open_, private, local = _by_reach({port: node.facts.listens.get(port, ()) for port in node.ports})
        if open_:
            named = ", ".join(f"{port} ({node.ports[port]})" for port in open_)
            firewall = (
                "let only the cluster's own machines, and Prometheus, reach these ports: a firewall, security group or network policy"
            )
            unasked = [port for port in open_ if _OPEN_TO_ALL in node.ports[port]]
            if token:
                why = f"; {', '.join(map(str, unasked))} without a token" if unasked else ""
                yield warn(node.where, f"on all addresses: {named}{why}", firewall)
            else:
                yield fail(node.where, f"on all addresses, and no token is asked for: {named}", f"{_WITH_TOKEN}; {firewall}")
        rest = [f"{len(private)} on a private address" if private else "", f"{len(local)} on this machine alone" if local else ""]
        if any(rest):
            yield ok(node.where, "Ray's ports: " + ", ".join(filter(None, rest)))


def auth(patient: Patient) -> Iterator[Finding]:
    """Does the cluster refuse who has no token?"""
    if patient.dashboard is not None:
        yield from _jobs_api(patient)
    for node in patient.nodes:
        if node.facts is None:
            continue
        if node.facts.auth_mode == "token":
            yield ok(node.where, "RAY_AUTH_MODE is token")
        else:
            mode = node.facts.auth_mode or "not set"
            yield fail(node.where, f"RAY_AUTH_MODE is {mode}: whoever reaches it runs code on it", _WITH_TOKEN)


def tls(patient: Patient) -> Iterator[Finding]:
    """Is what travels between machines encrypted, and for how long is the certificate good?"""
    several = len(patient.nodes) > 1
    wanted = patient.deploy is not None and patient.deploy.deploy.security.tls
    for one in patient.machines if patient.clustered else ():
        if not one.tls:
            remedy = "`security: {tls: on}` in the deploy file, or keep the cluster in a network of its own"
            if wanted:
                yield fail(one.where, "the deploy file says `tls: on`, and Ray here runs without", remedy)
            elif several:
                yield warn(one.where, "Ray's messages, prompts among them, travel in clear", remedy)
            continue
        if one.certificate_days is not None and one.certificate_days < _SOON_DAYS:
            ended = one.certificate_days <= 0
            what = "its certificate has ended" if ended else f"its certificate ends in {one.certificate_days:.0f} days"
            yield (fail if ended else warn)(one.where, what, "put a new one in place and restart Ray on the node")
        else:
            days = "" if one.certificate_days is None else f", certificate good for {one.certificate_days:.0f} days"
            yield ok(one.where, f"TLS is on{days}")


def _jobs_api(patient: Patient) -> Iterator[Finding]:
    assert patient.dashboard is not None
    where = patient.dashboard.url
    try:
        without, with_ = patient.dashboard.status("/api/jobs/", with_token=False), patient.dashboard.status("/api/jobs/")
    except EngineError as error:
        yield fail(where, error.problems[0].what, error.problems[0].remedy)
        return
    if without not in _REFUSED:
        yield fail(where, "/api/jobs/ answers without a token: whoever reaches it runs code on the cluster", _WITH_TOKEN)
    elif with_ in _REFUSED:
        yield fail(where, "/api/jobs/ refuses the token that is here, or there is none", WHERE_IT_GOES)
    else:
        yield ok(where, "/api/jobs/ refuses who has no token")
    if where.startswith("http://") and not any(host in where for host in ("//127.", "//localhost")):
        yield warn(where, "the token travels in clear to the dashboard", "put a TLS proxy in front of it, or reach it through ssh -L")


def _asks_for_token(patient: Patient) -> bool:
    return all(node.facts.auth_mode == "token" for node in patient.nodes if node.facts is not None)


def _by_reach(ports: dict[int, tuple[str, ...]]) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    """Return the ports on all addresses, on another one, and on the loopback alone."""
    open_ = [port for port, addresses in ports.items() if _ALL & set(addresses)]
    local = [port for port, addresses in ports.items() if addresses and all(one.startswith(_LOOPBACK) for one in addresses)]
    return open_, [port for port, addresses in ports.items() if addresses and port not in open_ and port not in local], local
