"""What flags ask of the kernel is so in a container: from the command line to its inside."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.specs import ServiceSpec
from tests.flags.lab import Lab, kernel, laboratory
from tests.kernel.machine import Machine

pytestmark = pytest.mark.kernel


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path) as made:
        yield made


def inside(machine: Machine, spec: ServiceSpec, script: str) -> str:
    """What `script` prints in the container of a service."""
    made = kernel(spec).spec
    of_the_machine = ("id", "args", "rootfs", "log", "cgroup_parent", "health", "mounts")
    fields = {
        name: getattr(made, name) for name in made.__struct_fields__ if name not in of_the_machine
    }
    exited, output = machine.run("sh", "-c", script, **fields)
    assert exited.exit_code == 0, output
    return output


def test_the_resolver_is_what_the_flags_say(lab: Lab, machine: Machine) -> None:
    spec = lab.created("--dns", "9.9.9.9", "--dns-search", "lan", "--dns-option", "ndots:3")

    assert inside(machine, spec, "cat /etc/resolv.conf") == (
        "nameserver 9.9.9.9\nsearch lan\noptions ndots:3\n"
    )


def test_a_container_is_as_its_flags_say(lab: Lab, machine: Machine) -> None:
    words = "--hostname h1 --env A=1 --workdir /tmp --ulimit nofile=77:88 --oom-score-adj 300"
    spec = lab.created(*words.split(), "--host", "db:10.1.1.1", "--read-only", "--init")

    output = inside(
        machine,
        spec,
        "hostname; echo $A; pwd; ulimit -n; cat /proc/self/oom_score_adj; grep db /etc/hosts; "
        "touch /x 2>/dev/null || echo read-only; cat /proc/1/comm",
    )

    lines = output.splitlines()
    assert lines[:5] == ["h1", "1", "/tmp", "77", "300"]
    assert lines[5].split() == ["10.1.1.1", "db"]
    assert lines[6] == "read-only"
    assert lines[7] != "sh"


def test_limits_are_as_the_flags_say(lab: Lab, machine: Machine) -> None:
    if not machine.layout.v1:
        pytest.skip("the files have other names with cgroup v2")
    words = "--limit-cpu 0.5 --limit-memory 64m --limit-pids 50 --memory-swappiness 7"
    spec = lab.created(*words.split())

    output = inside(
        machine,
        spec,
        "cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us memory/memory.limit_in_bytes pids/pids.max "
        "memory/memory.swappiness",
    )

    assert output.split() == ["50000", str(64 << 20), "50", "7"]
