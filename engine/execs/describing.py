"""Judge a program that a client wants to run in a container, and tell the agent of it."""

from engine.containers import states
from engine.containers.creating import words
from engine.execs.instance import Instance
from engine.wire.containers import ExecJson, ExecStartJson
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2
from swarm.errors import Invalid, Refused
from swarm.standalone import ContainerState


def describe(exec_id: str, asked: ExecJson, view: pb.ContainerView) -> Instance:
    """Keep what is asked for; `Invalid` or `Refused` when it could not run."""
    command = words(asked.cmd)
    if not command:
        raise Invalid("No exec command specified")
    for text in asked.env:
        if not text.partition("=")[0]:
            raise Invalid(f"invalid environment variable: {text}", hint="write NAME=VALUE")
    check_running(view)
    return Instance(id=exec_id, container_id=view.id, asked=asked, command=command)


def check_running(view: pb.ContainerView) -> None:
    """Refuse containers in which nothing can be run now."""
    state = states.state_of(view)
    if state is ContainerState.PAUSED:
        raise Refused(f"Container {view.id} is paused, unpause the container before exec")
    if state is ContainerState.RESTARTING:
        raise Refused(f"Container {view.id} is restarting, wait until the container is running")
    if state is not ContainerState.RUNNING:
        raise Refused(f"container {view.id} is not running")


def start_of(instance: Instance, asked: ExecStartJson) -> control_pb2.ExecStart:
    """What the agent is told."""
    described = instance.asked
    start = control_pb2.ExecStart(
        task=instance.container_id,
        args=instance.command,
        env=described.env,
        workdir=described.working_dir,
        user=described.user,
        tty=described.tty,
        privileged=described.privileged,
        open_stdin=described.attach_stdin and not asked.detach,
        outlives=True,
        exec_id=instance.id,
    )
    size = asked.console_size or described.console_size or ()
    if len(size) == 2:
        start.size.rows, start.size.columns = size
    return start
