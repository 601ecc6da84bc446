"""What a client writes of a container, and what it reads again."""

from typing import Any

import pytest

from engine.containers import creating, inspection
from engine.versions import LATEST, Version
from engine.wire.containers import CreateJson
from engine.wire.decoding import convert
from swarm.errors import Invalid
from swarm.specs import Device, MountKind, Port, Protocol, PublishMode, Ulimit
from swarm.standalone import (
    ContainerNetwork,
    DeviceRate,
    DeviceRateKind,
    PortSpan,
    Restarting,
    StandaloneSpec,
)


def made(version: Version = LATEST, **fields: Any) -> StandaloneSpec:
    asked = convert(CreateJson, {"Image": "busybox"} | fields)
    return creating.read_spec(asked, name="web", version=version)


def hosted(**fields: Any) -> StandaloneSpec:
    return made(HostConfig=fields)


def refused(**fields: Any) -> str:
    with pytest.raises(Invalid) as caught:
        hosted(**fields)
    return caught.value.message


@pytest.mark.parametrize(
    ("entrypoint", "command"),
    [(None, ()), ("sh", ("sh",)), (["a", "b"], ("a", "b")), ([], ("",)), ([""], ("",))],
)
def test_no_entrypoint_is_not_the_images(entrypoint: object, command: tuple[str, ...]) -> None:
    assert made(Entrypoint=entrypoint).container.command == command


def test_the_last_value_of_a_variable_counts() -> None:
    assert made(Env=["A=1", "B", "A=2"]).container.env == ("A=2", "B")


def test_published_ports_are_numbers_spans_or_any() -> None:
    spec = hosted(
        PortBindings={
            "80/tcp": [{"HostPort": "8080", "HostIp": "127.0.0.1"}, {"HostPort": ""}],
            "53/UDP": [{"HostPort": "5000-5010"}],
            "9": None,
        }
    )

    port = {"mode": PublishMode.HOST}
    assert spec.ports == (
        Port(target=80, published=8080, ip="127.0.0.1", **port), Port(target=80, **port),
        Port(target=9, **port),
    )  # fmt: skip
    assert spec.port_spans == (
        PortSpan(port=Port(target=53, published=5000, protocol=Protocol.UDP, **port), last=5010),
    )
    assert inspection.write_host_config(spec)["PortBindings"] == {
        "80/tcp": [
            {"HostIp": "127.0.0.1", "HostPort": "8080"}, {"HostIp": "", "HostPort": ""},
        ],
        "9/tcp": [{"HostIp": "", "HostPort": ""}],
        "53/udp": [{"HostIp": "", "HostPort": "5000-5010"}],
    }  # fmt: skip


@pytest.mark.parametrize("port", ["x", "0", "65536", "80/http", "90-80", "80-90", "", "-1/tcp"])
def test_what_is_no_port_is_refused(port: str) -> None:
    assert "invalid port specification" in refused(PortBindings={port: [{"HostPort": "1"}]})


def test_ranges_of_exposed_ports_are_each_of_them() -> None:
    assert made(ExposedPorts={"7000-7002": {}, "53/udp": {}}).exposed == (
        "7000/tcp", "7001/tcp", "7002/tcp", "53/udp",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("memory", "total", "swap", "shown"),
    [
        (64 << 20, 0, 64 << 20, 128 << 20),
        (64 << 20, 64 << 20, 0, 64 << 20),
        (64 << 20, 96 << 20, 32 << 20, 96 << 20),
        (64 << 20, -1, -1, -1),
        (0, -1, -1, -1),
        (0, 0, 0, 0),
    ],
)
def test_swap_is_counted_with_memory_there_and_without_it_here(
    memory: int, total: int, swap: int, shown: int
) -> None:
    spec = hosted(Memory=memory, MemorySwap=total)

    assert (spec.limits.memory_bytes, spec.limits.swap_bytes) == (memory, swap)
    assert inspection.write_host_config(spec)["MemorySwap"] == shown


