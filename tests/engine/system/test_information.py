"""What clients are told of the engine, its host and its disk."""

import json

from engine.config import Config
from engine.system import information
from engine.system.host import Host, read_memory, read_release
from engine.system.information import Found
from engine.system.usage import Everything, write_usage
from engine.versions import LATEST
from engine.wire.system import LoginJson
from swarm.api.v1 import (
    builds_pb2,
    containers_pb2,
    control_pb2,
    daemon_pb2,
    images_pb2,
    specs_pb2,
    volumes_pb2,
)

HOST = Host(
    kernel="6.1", architecture="amd64", system="Debian", system_version="12", cpus=2,
    memory_bytes=1 << 30, machine_id="m", has_cgroup_v2=False,
    controls=frozenset({"memory.limit_in_bytes", "cpu.cfs_quota_us", "cpu.shares", "pids"}),
    forwards_ipv4=True,
)  # fmt: skip
CONFIG = Config(
    swarmd_socket="/s", agent_socket="/a", identity="/i", data_root="/d", run_root="/r",
    hostname="host1", labels={"rack": "r1"}, insecure_registries=("r:5000",),
)  # fmt: skip


def shown(found: Found) -> dict[str, object]:
    return information.write_info(found, HOST, CONFIG, now=0.0)


def container(state: int) -> containers_pb2.ContainerView:
    return containers_pb2.ContainerView(id=str(state), state=state)  # type: ignore[arg-type]


def test_containers_are_counted_by_how_they_are() -> None:
    views = tuple(container(state) for state in (0, 1, 1, 2, 3, 5))

    found = shown(Found(status=daemon_pb2.GetStatusResponse(), containers=views, images=4))

    assert (found["Containers"], found["ContainersRunning"]) == (6, 3)
    assert (found["ContainersPaused"], found["ContainersStopped"]) == (1, 2)
    assert (found["Images"], found["Labels"]) == (4, ["rack=r1"])


def test_limits_are_those_that_the_kernel_has() -> None:
    found = shown(Found(status=daemon_pb2.GetStatusResponse()))

    assert (found["MemoryLimit"], found["SwapLimit"], found["PidsLimit"]) == (True, False, True)
    assert found["Warnings"] == ["WARNING: No swap limit support"]


def test_a_lone_node_is_in_no_swarm_and_a_manager_tells_of_all() -> None:
    lone = shown(Found(status=daemon_pb2.GetStatusResponse()))["Swarm"]
    assert isinstance(lone, dict)
    assert (lone["LocalNodeState"], lone["ControlAvailable"]) == ("inactive", False)
    node = control_pb2.NodeView(manager_addr="10.0.0.1:2377")
    node.node.id, node.node.spec.role = "n1", specs_pb2.ROLE_MANAGER
    status = daemon_pb2.GetStatusResponse(
        node_id="n1", role=specs_pb2.ROLE_MANAGER, advertise_addr="[fd00::1]:2377"
    )
    managed = shown(Found(status=status, nodes=(node,), cluster={"ID": "c1"}))["Swarm"]
    assert isinstance(managed, dict)
    assert (managed["NodeAddr"], managed["Nodes"], managed["Managers"]) == ("fd00::1", 1, 1)
    assert managed["RemoteManagers"] == [{"NodeID": "n1", "Addr": "10.0.0.1:2377"}]
    cut = shown(Found(status=status, error="no leader"))["Swarm"]
    assert isinstance(cut, dict)
    assert (cut["LocalNodeState"], cut["ControlAvailable"]) == ("error", False)


def test_an_engine_keeps_its_id() -> None:
    assert information.engine_id(HOST, CONFIG) == information.engine_id(HOST, CONFIG)


def test_hosts_are_read_from_their_files() -> None:
    assert read_release('NAME=x\nPRETTY_NAME="Debian 12"\nVERSION_ID=12\nodd\n') == (
        "Debian 12", "12",
    )  # fmt: skip
    assert read_memory("MemFree: 1 kB\nMemTotal:       2048 kB\n") == 2 << 20


def test_a_registry_is_named_by_its_host() -> None:
    assert LoginJson(serveraddress="https://index.docker.io/v1/").registry == "docker.io"
    assert LoginJson(serveraddress="r:5000").registry == "r:5000"
    assert LoginJson().registry == "docker.io"


def test_layers_that_images_share_are_added_once() -> None:
    def inspected(letter: str, *layers: str) -> images_pb2.InspectImageResponse:
        config = {"rootfs": {"diff_ids": [f"sha256:{each * 64}" for each in layers]}}
        return images_pb2.InspectImageResponse(
            image=images_pb2.Image(id=letter, references=[f"{letter}:1"]),
            config_json=json.dumps(config).encode(),
            layer_bytes=[10] * len(layers),
        )

    found = Everything(
        containers=(containers_pb2.ContainerView(id="x", image_id="a", written_bytes=3),),
        inspected=[inspected("a", "1", "2"), inspected("b", "1")],
        volumes=(volumes_pb2.Volume(name="v", size_bytes=7, users=["x"]),),
        cached=(builds_pb2.BuildCacheRecord(id="c", size_bytes=5),),
    )
    found.images = tuple(each.image for each in found.inspected)

    usage = write_usage(found, now=0.0, version=LATEST)

    assert usage["LayersSize"] == 20
    assert [each["SharedSize"] for each in usage["Images"]] == [10, 10]
    assert [each["Containers"] for each in usage["Images"]] == [1, 0]
    assert usage["Containers"][0]["SizeRw"] == 3
    assert usage["Volumes"][0]["UsageData"] == {"Size": 7, "RefCount": 1}
    assert ([each["ID"] for each in usage["BuildCache"]], usage["BuilderSize"]) == (["c"], 5)


def test_only_what_was_asked_for_is_added_up() -> None:
    usage = write_usage(Everything(kinds=frozenset({"volume"})), now=0.0, version=LATEST)

    assert set(usage) == {"Volumes"}
