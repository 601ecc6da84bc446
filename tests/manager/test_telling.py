from manager.decisions import (
    AssignTask,
    CreateTask,
    Evict,
    Plan,
    RemoveLedger,
    RemoveObserved,
    RemoveTask,
    RemoveVersion,
    SetDesired,
    UpdateMessage,
    WriteLedger,
    WriteService,
)
from manager.telling import placements, summed, told
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Ledger, Revision, Rollout, Run, Service, Task
from swarm.specs import ServiceSpec
from swarm.states import RunState, TaskState

WEB, TASK, NODE = ServiceId("s-web"), TaskId("t"), NodeId("n")


def test_every_kind_of_decision_has_a_line_of_its_own() -> None:
    service = Service(id=WEB, spec=ServiceSpec(name="web"))
    revision = Revision(service_id=WEB, number=2, spec=service.spec, cause="automatic rollback")
    decisions = [
        CreateTask(Task(id=TASK, service_id=WEB)),
        WriteLedger(Ledger(service_id=WEB)),
        WriteService(service, revision),
        SetDesired(TASK, TaskState.SHUTDOWN),
        Evict(TASK, "drained"),
        AssignTask(TASK, NODE),
        UpdateMessage(TASK, "no room"),
        RemoveTask(TASK),
        RemoveVersion(WEB, 1),
        RemoveLedger(WEB),
        RemoveObserved(NODE, TASK),
    ]

    lines = [told(each) for each in decisions]

    assert len({name for name, _ in lines}) == len(decisions)
    assert lines[2] == (
        "service.changed",
        {"service_id": WEB, "revision": 2, "cause": "automatic rollback"},
    )
    assert lines[3][1]["task_id"] == "t"


def test_a_ledger_is_told_in_a_few_words() -> None:
    runs = (
        Run(number=1, state=RunState.COMPLETE),
        Run(number=2, state=RunState.RUNNING, completed=3, total=9),
    )
    ledger = Ledger(service_id=WEB, runs=runs, rollout=Rollout(spec_version=4), replicas=7)

    assert told(WriteLedger(ledger)) == (
        "ledger.written",
        {
            "service_id": WEB,
            "rollout": "updating",
            "version": 4,
            "run": 2,
            "state": "running",
            "going": 1,
            "completed": 3,
            "total": 9,
            "replicas": 7,
        },
    )


def test_many_decisions_of_a_kind_are_counted_in_one_line() -> None:
    many = tuple(CreateTask(Task(id=TaskId(f"t{n}"), service_id=WEB)) for n in range(100))
    plan = Plan(service_id=WEB, decisions=(*many, SetDesired(TASK, TaskState.SHUTDOWN)))

    events = dict(summed(plan))

    assert events["tasks.created"] == {"service_id": WEB, "count": 100}
    assert events["task.asked_to_stop"]["task_id"] == TASK


def test_a_task_counts_as_placed_when_it_has_a_node() -> None:
    placed = CreateTask(Task(id=TASK, service_id=WEB, node_id=NODE))
    waiting = CreateTask(Task(id=TaskId("w"), service_id=WEB))
    plan = Plan(decisions=(placed, waiting, AssignTask(TASK, NODE)))

    assert placements(plan) == 2
