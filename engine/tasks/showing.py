"""Show tasks as Docker's API does.

The slots of a replicated job count from 0 there, and all others from 1; ours count from 1 always.
A task of a job is to come to its end, where one of a service is to run.
"""

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from engine.networks.showing import Known, attached_json
from engine.replies import JsonObject
from engine.services.endpoints import write_ports
from engine.services.resources import write_generic
from engine.services.showing import iteration_of_task
from engine.services.specs import write_task
from engine.stored import described, nonzero, present
from engine.times import stamp
from swarm.api.v1 import control_pb2
from swarm.codec import from_message, unpack
from swarm.objects import Observation, Task
from swarm.specs import ReplicatedJob, ServiceSpec, TaskSpec
from swarm.standalone import container_id_of
from swarm.states import TaskState


def task_json(
    view: control_pb2.TaskView, service: ServiceSpec | None, networks: Mapping[str, Known]
) -> JsonObject:
    """A task of `service` (None: it was removed), which is attached to some of `networks`."""
    task, seen = from_message(Task, view.task), from_message(Observation, view.observation)
    is_job = service is not None and service.is_job
    return {
        **described(
            task.id, version=view.version, created_at=task.created_at, updated_at=task.updated_at
        ),
        "Labels": {},
        "Spec": _template(view.spec.SerializeToString()),
        "ServiceID": task.service_id,
        **nonzero(
            Slot=task.slot - (service is not None and isinstance(service.mode, ReplicatedJob)),
            NodeID=task.node_id,
            Run=task.run,
            Eviction=task.eviction,
        ),
        "Status": _status(task, seen),
        "DesiredState": desired_word(task, seen, is_job=is_job),
        **nonzero(
            NetworksAttachments=[
                attached_json(networks[each.network_id], each.addresses)
                for each in task.attachments
                if each.network_id in networks
            ],
            GenericResources=list(write_generic(task.claims)),
            JobIteration={"Index": iteration_of_task(task)} if is_job else None,
        ),
    }


@lru_cache(maxsize=1024)
def _template(spec: bytes) -> msgspec.Raw:
    """What a task was made from, in JSON: thousands of tasks are made from the same."""
    return msgspec.Raw(msgspec.json.encode(write_task(unpack(TaskSpec, spec))))


def state_word(task: Task, seen: Observation) -> str:
    """What a task does, as last reported; before any report, how far it has been brought."""
    if seen.state is TaskState.NEW:
        return "assigned" if task.node_id else "pending"
    return seen.state.word


def desired_word(task: Task, seen: Observation, *, is_job: bool) -> str:
    """What a task is to do. What came to its good end is not to run again."""
    is_done = seen.state is TaskState.COMPLETE
    if task.desired is TaskState.RUNNING and (is_job or is_done):
        return TaskState.COMPLETE.word if is_job else TaskState.SHUTDOWN.word
    return task.desired.word


def error_of(task: Task, seen: Observation) -> str:
    """Why a task waits or ended, if it is not well, or why it had to go."""
    if seen.error:
        return seen.error
    if seen.state is TaskState.FAILED:
        return "out of memory" if seen.oom_killed else f"task: non-zero exit ({seen.exit_code})"
    if seen.state is TaskState.PREPARING and seen.message.startswith("waiting"):
        return seen.message
    if task.eviction and task.desired > TaskState.RUNNING:
        return task.eviction
    return "" if task.node_id else task.message


def _status(task: Task, seen: Observation) -> JsonObject:
    has_container = TaskState.STARTING <= seen.state <= TaskState.FAILED
    return present(
        Timestamp=stamp(seen.at or task.updated_at),
        State=state_word(task, seen),
        Message=seen.message or task.message or state_word(task, seen),
        Err=error_of(task, seen) or None,
        ContainerStatus={
            "ContainerID": container_id_of(task.id),
            "PID": seen.pid,
            "ExitCode": seen.exit_code,
        }
        if has_container
        else None,
        PortStatus=nonzero(Ports=write_ports(seen.ports)),
    )
