"""Say what has to be done about a task of this node.

The shell performs effects in order. What takes time ends by telling an event; the rest is
said once and forgotten.
"""

from msgspec import Struct

from swarm.ids import TaskId
from swarm.objects import Observation


class Prepare(Struct, frozen=True):
    """Fetch the image, make the volumes; answer `Prepared` or `PrepareFailed`."""

    task_id: TaskId


class Start(Struct, frozen=True):
    """Run the container; answer `Started` or `StartFailed`, and later `Exited`."""

    task_id: TaskId


class Abandon(Struct, frozen=True):
    """Give the work up if it did nothing yet, and answer `Abandoned`; else let it end."""

    task_id: TaskId


class Signal(Struct, frozen=True):
    """Ask the first process to stop, with its stop signal."""

    task_id: TaskId


class Kill(Struct, frozen=True):
    """End the container now."""

    task_id: TaskId


class Wait(Struct, frozen=True):
    """Answer `GraceExpired` after `delay_s`."""

    task_id: TaskId
    delay_s: float


class Report(Struct, frozen=True):
    """Tell the manager."""

    observation: Observation


class Delete(Struct, frozen=True):
    """Remove the container, its logs and its anonymous volumes; forget the task."""

    task_id: TaskId


Effect = Prepare | Start | Abandon | Signal | Kill | Wait | Report | Delete
