"""From `service create` to the kernel: what a container may do, on two real hosts.

The second host gives containers ids of their own.
"""

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.hosts import Host, Lan, wait_for
from tests.images import docker_archive

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

FIRST_ID = 1_000_000
DEVICE = Path("/dev/fuse").stat()  # none that every container has
SLEEP = "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"


class Pair:
    """A manager whose containers have the host's ids, and a worker whose containers have not."""

    def __init__(self, lan: Lan) -> None:
        self.lan = lan
        self.plain, self.remapped = lan.hosts
        self.plain.start()
        self.plain.ctl("init", "--advertise-addr", self.plain.ip)
        self.remapped.start("--userns-remap", f"{FIRST_ID}:65536")
        token = self.plain.ctl("join-token", "-q", "worker").stdout.strip()
        address = f"{self.plain.ip}:2377"
        self.remapped.ctl(
            "join", "--token", token, "--advertise-addr", self.remapped.ip, address
        )  # fmt: skip
        archive = docker_archive(lan.base / "busy.tar", "busy:1", cmd=("sh", "-c", SLEEP))
        for host in lan.hosts:
            host.ctl("image", "load", "-i", str(archive))

    def create(self, host: Host, *flags: str, script: str = SLEEP) -> int:
        """Run one task on `host`; the pid of its process 1."""
        self.plain.ctl(
            "service", "create", "-q", "--name", "one", "--constraint",
            f"node.hostname=={host.name}", *flags, "busy:1", "sh", "-c", script,
        )  # fmt: skip
        [pid] = host.containers().values()
        return pid

    def said(self, lines: int = 1) -> list[str]:
        """The first lines that the task wrote."""

        def read() -> list[str]:
            return self.plain.ctl("service", "logs", "--raw", "one").stdout.splitlines()

        return wait_for("output", lambda: len(found := read()) >= lines and found, within_s=30)

    def tasks(self) -> list[dict[str, Any]]:
        """What `service ps` shows."""
        lines = self.plain.ctl(
            "service", "ps", "one", "--no-trunc", "--format", "{{json .}}"
        ).stdout  # fmt: skip
        return [json.loads(line) for line in lines.splitlines()]

    def rejected(self) -> dict[str, Any] | None:
        """A task that its node has rejected."""
        found = [each for each in self.tasks() if "Rejected" in each["CurrentState"]]
        return found[0] if found else None


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    lan = Lan(Path(tempfile.mkdtemp(prefix="swarm-cluster-")), hosts=2)
    try:
        yield Pair(lan)
    finally:
        lan.close()


@pytest.fixture(autouse=True)
def the_service_ends(pair: Pair) -> Iterator[None]:
    yield
    pair.plain.ctl("service", "rm", "one", check=False)
    wait_for(
        "containers gone",
        lambda: not any(host.containers() for host in pair.lan.hosts),
        within_s=60,
    )


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def mapping(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/uid_map").read_text().split()


def test_a_container_is_fenced_in_by_default(pair: Pair) -> None:
    found = status(pair.create(pair.plain))

    assert found["CapEff"] == found["CapBnd"] == "00000000a80425fb"
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2"


def test_capabilities_are_dropped_and_added(pair: Pair) -> None:
    found = status(pair.create(pair.plain, "--cap-drop", "all", "--cap-add", "kill"))

    assert {found[each] for each in ("CapEff", "CapPrm", "CapBnd")} == {"0000000000000020"}


def test_no_capability_is_really_none(pair: Pair) -> None:
    found = status(pair.create(pair.plain, "--cap-drop", "ALL"))

    assert {found[each] for each in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {
        "0" * 16
    }


def test_a_privileged_container_has_what_the_runtime_has(pair: Pair) -> None:
    pid = pair.create(pair.plain, "--privileged", script=f"ls /dev | wc -l; {SLEEP}")

    found = status(pid)
    own = int(Path("/proc/self/status").read_text().partition("CapBnd:\t")[2][:16], 16)
    assert int(found["CapEff"], 16) == own
    assert (found["Seccomp"], found["NoNewPrivs"]) == ("0", "0")
    assert int(pair.said()[0]) > 20, "it sees the devices of the host"


def test_a_device_of_the_host_is_there_with_the_access_that_was_given(pair: Pair) -> None:
    major, minor = os.major(DEVICE.st_rdev), os.minor(DEVICE.st_rdev)
    script = (
        "stat -c %t:%T /dev/given; { true < /dev/given; } && echo read; "
        f"{{ true > /dev/given; }} 2>/dev/null || echo refused; {SLEEP}"
    )
    pair.create(pair.plain, "--device", "/dev/fuse:/dev/given:r", script=script)

    assert pair.said(3) == [f"{major:x}:{minor:x}", "read", "refused"]


def test_a_device_that_a_node_lacks_is_a_rejection_with_its_name(pair: Pair) -> None:
    """The device is there when the service is made, and gone when its next task is prepared."""
    link = pair.lan.base / "device"
    link.symlink_to("/dev/zero")
    pair.create(pair.plain, "--device", f"{link}:/dev/x", "--restart-delay", "0s")
    link.unlink()

    for pid in pair.plain.containers().values():
        os.kill(pid, signal.SIGKILL)

    task = wait_for("rejected", pair.rejected, within_s=30)
    assert f"container.devices[0].source: {link} cannot be used" in task["Error"]


def test_a_profile_of_ones_own_filters_system_calls(pair: Pair) -> None:
    profile = pair.lan.base / "profile.json"
    rules = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))

    pair.create(
        pair.plain, "--security-opt", f"seccomp={profile}",
        script=f"mkdir /tmp/x 2>/dev/null || echo refused; {SLEEP}",
    )  # fmt: skip

    assert pair.said() == ["refused"]
    detail = pair.plain.json("service", "inspect", "one")
    privileges = detail[0]["Spec"]["TaskTemplate"]["ContainerSpec"]["Privileges"]
    assert privileges["Seccomp"]["Mode"] == "custom"


