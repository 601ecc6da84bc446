"""Containers whose root is nobody on the host."""

import subprocess
from pathlib import Path

import pytest

from runtime.oci.config import IdMapping
from runtime.spec import Device, File, Mount, UserNamespace
from swarm.errors import KernelRefused
from tests.kernel.machine import Machine
from tests.kernel.spawned import MAPPED

pytestmark = pytest.mark.kernel

NOBODYS = UserNamespace(uids=MAPPED, gids=MAPPED)


def test_root_is_root_inside_only(machine: Machine) -> None:
    bare = machine.base / "bare"
    bare.mkdir(mode=0o777)
    bare.chmod(0o777)

    _, output = machine.run(
        "sh", "-c", "id -u; touch /there/f; cat /proc/self/uid_map", user_namespace=NOBODYS,
        mounts=(Mount(source=str(bare), target="/there"),),
    )  # fmt: skip

    assert output.split() == ["0", "0", "100000", "65536"]
    assert (bare / "f").stat().st_uid == 100_000


def test_the_images_files_have_the_owners_that_the_image_says(machine: Machine) -> None:
    """Without a copy of the layers for each mapping: they are shown with other ids."""
    _, output = machine.run(
        "sh", "-c",
        "stat -c %u:%g / /bin/busybox /data/inner/file; busybox chown 5:6 /data && echo ok",
        user_namespace=NOBODYS,
    )  # fmt: skip

    assert output.split() == ["0:0", "0:0", "1000:1001", "ok"]
    assert (machine.image / "data").stat().st_uid == 0


def test_a_mapped_volume_is_written_with_the_containers_ids(machine: Machine) -> None:
    volume = machine.base / "volume"
    volume.mkdir()

    _, output = machine.run(
        "sh", "-c", "stat -c %u:%g /data/inner/file; touch /data/new",
        user_namespace=NOBODYS,
        mounts=(Mount(source=str(volume), target="/data", copy_up=True, mapped=True),),
    )  # fmt: skip

    assert output.split() == ["1000:1001"]
    assert (volume / "new").stat().st_uid == 0
    assert (volume / "inner/file").stat().st_uid == 1000


def test_a_bind_that_is_not_mapped_keeps_the_hosts_owners(machine: Machine) -> None:
    source = machine.base / "source"
    source.mkdir()

    _, output = machine.run(
        "sh", "-c", "stat -c %u /there; touch /there/f 2>/dev/null || echo refused",
        user_namespace=NOBODYS,
        mounts=(Mount(source=str(source), target="/there"),),
    )  # fmt: skip

    assert output.split()[0] == "65534"
    assert output.split()[-1] == "refused"


def test_devices_streams_and_files_of_ours_are_usable(machine: Machine) -> None:
    exited, output = machine.run(
        "sh", "-c",
        "set -e; echo x > /dev/null; dd if=/dev/zero of=/dev/null count=1 2>/dev/null;"
        "echo direct > /dev/stdout; cat /etc/hosts; stat -c %u /etc/hosts; test -c /dev/fuse0",
        user_namespace=NOBODYS, files=(File(path="/etc/hosts", content="hosts\n"),),
        devices=(Device(source="/dev/zero", target="/dev/fuse0"),),
    )  # fmt: skip

    assert output.split() == ["direct", "hosts", "0"]
    assert exited.exit_code == 0


def test_no_device_can_be_made_and_nothing_of_the_host_owned(machine: Machine) -> None:
    _, output = machine.run(
        "sh", "-c", "mknod /d c 1 3 || echo no; echo 1 > /proc/sys/kernel/msgmax || echo no",
        user_namespace=NOBODYS,
    )  # fmt: skip

    assert [line for line in output.splitlines() if line == "no"] == ["no", "no"]


@pytest.mark.parametrize("network", ["own", "host", "joined"])
def test_every_kind_of_network_works(machine: Machine, network: str) -> None:
    fields: dict[str, object] = {"host_network": network == "host"}
    if network == "joined":
        subprocess.run(["ip", "netns", "add", machine.cgroup_parent], check=True)
        fields = {"network_namespace": f"/run/netns/{machine.cgroup_parent}"}
    try:
        exited, output = machine.run(
            "sh", "-c", "readlink /proc/self/ns/net; ls /sys/class/net | grep -w lo",
            user_namespace=NOBODYS, **fields,
        )  # fmt: skip
    finally:
        if network == "joined":
            subprocess.run(["ip", "netns", "del", machine.cgroup_parent], check=True)

    assert exited.exit_code == 0
    assert output.split()[1] == "lo"
    own = str(Path("/proc/self/ns/net").readlink())
    assert (output.split()[0] == own) is (network == "host")


def test_a_user_of_the_image_is_mapped_as_well(machine: Machine) -> None:
    _, output = machine.run("sh", "-c", "id -u; pwd", user="app", user_namespace=NOBODYS)

    assert output.split() == ["1000", "/"]


def test_ids_that_the_namespace_has_not_are_refused_by_name(machine: Machine) -> None:
    few = (IdMapping(container_id=0, host_id=100_000, size=1),)

    with pytest.raises(KernelRefused, match="set identity"):
        machine.run("true", user="app", user_namespace=UserNamespace(uids=few, gids=MAPPED))
