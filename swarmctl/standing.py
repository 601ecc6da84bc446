"""Show where this host stands: its swarm, its addresses and its processes."""

from swarm.api.v1 import daemon_pb2, specs_pb2
from swarm.quantities import format_elapsed
from swarmctl.pipes import Value
from swarmctl.tables import aligned
from swarmctl.times import rfc3339


def status_detail(status: daemon_pb2.GetStatusResponse) -> dict[str, Value]:
    """What templates and JSON see."""
    return {
        "NodeID": status.node_id,
        "ClusterID": status.cluster_id,
        "Role": _role(status),
        "AdvertiseAddr": status.advertise_addr,
        "MetricsAddr": status.metrics_addr,
        "DataRoot": status.data_root,
        "RunRoot": status.run_root,
        "UsernsRemap": status.userns_remap,
        "DockerSocket": status.docker_socket,
        "DockerAddr": status.docker_addr,
        "Version": status.version,
        "Parts": [
            {
                "Name": part.name,
                "Pid": part.pid,
                "Since": rfc3339(part.since),
                "Restarts": part.restarts,
            }
            for part in status.parts
        ],
    }


def status_text(status: daemon_pb2.GetStatusResponse, *, now: float) -> str:
    """What people see."""
    lines = [
        ("Swarm:", "active" if status.node_id else "inactive"),
        ("Node ID:", status.node_id),
        ("Cluster ID:", status.cluster_id),
        ("Role:", _role(status)),
        ("Address:", status.advertise_addr),
        ("Metrics:", status.metrics_addr and f"http://{status.metrics_addr}/metrics"),
        ("Data root:", status.data_root),
        ("Run root:", status.run_root),
        ("User remap:", status.userns_remap),
        ("Docker API:", status.docker_socket and f"unix://{status.docker_socket}"),
        ("", status.docker_addr and f"tcp://{status.docker_addr}"),
        ("Version:", status.version),
    ]
    text = "".join(f"{name:<13}{value}\n" for name, value in lines if value)
    if not status.parts:
        return text
    rows = [
        (part.name, str(part.pid or "-"), _since(part, now), str(part.restarts))
        for part in status.parts
    ]
    return f"{text}\n{aligned([('PART', 'PID', 'RUNNING FOR', 'RESTARTS'), *rows])}"


def _role(status: daemon_pb2.GetStatusResponse) -> str:
    if not status.node_id:
        return ""
    return specs_pb2.Role.Name(status.role).removeprefix("ROLE_").lower()


def _since(part: daemon_pb2.Part, now: float) -> str:
    if not part.pid or not part.since:
        return "not running"
    elapsed = format_elapsed(now - part.since)
    return f"{elapsed[0].lower()}{elapsed[1:]}"
