from manager import layout
from manager.applied import Notes
from manager.decoding import Key, read_key
from manager.knowledge import Knowledge
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Observation, Service, SpecVersion, Task
from swarm.specs import ContainerSpec, Dependency, ServiceSpec, TaskSpec
from swarm.states import TaskState

WEB, DB, N1, T1 = ServiceId("web"), ServiceId("db"), NodeId("n1"), TaskId("t1")


def key(name: str) -> Key:
    found = read_key(name)
    assert found is not None
    return found


def service(service_id: ServiceId, *after: str) -> Service:
    task = TaskSpec(
        container=ContainerSpec(image="app:1"),
        depends_on=tuple(Dependency(service=each) for each in after),
    )
    return Service(id=service_id, spec=ServiceSpec(name=service_id, task=task))


def seen(state: TaskState) -> Observation:
    return Observation(task_id=T1, state=state, at=1.0)


def test_who_looks_at_a_service_is_touched_with_it_until_it_looks_elsewhere() -> None:
    known, notes = Knowledge(), Notes(1.0)
    known.learn(key(layout.service_key(WEB)), service(WEB, "db"), Notes(1.0))

    known.learn(key(layout.service_key(DB)), service(DB), notes)

    assert notes.services == {WEB, DB}
    known.learn(key(layout.service_key(WEB)), service(WEB), Notes(2.0))
    assert not known.followers("db")


def test_who_looked_at_a_service_is_touched_with_it_while_that_version_lasts() -> None:
    """Found by seed 4544 of the simulation: a run of an earlier version waited for ever."""
    known = Knowledge()
    before = service(WEB, "db")
    version = key(layout.version_key(WEB, 1))
    known.learn(key(layout.service_key(WEB)), before, Notes(1.0))
    known.learn(version, SpecVersion.of(before), Notes(1.0))
    known.learn(key(layout.service_key(WEB)), service(WEB), Notes(2.0))

    assert set(known.followers("db")) == {WEB}
    known.forget(version, 1, Notes(3.0))
    assert not known.followers("db")


def test_a_report_that_comes_late_is_not_taken() -> None:
    known = Knowledge()
    task = Task(id=T1, service_id=WEB, node_id=N1)
    known.learn(key(layout.task_key(WEB, T1)), task, Notes(1.0))
    reported = key(layout.observed_key(N1, T1))

    known.learn(reported, seen(TaskState.FAILED), Notes(2.0))
    known.learn(reported, seen(TaskState.RUNNING), Notes(3.0))

    assert known.state(task) is TaskState.FAILED


def test_a_forgotten_report_takes_the_task_back_to_where_it_began() -> None:
    known = Knowledge()
    task = Task(id=T1, service_id=WEB, node_id=N1)
    known.learn(key(layout.task_key(WEB, T1)), task, Notes(1.0))
    reported = key(layout.observed_key(N1, T1))
    known.learn(reported, seen(TaskState.RUNNING), Notes(2.0))

    known.forget(reported, 7, Notes(3.0))

    assert known.state(task) is TaskState.ASSIGNED
    assert not known.observed