@pytest.mark.parametrize(
    ("nano", "millis"), [(0, 0), (500_000_000, 500), (1, 10), (1_500_400_000, 1500)]
)
def test_cores_are_thousandths_and_never_rounded_to_none(nano: int, millis: int) -> None:
    assert hosted(NanoCpus=nano).limits.cpu_millis == millis


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"Memory": 5 << 20}, "Minimum memory limit allowed is 6MB"),
        ({"MemorySwap": 1}, "You should always set the Memory limit"),
        ({"Memory": 64 << 20, "MemorySwap": 32 << 20}, "Minimum memoryswap limit"),
        ({"MemorySwappiness": 101}, "valid memory swappiness range is 0-100"),
        ({"NanoCpus": 1, "CpuPeriod": 1000}, "Nano CPUs and CPU Period cannot both be set"),
        ({"CpuQuota": 1}, "CPU cfs quota"),
        ({"BlkioWeight": 5}, "Range of blkio weight"),
        ({"DeviceRequests": [{"Count": -1}]}, "DeviceRequests"),
        ({"RestartPolicy": {"Name": "sometimes"}}, "unknown policy 'sometimes'"),
        ({"RestartPolicy": {"Name": "always", "MaximumRetryCount": 1}}, "maximum retry count"),
        ({"AutoRemove": True, "RestartPolicy": {"Name": "always"}}, "can't create 'AutoRemove'"),
        ({"Runtime": "kata"}, "unknown or invalid runtime name: kata"),
        ({"LogConfig": {"Type": "syslog"}}, "no log driver named 'syslog' is registered"),
        ({"PidMode": "container:"}, "invalid PID mode"),
        ({"IpcMode": "x"}, "invalid IPC mode"),
        ({"UTSMode": "x"}, "invalid UTS mode"),
        ({"UsernsMode": "x"}, "invalid user namespace mode"),
        ({"CgroupnsMode": "x"}, "invalid cgroup namespace mode"),
        ({"SecurityOpt": ["x=y"]}, "invalid --security-opt"),
        ({"SecurityOpt": ["no-new-privileges=maybe"]}, "invalid --security-opt"),
        ({"CapAdd": ["FLY"]}, "invalid CapAdd: there is no capability 'FLY'"),
        ({"ExtraHosts": ["x"]}, "bad format for add-host"),
        ({"ShmSize": -1}, "ShmSize"),
        ({"OomScoreAdj": 1001}, "range for oom score adj"),
        ({"Annotations": {"": "x"}}, "invalid Annotations"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(fields: dict[str, Any], words: str) -> None:
    assert words in refused(**fields)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ("", "", True)),
        (["no-new-privileges"], ("", "", False)),
        (["no-new-privileges:true", "no-new-privileges=false"], ("", "", True)),
        (["seccomp=unconfined", "apparmor:mine", "label=disable"], ("unconfined", "mine", True)),
        (["seccomp=builtin"], ("", "", True)),
    ],
)
def test_security_options_come_to_profiles_and_rights(
    options: list[str], expected: tuple[str, str, bool]
) -> None:
    spec = hosted(SecurityOpt=options)
    container = spec.container

    assert (container.seccomp, container.apparmor, container.allow_new_privileges) == expected
    assert spec.security_options == tuple(options)


def test_paths_of_one_kind_leave_those_of_the_other_as_they_are() -> None:
    assert not hosted().has_paths
    bare = hosted(MaskedPaths=[])
    assert bare.has_paths
    assert bare.masked_paths == ()
    assert "/proc/sys" in bare.readonly_paths
    shown = inspection.write_host_config(bare)
    assert (shown["MaskedPaths"], shown["ReadonlyPaths"]) == ([], list(bare.readonly_paths))
    assert inspection.write_host_config(hosted(Privileged=True))["MaskedPaths"] is None
    assert hosted(SecurityOpt=["systempaths=unconfined"]).readonly_paths == ()


def test_networks_begin_with_the_one_that_was_named() -> None:
    ends = {"EndpointsConfig": {"front": {"Aliases": ["a", "a"], "IPAMConfig": None}}}
    assert made(NetworkingConfig=ends).network_mode == "front"
    assert made(NetworkingConfig=ends).networks == (
        ContainerNetwork(network="front", aliases=("a",)),
    )
    assert hosted(NetworkMode="default").network_mode == "bridge"
    assert made(NetworkDisabled=True).network_mode == "none"
    default = {"EndpointsConfig": {"default": {"IPAMConfig": {"IPv4Address": "10.0.0.9"}}}}
    assert made(NetworkingConfig=default).networks == (
        ContainerNetwork(network="bridge", ipv4_address="10.0.0.9"),
    )


def test_old_clients_name_one_network_at_most() -> None:
    ends = {"EndpointsConfig": {"a": {}, "b": None}}

    with pytest.raises(Invalid, match="cannot be connected to network endpoints: a, b"):
        made(Version(1, 43), NetworkingConfig=ends)
    assert len(made(Version(1, 44), NetworkingConfig=ends).networks) == 2


def test_all_else_is_carried_over_and_shown_again() -> None:
    spec = hosted(
        Binds=["v:/d:ro"], Devices=[{"PathOnHost": "/dev/fuse"}], Tmpfs={"/t": "size=1m"},
        Ulimits=[{"Name": "nofile", "Soft": 1}], RestartPolicy={"Name": "on-failure",
        "MaximumRetryCount": 3}, ExtraHosts=["a=::1", "b:10.0.0.1"], CapAdd=["net_admin"],
        BlkioDeviceReadBps=[{"Path": "/dev/sda", "Rate": 9}], Mounts=[{"Type": "tmpfs",
        "Target": "/m"}], PidsLimit=7, Init=True, Isolation="default", CgroupParent="/x",
    )  # fmt: skip

    assert spec.container.devices == (Device(source="/dev/fuse", target="/dev/fuse"),)
    assert spec.container.ulimits == (Ulimit(name="nofile", soft=1, hard=1),)
    assert spec.container.hosts == ("a:::1", "b:10.0.0.1")
    assert spec.container.mounts[0].kind is MountKind.TMPFS
    assert spec.restart.condition is Restarting.ON_FAILURE
    assert spec.device_rates == (
        DeviceRate(path="/dev/sda", kind=DeviceRateKind.READ_BYTES, rate=9),
    )
    shown = inspection.write_host_config(spec)
    assert shown["Binds"] == ["v:/d:ro"]
    assert shown["Tmpfs"] == {"/t": "size=1m"}
    assert shown["CapAdd"] == ["net_admin"]
    assert shown["BlkioDeviceReadBps"] == [{"Path": "/dev/sda", "Rate": 9}]
    assert shown["Mounts"] == [{"Type": "tmpfs", "Target": "/m"}]
    assert (shown["PidsLimit"], shown["Init"], shown["Isolation"]) == (7, True, "default")
    assert shown["CgroupParent"] == "/x"
