"""Print the lines of a service's tasks, each with the name of who wrote it."""

from collections.abc import Mapping

from msgspec import Struct

from swarm.api.v1 import control_pb2
from swarmctl.rows import SHORT_ID
from swarmctl.times import stamp


class Style(Struct, frozen=True, kw_only=True):
    """What goes in front of a line."""

    raw: bool = False
    timestamps: bool = False
    details: bool = False
    task_ids: bool = True
    full: bool = False


class Printer:
    """Formats lines; the names grow into a column as wide as the longest one so far.

    `hostnames` translates node ids, and is empty to print the ids themselves.
    """

    def __init__(self, style: Style, *, hostnames: Mapping[str, str], width: int = 0) -> None:
        self._style = style
        self._hostnames = hostnames
        self._width = width

    def line(self, line: control_pb2.LogLine) -> bytes:
        """What to print for `line`, with its line end."""
        style = self._style
        text = line.data.removesuffix(b"\n") + b"\n"
        if style.details:
            text = f"{_details(line)} ".encode() + text
        if not style.raw:
            text = self._prefix(line).encode() + text
        if style.timestamps:
            text = f"{stamp(line.at)} ".encode() + text
        return text

    def _prefix(self, line: control_pb2.LogLine) -> str:
        name = writer(
            line,
            hostname=self._hostnames.get(line.node_id, line.node_id),
            task_id=self._style.task_ids,
            full=self._style.full,
        )
        self._width = max(self._width, len(name))
        return f"{name:<{self._width}}    | "


def writer(line: control_pb2.LogLine, *, hostname: str, task_id: bool, full: bool) -> str:
    """`web.3.k2v9x1c0q8ab@host`."""
    replica = str(line.slot) if line.slot else _cut(line.node_id, full)
    task = f".{_cut(line.task_id, full)}" if task_id else ""
    return f"{line.service_name}.{replica}{task}@{hostname}"


def _cut(text: str, full: bool) -> str:
    return text if full else text[:SHORT_ID]


def _details(line: control_pb2.LogLine) -> str:
    stream = "stderr" if line.stderr else "stdout"
    return f"node.id={line.node_id},task.id={line.task_id},stream={stream}"
