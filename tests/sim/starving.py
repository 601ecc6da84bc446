"""See that nothing waits for what is there, not only at the end.

While a leader knows all that is written and can write, a task without a node gets one that
would do before long. What would do is counted by `room`, on what the leader itself knows. Any
trouble between it and etcd, another term, or anything that takes the node away meanwhile
begins the count anew.
"""

from collections.abc import Callable

from swarm.ids import TaskId
from swarm.states import TaskState
from tests.sim.ending import starved
from tests.sim.engine import Engine
from tests.sim.manager import Manager, Term

LONGEST_S = 20.0


class Starving:
    """Since when tasks wait in vain; `objects` is told of one that does for too long."""

    def __init__(self, engine: Engine, objects: Callable[[str, str], None]) -> None:
        self._engine = engine
        self._objects = objects
        self._term: Term | None = None
        self._since: dict[TaskId, float] = {}

    def look(self, leader: Manager | None, *, is_undisturbed: bool) -> None:
        """Count on; to be called about once a second."""
        term = leader.term if leader is not None else None
        if leader is None or term is None or term is not self._term or not is_undisturbed:
            self._term = term
            self._since.clear()
            return
        view, found = leader.view, dict[TaskId, float]()
        for service in view.services.values():
            for task in view.tasks_of(service.id).values():
                if task.node_id or task.desired > TaskState.RUNNING:
                    continue
                if why := starved(view, service, task):
                    since = found[task.id] = self._since.get(task.id, self._engine.now)
                    if self._engine.now - since > LONGEST_S:
                        self._objects("starvation", f"for {LONGEST_S:.0f} s: {why}")
        self._since = found
