"""What a container may do on a node."""

import pytest

from agent.rights import Fences, absent_devices, rights, unfit
from runtime.defaults import CAPABILITIES
from runtime.oci.config import IdMapping
from runtime.spec import Device, UserNamespace
from swarm import specs
from swarm.capabilities import NAMES
from swarm.specs import ContainerSpec, TaskSpec
from tests.networks import attached

IDS = (IdMapping(container_id=0, host_id=100000, size=65536),)
REMAPPED = UserNamespace(uids=IDS, gids=IDS)


def test_a_container_that_asks_for_nothing_gets_the_default_fences() -> None:
    found = rights(ContainerSpec(), Fences())

    assert set(found.capabilities) == set(CAPABILITIES)
    assert (found.seccomp, found.apparmor, found.devices) == ("default", "", ())
    assert found.no_new_privs
    assert not found.privileged
    assert found.user_namespace is None


def test_a_privileged_container_has_no_fences_left() -> None:
    found = rights(ContainerSpec(privileged=True), Fences())

    assert found.capabilities == NAMES
    assert found.seccomp == "unconfined"
    assert not found.no_new_privs


def test_a_privileged_container_keeps_a_profile_of_its_own() -> None:
    assert rights(ContainerSpec(privileged=True, seccomp="{}"), Fences()).seccomp == "{}"


def test_what_is_asked_for_is_given() -> None:
    asked = ContainerSpec(
        cap_add=("CAP_BPF",),
        cap_drop=("ALL",),
        seccomp="unconfined",
        apparmor="mine",
        allow_new_privileges=True,
        devices=(specs.Device(source="/dev/a", target="/dev/b", access="r"),),
    )

    found = rights(asked, Fences(has_apparmor=True))

    assert found.capabilities == ("CAP_BPF",)
    assert (found.seccomp, found.apparmor, found.no_new_privs) == ("unconfined", "mine", False)
    assert found.devices == (Device(source="/dev/a", target="/dev/b", access="r"),)


def test_capabilities_are_known_however_they_are_written() -> None:
    written = ContainerSpec(cap_add=("net_admin", "CAP_BPF"), cap_drop=("all",))

    assert set(rights(written, Fences()).capabilities) == {"CAP_NET_ADMIN", "CAP_BPF"}


def test_no_apparmor_is_no_profile() -> None:
    assert rights(ContainerSpec(apparmor="unconfined"), Fences()).apparmor == ""


def test_ids_are_remapped_unless_the_service_opts_out() -> None:
    remapping = Fences(user_namespace=REMAPPED)

    assert rights(ContainerSpec(), remapping).user_namespace == REMAPPED
    assert rights(ContainerSpec(host_user_namespace=True), remapping).user_namespace is None


def task(*networks: str, **fields: object) -> TaskSpec:
    return TaskSpec(container=ContainerSpec(**fields), networks=attached(*networks))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "fences", "path"),
    [
        (task(privileged=True), Fences(user_namespace=REMAPPED), "container.privileged"),
        (task("host"), Fences(user_namespace=REMAPPED), "networks"),
        (task(apparmor="mine"), Fences(), "container.apparmor"),
    ],
)
def test_what_a_node_refuses_says_where_and_why(spec: TaskSpec, fences: Fences, path: str) -> None:
    [problem] = unfit(spec, fences)

    assert problem.startswith(f"{path}: ")


@pytest.mark.parametrize(
    "spec",
    [
        task("host", privileged=True, host_user_namespace=True),
        task("none"),
        task(apparmor="unconfined"),
    ],
)
def test_what_a_remapping_node_takes(spec: TaskSpec) -> None:
    assert list(unfit(spec, Fences(user_namespace=REMAPPED))) == []


def test_devices_that_are_not_there_are_named() -> None:
    devices = [specs.Device(source=each, target=each) for each in ("/dev/a", "/dev/b")]

    found = absent_devices(devices, lambda path: "is gone" if path == "/dev/b" else "")

    assert list(found) == ["container.devices[1].source: /dev/b is gone"]
