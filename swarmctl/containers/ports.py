"""Say which ports of this host lead to a container."""

from swarm.api.v1 import containers_pb2 as pb
from swarm.codec import from_message
from swarm.errors import Missing
from swarm.specs import Port


def port_lines(view: pb.ContainerView, wanted: str) -> list[str]:
    """`80/tcp -> 0.0.0.0:8080` each; of one port only where it is, `Missing` if nowhere."""
    ports = [from_message(Port, each) for each in view.ports]
    if not wanted:
        return [f"{_inside(port)} -> {_outside(port)}" for port in ports]
    name = wanted if "/" in wanted else f"{wanted}/tcp"
    found = [_outside(port) for port in ports if _inside(port) == name]
    if not found:
        raise Missing(
            f"no port of this host leads to {name} of {view.name}",
            hint="`swarmctl port CONTAINER` lists those that do",
        )
    return found


def published(port: Port) -> str:
    """`0.0.0.0:8080->80/tcp`."""
    return f"{_outside(port)}->{_inside(port)}"


def _inside(port: Port) -> str:
    return f"{port.target}/{port.protocol.word}"


def _outside(port: Port) -> str:
    ip = f"[{port.ip}]" if ":" in port.ip else port.ip or "0.0.0.0"
    return f"{ip}:{port.published}"
