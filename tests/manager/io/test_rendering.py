"""Tasks are shown to callers without what would make a thousand of them too large."""

from manager.io.rendering import service_view, task_view
from swarm.ids import TaskId
from swarm.objects import Task
from swarm.specs import ContainerSpec, TaskSpec
from swarm.states import TaskState
from tests.manager.world import World

PROFILE = '{"defaultAction":"SCMP_ACT_ALLOW"}'


def test_a_task_names_its_seccomp_profile_and_its_service_has_it() -> None:
    world = World()
    node = world.node("n1")
    service = world.service(task=TaskSpec(container=ContainerSpec(seccomp=PROFILE)))
    world.task(Task(id=TaskId("t1"), service_id=service, slot=1, node_id=node))

    shown = task_view(world.view, TaskId("t1")).spec.container
    whole = service_view(world.view, service).service.spec.task.container

    assert shown.seccomp.startswith("sha256:")
    assert whole.seccomp == PROFILE


def test_a_service_that_is_being_updated_is_said_to_run_what_its_users_reach() -> None:
    world = World()
    node = world.node("n1")
    service = world.service(replicas=2)
    for slot in (1, 2):
        task = Task(id=TaskId(f"t{slot}"), service_id=service, slot=slot, node_id=node)
        world.task(task)
        world.report(task.id, TaskState.RUNNING)
    world.new_version(service)

    shown = service_view(world.view, service)

    assert (shown.running, shown.wanted) == (2, 2)
