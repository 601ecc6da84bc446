"""What a container sees, and what it may do, on the real kernel."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from runtime.spec import File, Mount, MountKind, Propagation, Rlimit
from tests.kernel.machine import Machine, exit_of

pytestmark = pytest.mark.kernel


def test_a_container_sees_no_process_but_its_own(machine: Machine) -> None:
    exited, output = machine.run("ps", "-o", "pid,args")

    assert exited.exit_code == 0
    assert [line.split()[0] for line in output.splitlines()] == ["PID", "1"]


def test_hostname_and_files_are_the_containers_own(machine: Machine) -> None:
    _, output = machine.run(
        "sh", "-c", "hostname; cat /etc/hosts; stat -c %a /etc/hosts",
        hostname="boxy", files=(File(path="/etc/hosts", content="10.0.0.1 db\n"),),
    )  # fmt: skip

    assert output.splitlines() == ["boxy", "10.0.0.1 db", "644"]
    assert os.uname().nodename != "boxy"


def test_a_container_has_loopback_and_nothing_else(machine: Machine) -> None:
    _, output = machine.run("ip", "-o", "link")

    assert len(output.splitlines()) == 1
    assert "lo: <LOOPBACK,UP" in output


def test_the_hosts_network_is_shared_only_on_request(machine: Machine) -> None:
    mine = str(Path("/proc/self/ns/net").readlink())

    _, shared = machine.run("readlink", "/proc/self/ns/net", host_network=True)
    _, own = machine.run("readlink", "/proc/self/ns/net")

    assert shared.strip() == mine
    assert own.strip() != mine


def test_every_other_namespace_is_new(machine: Machine) -> None:
    kinds = ("pid", "mnt", "uts", "ipc", "cgroup")

    _, output = machine.run("sh", "-c", " ".join(f"readlink /proc/1/ns/{k};" for k in kinds))

    for kind, link in zip(kinds, output.split(), strict=True):
        assert link != str(Path(f"/proc/self/ns/{kind}").readlink())


def test_no_path_of_the_host_is_in_sight(machine: Machine) -> None:
    _, output = machine.run("sh", "-c", "ls -A /; echo; cat /proc/self/mountinfo")

    listing, _, mounts = output.partition("\n\n")
    assert listing.split() == ["bin", "data", "dev", "etc", "proc", "sys", "tmp"]
    targets = [line.split()[4] for line in mounts.splitlines()]
    assert targets.count("/") == 1
    assert all(t == "/" or t.startswith(("/proc", "/dev", "/sys")) for t in targets)


def test_masked_paths_are_empty(machine: Machine) -> None:
    _, output = machine.run("sh", "-c", "wc -c < /proc/keys; ls -A /sys/firmware | wc -l")

    assert output.split() == ["0", "0"]


def test_kernel_parameters_and_sysfs_are_read_only(machine: Machine) -> None:
    attempt = (
        "echo 1 > /proc/sys/kernel/domainname; echo $?;"
        "echo b > /proc/sysrq-trigger; echo $?; mkdir /sys/fs/cgroup/pids/x; echo $?;"
        "mkdir /sys/x; echo $?"
    )

    _, output = machine.run("sh", "-c", f"({attempt}) 2>/dev/null")

    assert output.split() == ["1", "1", "1", "1"]


def test_capabilities_are_dockers_and_nothing_can_gain_more(machine: Machine) -> None:
    _, output = machine.run("cat", "/proc/self/status")

    status = dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)
    assert status["CapBnd"] == status["CapEff"] == status["CapPrm"] == "00000000a80425fb"
    assert status["CapInh"] == status["CapAmb"] == "0000000000000000"
    assert status["NoNewPrivs"] == "1"


def test_a_dropped_capability_is_missing(machine: Machine) -> None:
    command = "touch /f; busybox chown 5:5 /f 2>/dev/null; echo $?"

    _, allowed = machine.run("sh", "-c", command)
    _, refused = machine.run("sh", "-c", command, capabilities=("CAP_DAC_OVERRIDE",))

    assert (allowed.strip(), refused.strip()) == ("0", "1")


def test_mounting_is_not_permitted(machine: Machine) -> None:
    exited, output = machine.run("mount", "-t", "tmpfs", "none", "/tmp")

    assert exited.exit_code != 0
    assert "permission denied" in output


def test_a_node_of_the_hosts_disk_cannot_be_opened(machine: Machine) -> None:
    """Root in the container may make any node, but the device group lets none be used."""
    _, output = machine.run(
        "sh", "-c", "mknod /disk b 254 0 && cat /disk; echo; mknod /z c 1 5 && dd if=/z count=1"
    )

    assert "Operation not permitted" in output
    assert "1+0 records in" in output


def test_the_usual_devices_work(machine: Machine) -> None:
    exited, _ = machine.run(
        "sh", "-c",
        "set -e; for d in null zero full random urandom tty; do test -c /dev/$d; done;"
        "dd if=/dev/urandom of=/dev/null count=1; echo x > /dev/null; echo > /dev/stdout;"
        "test -d /dev/pts; test -d /dev/mqueue; echo x > /dev/shm/f; readlink /dev/ptmx",
    )  # fmt: skip

    assert exited.exit_code == 0


def test_rlimits_umask_and_oom_score_are_set(machine: Machine) -> None:
    _, output = machine.run(
        "sh", "-c", "ulimit -n; ulimit -c; umask; cat /proc/self/oom_score_adj",
        rlimits=(Rlimit(name="nofile", soft=77, hard=88), Rlimit(name="core", soft=0, hard=0)),
        umask=0o027, oom_score_adj=123,
    )  # fmt: skip

    assert output.split() == ["77", "0", "0027", "123"]


def test_sysctls_are_set_in_the_container_only(machine: Machine) -> None:
    before = Path("/proc/sys/kernel/msgmax").read_text()

    _, output = machine.run(
        "cat", "/proc/sys/kernel/msgmax", "/proc/sys/net/ipv4/ip_unprivileged_port_start",
        sysctls={"kernel.msgmax": "12345"},
    )  # fmt: skip

    assert output.split() == ["12345", "0"]
    assert Path("/proc/sys/kernel/msgmax").read_text() == before


def test_a_named_user_is_the_images_and_can_write_to_its_output(machine: Machine) -> None:
    _, output = machine.run(
        "sh", "-c", "id; echo $HOME; echo direct > /dev/stdout; grep CapEff /proc/self/status",
        user="app", additional_groups=("7",),
    )  # fmt: skip

    identity, home, direct, effective = output.splitlines()
    assert identity == "uid=1000(app) gid=1001(app) groups=7,44(video),1001(app)"
    assert (home, direct) == ("/home/app", "direct")
    assert effective.split()[1] == "0" * 16


def test_a_missing_workdir_is_made(machine: Machine) -> None:
    _, output = machine.run("pwd", workdir="/srv/app")

    assert output == "/srv/app\n"


def test_a_read_only_root_refuses_writes_but_not_to_its_mounts(machine: Machine) -> None:
    _, output = machine.run(
        "sh", "-c", "(touch /f; echo $?; touch /scratch/f; echo $?) 2>/dev/null",
        read_only_rootfs=True, mounts=(Mount(kind=MountKind.TMPFS, target="/scratch"),),
    )  # fmt: skip

    assert output.split() == ["1", "0"]


def test_no_descriptor_but_the_three_is_inherited(machine: Machine) -> None:
    _, output = machine.run("sh", "-c", "exec ls /proc/self/fd")

    assert output.split() == ["0", "1", "2", "3"]  # 3 is what ls reads the directory with


def test_no_signal_is_ignored_or_blocked(machine: Machine) -> None:
    _, output = machine.run("cat", "/proc/self/status")

    status = dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)
    assert {status["SigIgn"], status["SigBlk"]} == {"0" * 16}


def test_what_the_launcher_was_told_to_ignore_is_its_own_affair(machine: Machine) -> None:
    """`nohup swarmd &` in a script has hangups, interrupts and quits ignored."""
    ignored = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
    before = {each: signal.signal(each, signal.SIG_IGN) for each in ignored}
    try:
        launcher = machine.replace_launcher()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    status = Path(f"/proc/{launcher.pid}/status").read_text("utf-8").split()
    assert int(status[status.index("SigIgn:") + 1], 16) & 1

    _, output = machine.run("grep", "SigIgn", "/proc/self/status")

    assert output.split() == ["SigIgn:", "0" * 16]


def test_the_hosts_environment_does_not_leak(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")

    _, output = machine.run("env", env=("PATH=/bin", "A=b c", "HOME=/elsewhere"))

    assert sorted(output.splitlines()) == ["A=b c", "HOME=/elsewhere", "PATH=/bin"]


def test_a_named_network_namespace_is_joined(machine: Machine) -> None:
    name = f"{machine.cgroup_parent}ns"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        wanted = Path(f"/run/netns/{name}").stat().st_ino
        _, output = machine.run(
            "readlink", "/proc/self/ns/net", network_namespace=f"/run/netns/{name}"
        )
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)

    assert output.strip() == f"net:[{wanted}]"


@pytest.mark.parametrize(
    ("propagation", "expected"), [(Propagation.RSLAVE, "seen\n"), (Propagation.RPRIVATE, "")]
)
def test_a_later_mount_of_the_host_appears_only_in_a_slave(
    machine: Machine, propagation: Propagation, expected: str
) -> None:
    source = machine.base / "source"
    (source / "inner").mkdir(parents=True)
    mounts = (Mount(source=str(source), target="/s", propagation=propagation),)

    async def story() -> str:
        async with machine.runtime() as runtime:
            script = "until test -e /s/go; do sleep 0.01; done; cat /s/inner/mark 2>/dev/null"
            spec = machine.spec("sh", "-c", script, mounts=mounts)
            await runtime.run(spec)
            mount("-t", "tmpfs", "none", str(source / "inner"))
            (source / "inner" / "mark").write_text("seen\n")
            (source / "go").touch()
            await exit_of(runtime)
            mount("--make-private", str(source / "inner"))
            subprocess.run(["umount", str(source / "inner")], check=True)
            output = machine.output(spec.id)
            await runtime.delete(spec.id)
            return output

    mount("--bind", str(source), str(source))
    mount("--make-shared", str(source))
    try:
        assert asyncio.run(story()) == expected
    finally:
        subprocess.run(["umount", "-l", str(source)], check=True)


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)
