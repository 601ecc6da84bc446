"""Choose the running task that a user wants to look into.

A name may mean several attempts at one slot, and a service may have many tasks: what runs is
preferred, the newest of it first, and what cannot be decided is refused with the names to
choose from. Whether the container lives is the agent's to know; here a task is refused only
when it certainly has none.
"""

from manager.events import task_name
from manager.finding import attempts, find_service, find_task
from manager.view import ClusterView
from swarm.errors import Invalid, Missing, Refused
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.states import NodeState, TaskState

_SHOWN = 5


def running_task(view: ClusterView, text: str) -> Task:
    """The task whose container `text` means: a task, or a service with a single one.

    Raises `Missing`, `Invalid` naming what it may mean, and `Refused` with the task's state.
    """
    if found := attempts(view, text):
        task = next((each for each in found if has_container(view.state(each))), found[0])
    else:
        task = _task_or_only_one(view, text)
    state = view.state(task)
    if not has_container(state):
        raise Refused(
            f"task {full_name(task)} is not running: it is {state.word}",
            hint=f"`swarmctl service ps {task.service_name or task.service_id}` shows why",
        )
    return task


def sampled(view: ClusterView, names: list[str]) -> tuple[frozenset[TaskId], frozenset[ServiceId]]:
    """The tasks and the services that `names` mean, tasks first.

    The id of a service means all of its tasks, also those to come.
    """
    tasks, services = set[TaskId](), set[ServiceId]()
    for name in names:
        if name in view.services:
            services.add(ServiceId(name))
            continue
        try:
            tasks.add(running_task(view, name).id)
        except (Missing, Invalid) as err:
            try:
                services.add(find_service(view, name))
            except Missing:
                raise err from None
    return frozenset(tasks), frozenset(services)


def nodes_with(
    view: ClusterView, tasks: frozenset[TaskId], services: frozenset[ServiceId]
) -> frozenset[NodeId]:
    """The nodes that have a container of these; of anyone, when none is named."""
    if not tasks and not services:
        return frozenset(node_id for node_id in view.nodes if view.tasks_on(node_id))
    found = {view.tasks[each].node_id for each in tasks if each in view.tasks}
    found |= {task.node_id for each in services for task in view.tasks_of(each).values()}
    return frozenset(found - {NodeId("")})


def has_container(state: TaskState) -> bool:
    """Whether a container may exist: it starts, runs, or waits for its first health check."""
    return TaskState.STARTING <= state <= TaskState.RUNNING


def full_name(task: Task) -> str:
    """The name that no other task has: `web.1.<id>`."""
    return f"{task_name(task).removesuffix(f'.{task.id}')}.{task.id}"


def unreachable(view: ClusterView, node_id: NodeId) -> str:
    """What to say of a node that nobody can talk to."""
    node = view.nodes.get(node_id)
    name = node.description.hostname or node_id if node is not None else node_id
    state = view.node_state(node_id)
    reason = "it is down" if state is NodeState.DOWN else "its agent is not connected"
    return f"node {name} cannot be reached: {reason}"


def _task_or_only_one(view: ClusterView, text: str) -> Task:
    try:
        return view.tasks[find_task(view, text)]
    except Missing as err:
        return _only_task(view, text, err)


def _only_task(view: ClusterView, text: str, missing: Missing) -> Task:
    """The one running task of the service `text`."""
    services = [each.id for each in view.services.values() if text in (each.id, each.spec.name)]
    if not services:
        raise missing
    tasks = view.tasks_of(services[0]).values()
    found = [each for each in tasks if has_container(view.state(each))]
    if not found:
        raise Refused(
            f"service {text} has no running task", hint=f"`swarmctl service ps {text}` shows why"
        )
    if len(found) > 1:
        names = sorted(map(task_name, found))
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        raise Invalid(
            f"service {text} has {len(found)} running tasks ({shown})", hint="name one of them"
        )
    return found[0]
