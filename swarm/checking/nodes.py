"""Judge a node's spec and the swarm's own settings."""

import math
from collections.abc import Iterator
from urllib.parse import urlsplit

from swarm.checking.basics import Problem, duration, labels
from swarm.checking.networks import pools
from swarm.errors import Invalid
from swarm.specs import ClusterSpec, NodeSpec
from swarm.wishes import parse_taint, print_taint

SHORTEST_CERTIFICATE_S = 3600.0
SHORTEST_HEARTBEAT_S = 0.1
LONGEST_HEARTBEAT_S = 60.0


def check_node(spec: NodeSpec) -> tuple[str, ...]:
    """Every problem of a node's spec as `path: what is wrong`."""
    return tuple(f"{path}: {text}" for path, text in _node(spec))


def check_cluster(spec: ClusterSpec) -> tuple[str, ...]:
    """Every problem of the swarm's settings as `path: what is wrong`."""
    return tuple(f"{path}: {text}" for path, text in _cluster(spec))


def _node(spec: NodeSpec) -> Iterator[Problem]:
    yield from labels("labels", spec.labels)
    yield from duration("drain_timeout_s", spec.drain_timeout_s)
    seen: dict[tuple[str, int], int] = {}
    for index, taint in enumerate(spec.taints):
        try:
            is_same = parse_taint(print_taint(taint)) == taint
        except Invalid as err:
            yield f"taints[{index}]", err.message
            continue
        key = (taint.key, int(taint.effect))
        if not is_same:
            yield f"taints[{index}]", f"{print_taint(taint)!r} cannot be read back"
        elif key in seen:
            yield f"taints[{index}]", f"{taint.key} has that effect already by taints[{seen[key]}]"
        seen.setdefault(key, index)


def _cluster(spec: ClusterSpec) -> Iterator[Problem]:
    if not math.isfinite(spec.cert_expiry_s) or spec.cert_expiry_s < SHORTEST_CERTIFICATE_S:
        yield "cert_expiry_s", f"{spec.cert_expiry_s:g} s is less than an hour"
    if not SHORTEST_HEARTBEAT_S <= spec.heartbeat_s <= LONGEST_HEARTBEAT_S:
        yield (
            "heartbeat_s",
            f"{spec.heartbeat_s:g} s is not in {SHORTEST_HEARTBEAT_S:g}..{LONGEST_HEARTBEAT_S:g} s",
        )
    if spec.task_history_limit < 0:
        yield "task_history_limit", f"{spec.task_history_limit} must not be negative"
    if spec.prometheus_url and not _is_url(spec.prometheus_url):
        yield "prometheus_url", f"{spec.prometheus_url!r} is not like http://prometheus:9090"
    yield from pools(spec)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
