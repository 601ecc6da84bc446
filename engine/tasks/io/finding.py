"""Find the task that a client means."""

from engine.cluster.io.managing import managing
from engine.io.exchange import Exchange
from swarm.api.v1 import control_pb2


async def find_task(ask: Exchange, text: str) -> control_pb2.TaskView:
    """The task that an id, the beginning of one or a name means; raises `Missing`."""
    async with managing(ask) as control:
        found = await control.ListTasks(control_pb2.ListTasksRequest(tasks=[text]))
    return found.tasks[0]
