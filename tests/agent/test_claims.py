from agent.claims import granted
from swarm.ids import ServiceId, TaskId
from swarm.objects import Task
from swarm.specs import ContainerSpec, Device, GenericResource, Resources


def test_claims_are_variables_and_devices() -> None:
    asked = ContainerSpec(
        env=("A=1", "DOCKER_RESOURCE_GPU=all"), devices=(Device(source="/dev/x"),)
    )
    reserved = Resources(
        generic=(
            GenericResource(kind="ssd", count=2),
            GenericResource(kind="gpu", count=2),
            GenericResource(kind="fpga", count=1),
        )
    )
    task = Task(
        id=TaskId("t1"),
        service_id=ServiceId("s1"),
        claims=(
            GenericResource(kind="gpu", names=("UUID1", "UUID2")),
            GenericResource(kind="fpga", names=("/dev/fpga0",)),
        ),
    )

    given = granted(asked, reserved, task)

    assert given.env[2:] == (
        "DOCKER_RESOURCE_FPGA=/dev/fpga0",
        "DOCKER_RESOURCE_GPU=UUID1,UUID2",
        "DOCKER_RESOURCE_SSD=2",
    )
    assert given.devices == (
        Device(source="/dev/x"),
        Device(source="/dev/fpga0", target="/dev/fpga0"),
    )


def test_who_claims_nothing_gets_nothing() -> None:
    task = Task(id=TaskId("t1"), service_id=ServiceId("s1"))

    assert granted(ContainerSpec(), Resources(), task) == ContainerSpec()
