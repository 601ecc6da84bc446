"""Write lines of logs of services and tasks, as Docker's clients take them apart.

With details, where a line comes from stands before it: `docker service logs` finds the names of
service, task and node by that. A task without a terminal has two outputs, and each line its own
header.
"""

from msgspec import Struct

from engine.framing import STDERR, STDOUT, frame
from engine.times import log_stamp
from swarm.api.v1 import control_pb2

_CONTEXT = "com.docker.swarm"


class Style(Struct, frozen=True, kw_only=True):
    """What stands before a line; `framed` where there are two outputs."""

    framed: bool = True
    timestamps: bool = False
    details: bool = False


def write_line(line: control_pb2.LogLine, service_id: str, style: Style) -> bytes:
    """A line of a task of this service."""
    text = line.data
    if style.details:
        text = _details(line, service_id).encode() + text
    if style.timestamps:
        text = f"{log_stamp(line.at)} ".encode() + text
    return frame(STDERR if line.stderr else STDOUT, text) if style.framed else text


def _details(line: control_pb2.LogLine, service_id: str) -> str:
    return (
        f"{_CONTEXT}.node.id={line.node_id},{_CONTEXT}.service.id={service_id},"
        f"{_CONTEXT}.task.id={line.task_id} "
    )
