from hypothesis import given
from hypothesis import strategies as st

from agent.assignments import Assignments as Held
from agent.assignments import Gap
from manager import layout
from manager.dispatch.assignments import Assignments
from manager.dispatch.deliveries import MOST_BYTES
from manager.view import ClusterView
from swarm.dispatch import Content, Diff
from swarm.ids import NodeId, SecretId, ServiceId, TaskId
from swarm.objects import Login, Secret, Task
from swarm.specs import ContainerSpec, FileReference, SecretSpec, TaskSpec
from swarm.states import TaskState
from tests.manager.world import World

N1 = NodeId("n1")


def secret(world: World, name: str, *, version: int = 1) -> None:
    made = Secret(id=SecretId(f"id-{name}"), spec=SecretSpec(name=name), version=version)
    world.write((layout.secret_key(made.id), made))


def opened(view: ClusterView, content_id: str) -> Content | None:
    found = view.secrets.get(SecretId(content_id)) or view.logins.get(ServiceId(content_id))
    if found is None:
        return None
    return Content(
        id=content_id, version=found.version, data=f"{content_id} {found.version}".encode()
    )


def login(world: World, service: str, *, version: int = 1) -> None:
    made = Login(service_id=ServiceId(f"s-{service}"), version=version)
    world.write((layout.login_key(made.service_id), made))


def needing(*names: str) -> TaskSpec:
    references = tuple(FileReference(id=f"id-{name}", name=name, target=name) for name in names)
    return TaskSpec(container=ContainerSpec(secrets=references))


def make_world(*names: str) -> World:
    world = World()
    world.node("n1")
    for name in names:
        secret(world, name)
        world.service(f"uses-{name}", task=needing(name))
    world.service("plain")
    return world


def make_task(world: World, name: str, service: str, node: str = "n1", **fields: object) -> Task:
    task = Task(
        id=TaskId(name),
        service_id=f"s-{service}",
        service_name=service,
        node_id=NodeId(node),
        **fields,
    )
    world.task(task)
    return task


def given_by(diff: Diff | None) -> list[tuple[str, int]]:
    return [] if diff is None else [(each.id, each.version) for each in diff.contents]


def test_a_secret_comes_with_the_first_task_that_needs_it_and_only_once() -> None:
    world = make_world("db")
    session = Assignments(N1, opened)
    session.open(world.view, "")
    make_task(world, "t1", "uses-db")
    make_task(world, "t2", "uses-db")

    first = session.diff(world.view, [TaskId("t1")])
    second = session.diff(world.view, [TaskId("t2")])

    assert given_by(first) == [("id-db", 1)]
    assert given_by(second) == []


def test_a_login_comes_with_a_task_that_waits_for_it_and_goes_with_the_last() -> None:
    """A login is delivered as secrets are, under its service's id.

    1. A node is given a task whose service has a login, and another whose service has none.
    2. The first runs: what it was pulled with may change, and nobody is told.
    3. The next one is given the login as it is now.
    4. When all are to end, the agent forgets it.
    """
    world, held = make_world(), Held()
    world.service("private", task=TaskSpec(registry_login=True))
    login(world, "private")
    session = Assignments(N1, opened)
    held.take(session.open(world.view, ""))

    task = make_task(world, "t1", "private")
    make_task(world, "t2", "plain")
    first = session.diff(world.view, [TaskId("t1"), TaskId("t2")])
    world.report(task, TaskState.RUNNING)
    login(world, "private", version=2)
    nothing = session.diff(world.view, (), ["s-private"])
    make_task(world, "t3", "private")
    second = session.diff(world.view, [TaskId("t3")])
    for diff in (first, second):
        held.take(diff)
    kept = dict(held.contents)
    for name in ("t1", "t3"):
        make_task(world, name, "private", desired=TaskState.SHUTDOWN)
    held.take(session.diff(world.view, [TaskId("t1"), TaskId("t3")]))
    session.check(world.view)

    assert given_by(first) == [("s-private", 1)]
    assert nothing is None
    assert given_by(second) == [("s-private", 2)]
    assert kept["s-private"].version == 2
    assert not held.contents


def test_a_node_without_such_a_task_is_given_nothing() -> None:
    world = make_world("db")
    make_task(world, "t1", "plain")
    make_task(world, "t2", "uses-db", node="n2")
    session = Assignments(N1, opened)
    session.open(world.view, "")

    secret(world, "db", version=2)

    assert not session.is_due
    assert session.diff(world.view, [TaskId("t1"), TaskId("t2")], ["id-db"]) is None


