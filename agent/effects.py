"""Say what has to be done about a task of this node.

The shell performs effects in order. What takes time ends by telling an event; the rest is
said once and forgotten.
"""

from msgspec import Struct

from agent.topology import Changes
from swarm.ids import TaskId
from swarm.objects import Observation


class Route(Struct, frozen=True):
    """Make the node's networks follow what changed; tasks of the same message come after it."""

    changes: Changes


class Prepare(Struct, frozen=True):
    """Fetch the image, make the volumes; answer `Prepared` or `PrepareFailed`."""

    task_id: TaskId


class Start(Struct, frozen=True):
    """Run the container; answer `Started` or `StartFailed`, and later `Exited`."""

    task_id: TaskId


class Connect(Struct, frozen=True):
    """Have the container, which runs, be in the networks that its task is in now."""

    task_id: TaskId


class Abandon(Struct, frozen=True):
    """Give the work up if it did nothing yet, and answer `Abandoned`; else let it end."""

    task_id: TaskId


class Leave(Struct, frozen=True):
    """Let the word spread that it ends, while it still answers; answer `Left`."""

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


Effect = (
    Route | Prepare | Start | Connect | Abandon | Leave | Signal | Kill | Wait | Report | Delete
)
