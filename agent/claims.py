"""Give a container what its task claims of the node's generic resources.

Programs learn of it as Docker's do: `DOCKER_RESOURCE_<KIND>` holds the names that are the
task's own, or how many where nobody tells one from another. A name that is a path below `/dev`
is a device of the host, which the container gets under the same path.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from swarm.objects import Task
from swarm.specs import ContainerSpec, Device, Resources

_DEVICES = "/dev/"


def granted(asked: ContainerSpec, reserved: Resources, task: Task) -> ContainerSpec:
    """The container with the claims of its task, whatever else sets the same variables."""
    return replace(
        asked,
        env=(*asked.env, *_environment(reserved, task)),
        devices=(*asked.devices, *_devices(task)),
    )


def _environment(reserved: Resources, task: Task) -> Iterator[str]:
    named = {claim.kind: ",".join(claim.names) for claim in task.claims if claim.names}
    counted = {each.kind: str(each.count) for each in reserved.generic}
    for kind, value in sorted((counted | named).items()):
        yield f"DOCKER_RESOURCE_{kind.upper()}={value}"


def _devices(task: Task) -> Iterator[Device]:
    for claim in task.claims:
        for name in claim.names:
            if name.startswith(_DEVICES):
                yield Device(source=name, target=name)