def test_a_session_in_sync_is_given_what_its_tasks_wait_for() -> None:
    """The agent has contents in memory only, and a session starts without any.

    1. The agent holds a task that waits for its secret.
    2. The connection breaks before the secret came.
    3. The digests agree, so no snapshot follows; the secret does.
    """
    world = make_world("db")
    make_task(world, "t1", "uses-db")
    held = Held()
    snapshot = Assignments(N1, opened).open(world.view, "")
    assert snapshot is not None
    held.take(snapshot)

    session = Assignments(N1, opened)
    assert session.open(world.view, held.digest()) is None
    held.restart()
    diff = session.diff(world.view, ())

    assert diff is not None
    assert not isinstance(held.take(diff), Gap)
    assert [each.id for each in held.contents.values()] == ["id-db"]
    assert not session.is_due


def test_a_task_that_runs_is_sent_nothing_anew_and_the_next_one_gets_the_new_version() -> None:
    world = make_world("db")
    task = make_task(world, "t1", "uses-db")
    session = Assignments(N1, opened)
    session.open(world.view, "")
    session.diff(world.view, [task.id])
    world.report(task, TaskState.RUNNING)

    secret(world, "db", version=2)
    after_change = session.diff(world.view, (), ["id-db"])
    make_task(world, "t2", "uses-db")
    with_task = session.diff(world.view, [TaskId("t2")])

    assert after_change is None
    assert given_by(with_task) == [("id-db", 2)]


def test_a_task_that_waits_is_given_the_new_version_at_once() -> None:
    world = make_world("db")
    make_task(world, "t1", "uses-db")
    session = Assignments(N1, opened)
    session.open(world.view, "")
    session.diff(world.view, ())

    secret(world, "db", version=2)

    assert given_by(session.diff(world.view, (), ["id-db"])) == [("id-db", 2)]


def test_what_cannot_be_opened_is_sent_once_it_can() -> None:
    world = make_world()
    world.service("uses-db", task=needing("db"))
    make_task(world, "t1", "uses-db")
    session = Assignments(N1, opened)
    session.open(world.view, "")
    before = session.diff(world.view, ())

    secret(world, "db")

    assert before is None
    assert given_by(session.diff(world.view, (), ["id-db"])) == [("id-db", 1)]


def test_no_message_is_larger_than_it_may_be() -> None:
    world = make_world("a", "b", "c")
    for name in "abc":
        make_task(world, name, f"uses-{name}")
    session = Assignments(
        N1, lambda _, each: Content(id=each, version=1, data=bytes(MOST_BYTES // 2 + 1))
    )
    session.open(world.view, "")

    sent = []
    while session.is_due:
        sent.append(given_by(session.diff(world.view, ())))

    assert sorted(sent) == [[("id-a", 1)], [("id-b", 1)], [("id-c", 1)]]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["create", "stop", "run", "remove", "change", "reconnect", "send"]),
        st.integers(0, 3),
        st.sampled_from(["uses-a", "uses-b", "plain"]),
    ),
    max_size=40,
)


@given(EVENTS)
def test_law_a_task_that_has_yet_to_start_has_what_it_needs_once_all_is_sent(  # noqa: C901
    events: list[tuple[str, int, str]],
) -> None:
    world = make_world("a", "b")
    held, session = Held(), Assignments(N1, opened)
    held.take(session.open(world.view, ""))
    touched: list[TaskId] = []
    contents: list[str] = []
    versions = {"a": 1, "b": 1}

    def send() -> None:
        while touched or contents or session.is_due:
            diff = session.diff(world.view, touched, contents)
            touched.clear()
            contents.clear()
            if diff is not None:
                assert not isinstance(held.take(diff), Gap)
            session.check(world.view)

    for event, number, service in events:
        task_id = TaskId(f"t{number}")
        task = world.view.tasks.get(task_id)
        match event:
            case "create" if task is None:
                make_task(world, task_id, service)
            case "stop" if task is not None:
                make_task(world, task_id, task.service_name, desired=TaskState.SHUTDOWN)
            case "run" if task is not None:
                world.report(task, TaskState.RUNNING)
            case "remove" if task is not None:
                world.write((layout.task_key(task.service_id, task_id), None))
            case "change":
                name = "ab"[number % 2]
                versions[name] += 1
                secret(world, name, version=versions[name])
                contents.append(f"id-{name}")
            case "reconnect":
                session = Assignments(N1, opened)
                touched.clear()
                contents.clear()
                snapshot = session.open(world.view, held.digest())
                held.restart()
                if snapshot is not None:
                    held.take(snapshot)
            case "send":
                send()
                continue
        touched.append(task_id)

    send()
    for task in world.view.tasks.values():
        waits = world.view.state(task) < TaskState.RUNNING and task.desired <= TaskState.RUNNING
        name = task.service_name.removeprefix("uses-")
        if waits and name in versions:
            assert held.contents[f"id-{name}"].version == versions[name]
    needed = {
        task.service_name.removeprefix("uses-")
        for task in world.view.tasks.values()
        if task.desired <= TaskState.RUNNING
    }
    assert {each.removeprefix("id-") for each in held.contents} <= needed
