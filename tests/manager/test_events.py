from manager.events import (
    LONGEST_ATTRIBUTE,
    node_event,
    program_event,
    service_event,
    task_name,
    task_state_event,
)
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Node, NodeDescription, Observation, Service, Task
from swarm.specs import Availability, NodeSpec, ServiceSpec
from swarm.states import TaskState

NODE = Node(id=NodeId("a"), description=NodeDescription(hostname="alpha"))
SERVICE = Service(id=ServiceId("s"), spec=ServiceSpec(name="web"), updated_at=3.0)


def test_a_service_is_created_updated_and_removed() -> None:
    created = service_event(None, SERVICE, now=9.0)
    updated = service_event(Service(id=SERVICE.id, spec=ServiceSpec(name="w")), SERVICE, now=9.0)
    removed = service_event(SERVICE, None, now=9.0)

    assert [(e.action, e.at, e.name) for e in (created, updated, removed) if e] == [
        ("create", 3.0, "web"),
        ("update", 3.0, "web"),
        ("remove", 9.0, "web"),
    ]
    assert service_event(SERVICE, SERVICE, now=9.0) is None


def test_what_an_agent_describes_is_no_event_but_an_operators_change_is() -> None:
    described = Node(id=NODE.id, description=NodeDescription(hostname="beta"))
    paused = Node(id=NODE.id, spec=NodeSpec(availability=Availability.PAUSE))

    assert node_event(NODE, described, now=1.0) is None
    updated = node_event(NODE, paused, now=1.0)
    assert updated is not None
    assert updated.action == "update"
    assert updated.attributes["availability"] == "pause"


def test_an_end_tells_its_exit_code_and_reason() -> None:
    task = Task(id=TaskId("t"), service_id=SERVICE.id, service_name="web", slot=3, node_id=NODE.id)
    seen = Observation(
        task_id=task.id, state=TaskState.FAILED, at=7.0, exit_code=137, oom_killed=True, error="oom"
    )

    event = task_state_event(task, TaskState.FAILED, seen, now=9.0)

    assert (event.kind, event.action, event.at, event.name) == ("task", "failed", 7.0, "web.3")
    assert event.attributes == {
        "service_id": "s",
        "slot": "3",
        "node_id": "a",
        "exit_code": "137",
        "reason": "oom",
        "oom_killed": "true",
    }


def test_a_global_task_is_called_after_its_node() -> None:
    task = Task(id=TaskId("t"), service_id=SERVICE.id, service_name="web", node_id=NODE.id)

    assert task_name(task) == "web.a"


def test_a_global_task_that_waits_for_room_is_told_from_the_others_that_do() -> None:
    task = Task(id=TaskId("t"), service_id=SERVICE.id, service_name="web")

    assert task_name(task) == "web.t"


def test_a_program_is_told_with_its_task_and_without_its_whole_script() -> None:
    task = Task(id=TaskId("t"), service_id=SERVICE.id, service_name="web", slot=3, node_id=NODE.id)

    event = program_event(task, "exec_start", {"command": "x" * 9999, "reason": ""}, now=5.0)

    assert (event.kind, event.action, event.id, event.name) == ("task", "exec_start", "t", "web.3")
    assert event.attributes == {
        "service_id": "s",
        "slot": "3",
        "node_id": "a",
        "command": "x" * LONGEST_ATTRIBUTE,
    }
