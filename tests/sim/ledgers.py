"""See in the store itself that what happened once stays once: completions and firings.

A slot of a run that completed is never begun again by a leader whose view had come so far as to
know it; a firing stands in the ledger once, and of a schedule that makes up for all none is
left out.
"""

from collections.abc import Callable

from manager import layout
from manager.decisions import CreateTask, Plan, WriteLedger
from manager.decoding import read_key
from manager.orchestrator.schedules import signature
from manager.store import Batch
from manager.view import ClusterView
from swarm.codec import unpack
from swarm.ids import NodeId, ServiceId
from swarm.objects import Ledger, Observation, Task
from swarm.specs import Catchup
from swarm.states import TaskState

Place = tuple[ServiceId, int, float, int, NodeId]


class Ledgers:
    """What completed and what fired; `objects` is told of what is broken."""

    def __init__(self, objects: Callable[[str, str], None]) -> None:
        self._objects = objects
        self._completed: dict[Place, int] = {}
        self._fired: dict[tuple[ServiceId, str, float], int] = {}
        self._known: dict[ServiceId, Ledger] = {}

    def decided(self, view: ClusterView, plan: Plan) -> None:
        """A leader is about to create attempts."""
        service = view.services.get(plan.service_id)
        if service is None or not service.spec.is_job:
            return
        written = {
            each.ledger.service_id: each.ledger
            for each in plan.decisions
            if isinstance(each, WriteLedger)
        }
        for each in plan.decisions:
            if isinstance(each, CreateTask):
                ledger = written.get(plan.service_id, view.ledgers.get(plan.service_id))
                at = self._completed.get(_place(each.task, ledger))
                if at is not None and at <= view.revision:
                    name = f"{each.task.service_name}.{each.task.slot or each.task.node_id}"
                    self._objects("job", f"{name} of run {each.task.run} is begun again")

    def committed(self, view: ClusterView, batch: Batch) -> None:
        """Something was written; `view` has it already."""
        for change in batch.changes:
            key = read_key(change.key)
            if key is None or change.value is None:
                continue
            if key.kind == layout.OBSERVED:
                task = view.tasks.get(key.task_id)
                state = unpack(Observation, change.value).state
                is_ours = task is not None and task.desired is not TaskState.REMOVE
                if task is not None and is_ours and state is TaskState.COMPLETE:
                    place = _place(task, view.ledgers.get(task.service_id))
                    self._completed.setdefault(place, batch.revision)
            elif key.kind == layout.LEDGERS:
                self._fire(view, view.ledgers[key.service_id])

    def _fire(self, view: ClusterView, ledger: Ledger) -> None:
        service, old = view.services.get(ledger.service_id), self._known.get(ledger.service_id)
        self._known[ledger.service_id] = ledger
        last = old.last_run if old is not None else 0
        new = [run for run in ledger.runs if run.number > last]
        if ledger.last_run < last:
            self._objects("firing", f"{ledger.service_id} counts back to {ledger.last_run}")
        for run in new:
            once = (ledger.service_id, ledger.schedule, run.due_at)
            if self._fired.setdefault(once, run.number) != run.number:
                self._objects("firing", f"{ledger.service_id} fires twice for {run.due_at}")
        if service is None or service.spec.schedule is None or old is None:
            return
        schedule = service.spec.schedule
        is_same = old.schedule == ledger.schedule == signature(schedule)
        if is_same and schedule.catchup is Catchup.ALL and schedule.expression == "* * * * *":
            due = int(ledger.fired_until // 60) - int(old.fired_until // 60)
            due += sum(run.due_at % 60 != 0 for run in new)  # by hand
            if ledger.last_run - last != due:
                self._objects(
                    "firing", f"{service.spec.name} fired {ledger.last_run - last} times of {due}"
                )


def _place(task: Task, ledger: Ledger | None) -> Place:
    """A slot or node of a run; one that starts over begins at another time."""
    node_id = NodeId("") if task.slot else task.node_id
    begun = [
        run.started_at
        for run in (ledger.runs if ledger is not None else ())
        if (run.number, run.spec_version) == (task.run, task.spec_version)
    ]
    return task.service_id, task.run, begun[0] if begun else 0.0, task.slot, node_id
