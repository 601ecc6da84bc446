"""The swarm itself through Docker's API, before a real manager."""

from pathlib import Path
from typing import Any

import pytest

from swarm.api.v1 import daemon_pb2, specs_pb2
from swarm.codec import from_message
from swarm.specs import ClusterSpec, Role
from tests.engine.io.world import World, tell


def test_the_swarm_is_told_with_its_tokens(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        found = await world.get("/swarm")

        assert found["ID"] == "cluster"
        assert found["JoinTokens"]["Worker"] == (await world.swarm.token()).text
        assert found["JoinTokens"]["Manager"] == (await world.swarm.token(Role.MANAGER)).text
        assert found["DefaultAddrPool"] == ["10.0.0.0/8"]
        assert (found["SubnetSize"], found["DataPathPort"]) == (24, 4789)
        assert found["RootRotationInProgress"] is False
        assert found["Spec"]["Name"] == "default"
        assert found["Spec"]["Orchestration"] == {"TaskHistoryRetentionLimit": 5}
        assert found["Spec"]["Dispatcher"] == {"HeartbeatPeriod": 1_000_000_000}
        assert found["Spec"]["EncryptionConfig"] == {"AutoLockManagers": False}
        assert await world.get("/swarm/unlockkey") == {"UnlockKey": ""}

    tell(tmp_path, story)


def test_settings_and_tokens_change_together(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        before = await world.get("/swarm")
        version = before["Version"]["Index"]
        wanted = before["Spec"] | {"Orchestration": {"TaskHistoryRetentionLimit": 9}}

        await world.ask("POST", "/swarm/update", wanted, version=version, rotateWorkerToken="true")

        after = await world.get("/swarm")
        assert after["Spec"]["Orchestration"] == {"TaskHistoryRetentionLimit": 9}
        assert after["Version"]["Index"] > version
        assert after["JoinTokens"]["Worker"] != before["JoinTokens"]["Worker"]
        assert after["JoinTokens"]["Manager"] == before["JoinTokens"]["Manager"]
        late = await world.refused("POST", "/swarm/update", wanted, version=version)
        assert late.endswith("update out of sequence")

    tell(tmp_path, story)


def test_what_a_client_leaves_out_stays(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        before = await world.get("/swarm")
        spec = {
            "Raft": {"SnapshotInterval": 5000, "LogEntriesForSlowFollowers": 1200},
            "Labels": {"a": "b"},
            "PrometheusURL": "http://prometheus:9090",
        }
        await world.ask("POST", "/swarm/update", spec, version=before["Version"]["Index"])
        index = (await world.get("/swarm"))["Version"]["Index"]

        await world.ask(
            "POST", "/swarm/update", {"CAConfig": {"NodeCertExpiry": 10**13}}, version=index
        )

        found = (await world.get("/swarm"))["Spec"]
        assert found["Raft"]["SnapshotInterval"] == 5000
        assert found["Raft"]["LogEntriesForSlowFollowers"] == 1200
        assert found["CAConfig"]["NodeCertExpiry"] == 10**13
        assert found["Labels"] == {"a": "b"}
        assert found["PrometheusURL"] == "http://prometheus:9090"
        assert found["Orchestration"] == before["Spec"]["Orchestration"]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"EncryptionConfig": {"AutoLockManagers": True}}, "EncryptionConfig.AutoLockManagers"),
        ({"CAConfig": {"ExternalCAs": [{"URL": "https://ca"}]}}, "CAConfig.ExternalCAs"),
        ({"CAConfig": {"SigningCAKey": "x"}}, "CAConfig.SigningCACert"),
        ({"CAConfig": {"ForceRotate": 1}}, "CAConfig.ForceRotate"),
        ({"Raft": {"ElectionTick": 3}}, "Raft.ElectionTick"),
        ({"TaskDefaults": {"LogDriver": {"Name": "syslog"}}}, "TaskDefaults.LogDriver"),
        ({"Name": "mine"}, "Name: a swarm is called default"),
        ({"Dispatcher": {"HeartbeatPeriod": 1}}, "heartbeat_s"),
    ],
)
def test_what_no_swarm_can_do_is_refused_by_name(
    tmp_path: Path, spec: dict[str, Any], words: str
) -> None:
    async def story(world: World) -> None:
        version = (await world.get("/swarm"))["Version"]["Index"]

        refused = await world.refused("POST", "/swarm/update", spec, version=version)

        assert refused.startswith("400 ")
        assert words in refused
        assert (await world.get("/swarm"))["Version"]["Index"] == version

    tell(tmp_path, story)


def test_a_swarm_is_made_as_was_asked(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.daemon.role = None
        answer = await world.ask(
            "POST",
            "/swarm/init",
            {
                "ListenAddr": "0.0.0.0:2377",
                "AdvertiseAddr": "192.0.2.1",
                "DataPathAddr": "192.0.2.2",
                "DataPathPort": 4242,
                "DefaultAddrPool": ["172.20.0.0/14"],
                "SubnetSize": 26,
                "Availability": "drain",
                "Spec": {"Orchestration": {"TaskHistoryRetentionLimit": 2}},
            },
        )

        assert answer == "manager-1"
        (asked,) = world.daemon.asked
        assert asked.advertise_addr == "192.0.2.1"
        assert asked.data_path_addr == "192.0.2.2"
        assert asked.availability == specs_pb2.AVAILABILITY_DRAIN
        assert from_message(ClusterSpec, asked.spec) == ClusterSpec(
            address_pools=("172.20.0.0/14",),
            subnet_bits=26,
            data_path_port=4242,
            task_history_limit=2,
        )

    tell(tmp_path, story)


@pytest.mark.parametrize("field", ["ForceNewCluster", "AutoLockManagers"])
def test_no_swarm_is_made_that_would_not_be_as_asked(tmp_path: Path, field: str) -> None:
    async def story(world: World) -> None:
        world.daemon.role = None

        refused = await world.refused("POST", "/swarm/init", {field: True})

        assert refused.startswith(f"400 {field}: ")
        assert not world.daemon.asked

    tell(tmp_path, story)


def test_whoever_answers_is_joined(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.daemon.role = None
        world.daemon.silent = {"192.0.2.1:2377"}
        asked = {"JoinToken": "t", "RemoteAddrs": ["192.0.2.1:2377", "192.0.2.2:2377"]}

        assert await world.ask("POST", "/swarm/join", asked) == b""

        assert [each.manager_addr for each in world.daemon.asked] == asked["RemoteAddrs"]
        assert world.daemon.role is Role.WORKER

    tell(tmp_path, story)


def test_a_node_is_in_one_swarm_at_most_and_in_none_twice(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        init = await world.refused("POST", "/swarm/init", {})
        join = await world.refused("POST", "/swarm/join", {"RemoteAddrs": ["192.0.2.1"]})
        leave = await world.refused("POST", "/swarm/leave")
        assert not world.daemon.asked
        await world.ask("POST", "/swarm/leave", force="1")
        again = await world.refused("POST", "/swarm/leave", force="1")

        assert init.startswith("503 This node is already part of a swarm.")
        assert join.startswith("503 This node is already part of a swarm.")
        assert leave.startswith("503 You are attempting to leave the swarm on a node that is")
        assert again == "503 This node is not part of a swarm"
        assert world.daemon.asked == [daemon_pb2.LeaveRequest(force=True)]

    tell(tmp_path, story)
