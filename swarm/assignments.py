"""Compare what an agent holds with what it should hold, without sending it.

Both sides compute the digest of the same set: each assigned task with the etcd revision of
its last change. When an agent reconnects and the digests agree, nothing is resent.

Secrets and configs are the exception, because an agent has them in memory only: they belong
to a session, which starts without any. Within it both sides forget a content by the same
rule, `keeps_contents`, after each message; so a manager knows without asking what an agent has.
"""

from collections.abc import Mapping
from hashlib import sha256

from swarm.ids import TaskId
from swarm.objects import Task
from swarm.specs import TaskSpec
from swarm.states import TaskState


def digest(assignments: Mapping[TaskId, int]) -> str:
    """Summarise `assignments` (task to revision) independently of their order."""
    lines = (f"{task_id} {revision}\n" for task_id, revision in sorted(assignments.items()))
    return sha256("".join(lines).encode()).hexdigest()


def contents_of(task: Task, spec: TaskSpec) -> tuple[str, ...]:
    """The ids of all that `task` of `spec` is given to start with.

    That of its service stands for the login that its image is fetched with.
    """
    login = (task.service_id,) if spec.registry_login else ()
    return (*login, *files_of(spec))


def files_of(spec: TaskSpec) -> tuple[str, ...]:
    """The ids of the secrets and configs that a task of `spec` cannot start without."""
    container = spec.container
    if not container.secrets and not container.configs:
        return ()
    return tuple(each.id for each in (*container.secrets, *container.configs))


def keeps_contents(task: Task) -> bool:
    """Whether an agent that holds `task`, as it was last told, keeps what its spec names."""
    return task.desired <= TaskState.RUNNING
