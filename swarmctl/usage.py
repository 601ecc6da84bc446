"""Write what tasks use, as `docker stats` does.

Memory is counted in powers of 1024, what moves through networks and disks in powers of 1000.
"""

from collections.abc import Iterable, Mapping

from swarm.api.v1 import control_pb2 as pb
from swarm.api.v1 import objects_pb2
from swarmctl.rows import SHORT_ID
from swarmctl.tables import Listing

STATS = Listing(
    columns=(
        "ID", "Name", "Node", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs",
    ),
    headings={
        "Container": "TASK",
        "ID": "TASK ID",
        "Name": "NAME",
        "Node": "NODE",
        "CPUPerc": "CPU %",
        "MemUsage": "MEM USAGE / LIMIT",
        "MemPerc": "MEM %",
        "NetIO": "NET I/O",
        "BlockIO": "BLOCK I/O",
        "PIDs": "PIDS",
    },
)  # fmt: skip

BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB")
NOTHING = "--"


class Usage:
    """The latest samples of every node."""

    def __init__(self) -> None:
        self._batches: dict[str, pb.StatsBatch] = {}

    def take(self, batch: pb.StatsBatch) -> None:
        """A node has told all that it has to tell now."""
        self._batches[batch.node_id] = batch

    def rows(self, *, full: bool = False, idle: Iterable[pb.TaskView] = ()) -> list[dict[str, str]]:
        """A row per task by name; tasks of `idle` that no node sampled have empty ones."""
        found = {
            sample.task_id: _row(sample, batch.node_hostname or batch.node_id, full=full)
            for batch in self._batches.values()
            for sample in batch.tasks
        }
        for view in idle:
            found.setdefault(view.task.id, _empty(view, full=full))
        return [found[key] for key in sorted(found, key=lambda each: _order(found[each]))]


def screen(text: str, *, columns: int, lines: int) -> str:
    """`text` from the upper left corner of a terminal on, cut to its size."""
    shown = [line[:columns] for line in text.splitlines()[: max(lines - 1, 1)]]
    return "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in shown) + "\x1b[J"


def _row(sample: pb.TaskStats, node: str, *, full: bool) -> dict[str, str]:
    used, limit = sample.memory_bytes, sample.memory_limit_bytes
    return _named(sample.task_id, sample.service_name, sample.slot, node, full=full) | {
        "CPUPerc": f"{sample.cpu_percent:.2f}%",
        "MemUsage": f"{size(used, 1024, BINARY, 4)} / {size(limit, 1024, BINARY, 4)}",
        "MemPerc": f"{100 * used / limit:.2f}%" if limit else "0.00%",
        "NetIO": pair(sample.received_bytes, sample.sent_bytes),
        "BlockIO": pair(sample.read_bytes, sample.written_bytes),
        "PIDs": str(sample.pids),
    }


def _empty(view: pb.TaskView, *, full: bool) -> dict[str, str]:
    task = view.task
    node = view.node_hostname or task.node_id or NOTHING
    return _named(task.id, task.service_name, task.slot, node, full=full) | {
        "CPUPerc": NOTHING,
        "MemUsage": f"{NOTHING} / {NOTHING}",
        "MemPerc": NOTHING,
        "NetIO": NOTHING,
        "BlockIO": NOTHING,
        "PIDs": NOTHING,
    }


def _named(task_id: str, service: str, slot: int, node: str, *, full: bool) -> dict[str, str]:
    return {
        "Container": task_id,
        "ID": task_id if full else task_id[:SHORT_ID],
        "Name": f"{service}.{slot or node}",
        "Node": node,
    }


def _order(row: Mapping[str, str]) -> tuple[str, int, str, str]:
    service, _, replica = row["Name"].rpartition(".")
    number = int(replica) if replica.isdigit() else 0
    return service, number, replica, row["Container"]


def pair(one: int, other: int) -> str:
    """Bytes that came and went."""
    return f"{size(one, 1000, _DECIMAL, 3)} / {size(other, 1000, _DECIMAL, 3)}"


def size(count: int, base: int, units: tuple[str, ...], digits: int) -> str:
    """`count` bytes to so many significant digits."""
    value, unit = float(count), 0
    while float(f"{value:.{digits}g}") >= base and unit < len(units) - 1:
        value /= base
        unit += 1
    return f"{value:.{digits}g}{units[unit]}"


def should_run(view: pb.TaskView) -> bool:
    """Whether the swarm wants the task to run, whether it does or not."""
    return view.task.desired <= objects_pb2.TASK_STATE_RUNNING