def test_an_unconfined_container_has_no_filter(pair: Pair) -> None:
    assert status(pair.create(pair.plain, "--security-opt", "seccomp=unconfined"))["Seccomp"] == "0"


def test_new_privileges_can_be_allowed(pair: Pair) -> None:
    pid = pair.create(pair.plain, "--security-opt", "no-new-privileges:false")

    assert status(pid)["NoNewPrivs"] == "0"


def test_a_terminal_is_one(pair: Pair) -> None:
    pair.create(pair.plain, "--tty", script=f"test -t 1 && echo terminal; {SLEEP}")

    assert pair.said()[0].strip() == "terminal"


def test_root_inside_is_nobody_outside(pair: Pair) -> None:
    """One image, on a host with its own ids and on one that remaps them.

    1. The container is root for itself: it owns its files and may change them.
    2. For the host it is an ordinary user, and so is whoever is root in its volume.
    3. The image's layers on disk are still the host root's, unpacked once.
    """
    script = (
        "id -u; touch /made /keep/made; stat -c %u /bin /made /keep/made; chown 1:1 /keep/made; "
        f"stat -c %u /keep/made; {SLEEP}"
    )
    pid = pair.create(
        pair.remapped, "--mount", "type=volume,source=keep,target=/keep", script=script
    )  # fmt: skip

    assert pair.said(5) == ["0", "0", "0", "0", "1"]
    assert status(pid)["Uid"].split() == [str(FIRST_ID)] * 4
    assert mapping(pid) == ["0", str(FIRST_ID), "65536"]
    layers = pair.remapped.data_root / "agent/images/layers"
    assert {each.stat().st_uid for each in layers.rglob("busybox")} == {0}


def test_what_joins_a_container_is_fenced_as_it_is(pair: Pair) -> None:
    """A health check and an exec have the ids and the rights of the container, and no more."""
    fences = "grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' /proc/self/status"
    pair.create(
        pair.remapped, "--cap-drop", "ALL", "--health-interval", "200ms", "--health-cmd",
        f"{fences} > /tmp/new && busybox mv /tmp/new /tmp/check", script=f"{fences}; {SLEEP}",
    )  # fmt: skip

    own = pair.said(4)
    joined = pair.plain.ctl("exec", "one", "sh", "-c", fences).stdout.splitlines()
    checked = pair.plain.ctl("exec", "one", "cat", "/tmp/check").stdout.splitlines()

    assert own[1] == f"CapEff:\t{'0' * 16}"
    assert joined == own
    assert checked == own


def test_a_bind_keeps_its_owners_so_a_remapped_root_cannot_write_it(pair: Pair) -> None:
    source = pair.lan.base / "source"
    source.mkdir(mode=0o755)

    pair.create(
        pair.remapped, "--mount", f"type=bind,source={source},target=/bound",
        script=f"stat -c %u /bound; touch /bound/x 2>/dev/null || echo refused; {SLEEP}",
    )  # fmt: skip

    assert pair.said(2) == ["65534", "refused"]
    assert not list(source.iterdir())


def test_a_service_may_opt_out_of_remapped_ids(pair: Pair) -> None:
    pid = pair.create(pair.remapped, "--userns", "host", "--privileged")

    assert mapping(pid) == mapping(1)
    assert status(pid)["Uid"].split() == ["0"] * 4


def test_the_hosts_network_finds_no_node_that_remaps_ids_and_is_told_the_way_out(
    pair: Pair,
) -> None:
    pair.plain.ctl(
        "service", "create", "-q", "-d", "--name", "one", "--network", "host",
        "--constraint", "node.hostname==host2", "busy:1",
    )  # fmt: skip

    def pending() -> dict[str, Any] | None:
        [task] = pair.tasks() or [{"CurrentState": ""}]
        return task if task["CurrentState"].startswith("Pending") and task["Error"] else None

    task = wait_for("pending", pending, within_s=30)
    assert "ids are remapped on 1 node, which --userns host avoids" in task["Error"]


def test_a_service_that_needs_the_hosts_ids_goes_where_they_are(pair: Pair) -> None:
    pair.plain.ctl(
        "service", "create", "-q", "--name", "one", "--replicas", "4", "--network", "host", "busy:1"
    )  # fmt: skip

    assert {task["Node"] for task in pair.tasks()} == {"host1"}


def test_privileged_on_nodes_that_all_remap_is_refused_at_once(pair: Pair) -> None:
    done = pair.plain.ctl(
        "service", "create", "-q", "--name", "one", "--privileged",
        "--constraint", "node.hostname==host2", "busy:1", check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "--privileged: contradicts this node's remapped ids" in done.stderr


def test_a_node_says_how_it_fences_containers_in(pair: Pair) -> None:
    [found] = pair.plain.json("node", "inspect", "host2")

    options = found["Description"]["SecurityOptions"]
    assert f"name=userns,uids={FIRST_ID}:65536" in options
    assert "name=seccomp,profile=builtin" in options
