"""What a process of an OCI config may do, as the kernel itself tells."""

import errno
import os
import resource
import socket
import subprocess
from pathlib import Path

import pytest

from runtime.oci.config import (
    Capabilities,
    CpuAffinity,
    Device,
    IoPriority,
    Namespace,
    Personality,
    Rlimit,
    Scheduler,
    Seccomp,
    Syscall,
    SyscallArg,
    TimeOffset,
    User,
)
from swarm.errors import KernelRefused
from tests.kernel.spawned import MAPPED, NEW, Bundle, config

pytestmark = pytest.mark.kernel

CHOWN, KILL = "CAP_CHOWN", "CAP_KILL"


def status(bundle: Bundle, **process: object) -> dict[str, str]:
    """/proc/self/status of a program with these rights."""
    _, output = bundle.run(config("cat", "/proc/self/status", process=dict(process)))
    return dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)


def test_each_of_the_five_sets_is_as_asked(bundle: Bundle) -> None:
    found = status(
        bundle,
        user=User(uid=1000),
        capabilities=Capabilities(
            bounding=(CHOWN, KILL, "CAP_SETUID"), effective=(CHOWN,), permitted=(CHOWN, KILL),
            inheritable=(CHOWN, KILL), ambient=(CHOWN,),
        ),
    )  # fmt: skip

    assert int(found["CapBnd"], 16) == 1 << 0 | 1 << 5 | 1 << 7
    assert int(found["CapInh"], 16) == 1 << 0 | 1 << 5
    assert int(found["CapAmb"], 16) == 1 << 0
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == 1 << 0


def test_without_a_word_about_capabilities_there_are_none(bundle: Bundle) -> None:
    found = status(bundle, capabilities=None)

    assert {found[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {"0" * 16}


def test_no_new_privileges_only_where_asked(bundle: Bundle) -> None:
    assert status(bundle, no_new_privileges=True)["NoNewPrivs"] == "1"
    assert status(bundle, no_new_privileges=False)["NoNewPrivs"] == "0"


def test_user_groups_and_umask_are_numbers_of_the_config(bundle: Bundle) -> None:
    user = User(uid=1000, gid=7, umask=0o077, additional_gids=(9, 8))

    found = status(bundle, user=user)

    assert found["Uid"].split() == ["1000"] * 4
    assert found["Gid"].split() == ["7"] * 4
    assert found["Groups"].split() == ["8", "9"]
    assert found["Umask"] == "0077"


def test_a_workdir_only_its_user_may_enter_is_entered(bundle: Bundle) -> None:
    home = bundle.rootfs / "home"
    home.mkdir()
    os.chown(home, 1000, 1000)
    home.chmod(0o700)

    _, output = bundle.run(
        config("pwd", process={"cwd": "/home", "user": User(uid=1000, gid=1000)})
    )

    assert output == "/home\n"


def test_limits_are_set_even_if_they_are_very_low(bundle: Bundle) -> None:
    limits = (
        Rlimit(type="RLIMIT_NOFILE", soft=5, hard=6),
        Rlimit(type="RLIMIT_CORE", soft=0, hard=2**64 - 1),
        Rlimit(type="RLIMIT_NPROC", soft=0, hard=0),
    )

    _, output = bundle.run(config("cat", "/proc/self/limits", process={"rlimits": limits}))

    found = {line[:25].strip(): line[26:].split()[:2] for line in output.splitlines()}
    assert found["Max open files"] == ["5", "6"]
    assert found["Max core file size"] == ["0", "unlimited"]


def test_limits_are_set_in_a_user_namespace_too(bundle: Bundle) -> None:
    bundle.own_by(100_000)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = config(
        "sh", "-c", "ulimit -n; ulimit -Hn", namespaces=(*NEW, "user"),
        linux={"uid_mappings": MAPPED, "gid_mappings": MAPPED},
        process={"rlimits": (Rlimit(type="RLIMIT_NOFILE", soft=9, hard=hard - 1),)},
    )  # fmt: skip

    assert bundle.run(wanted)[1].split() == ["9", str(hard - 1)]


def test_oom_score_personality_and_names_are_the_containers(bundle: Bundle) -> None:
    wanted = config(
        "sh", "-c",
        "cat /proc/self/oom_score_adj; uname -m; hostname; cat /proc/sys/kernel/domainname",
        hostname="boxy", domainname="example", process={"oom_score_adj": 321},
        linux={"personality": Personality(domain="LINUX32")},
    )  # fmt: skip
    (bundle.rootfs / "bin/uname").symlink_to("busybox")

    _, output = bundle.run(wanted)

    score, machine, host, domain = output.split()
    assert (score, host, domain) == ("321", "boxy", "example")
    assert machine != os.uname().machine or os.uname().machine != "x86_64"


def test_without_a_word_about_it_the_oom_score_stays(bundle: Bundle) -> None:
    _, output = bundle.run(config("cat", "/proc/self/oom_score_adj"))

    assert output == Path("/proc/self/oom_score_adj").read_text()


def test_scheduling_is_as_asked(bundle: Bundle) -> None:
    wanted = config(
        "sleep", "99",
        process={
            "scheduler": Scheduler(policy="SCHED_BATCH", nice=7),
            "io_priority": IoPriority(io_class="IOPRIO_CLASS_IDLE", priority=0),
        },
    )  # fmt: skip

    with bundle.spawned(wanted) as (made, _):
        fields = Path(f"/proc/{made.pid}/stat").read_text().rpartition(")")[2].split()
        told = subprocess.run(["ionice", "-p", str(made.pid)], capture_output=True, check=True)

    assert (fields[16], fields[38]) == ("7", "3")
    assert told.stdout.strip() == b"idle"


def test_a_joining_program_runs_on_the_cpus_it_is_given(bundle: Bundle) -> None:
    wanted = config("sleep", "99")
    with bundle.spawned(wanted) as (made, _):
        _, output = bundle.join(
            wanted, made.pid, "grep", "Cpus_allowed_list", "/proc/self/status",
            exec_cpu_affinity=CpuAffinity(initial="0", final="0"),
        )  # fmt: skip

    assert output.split() == ["Cpus_allowed_list:", "0"]


def test_clocks_are_ahead_in_a_time_namespace(bundle: Bundle) -> None:
    offsets = {"boottime": TimeOffset(secs=1_000_000), "monotonic": TimeOffset(secs=77)}

    _, output = bundle.run(
        config("sh", "-c", "cat /proc/uptime /proc/self/timens_offsets", namespaces=(*NEW, "time"),
               linux={"time_offsets": offsets})
    )  # fmt: skip

    uptime, *lines = output.splitlines()
    assert float(uptime.split()[0]) > 1_000_000
    assert [line.split() for line in lines] == [
        ["monotonic", "77", "0"],
        ["boottime", "1000000", "0"],
    ]


def test_namespaces_of_another_container_are_joined(bundle: Bundle) -> None:
    first = config("sleep", "99", hostname="first")
    with bundle.spawned(first) as (made, _):
        paths = {"uts": "uts", "ipc": "ipc", "network": "net", "pid": "pid"}
        kinds = tuple(
            Namespace(type=kind, path=f"/proc/{made.pid}/ns/{file}") for kind, file in paths.items()
        )
        second = Bundle(bundle.base / "second")
        code, output = second.run(
            config("sh", "-c", "hostname; test $$ -ne 1", namespaces=("mount", "cgroup", *kinds))
        )
        second.close()

    assert (code, output) == (0, "first\n")


def test_what_no_namespace_is_asked_for_is_the_hosts(bundle: Bundle) -> None:
    _, output = bundle.run(
        config("sh", "-c", "for n in uts ipc net pid; do readlink /proc/self/ns/$n; done",
               namespaces=("mount", "cgroup"))
    )  # fmt: skip

    mine = [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("uts", "ipc", "net", "pid")]
    assert output.split() == mine


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_a_filter_is_loaded_with_and_without_no_new_privileges(
    bundle: Bundle, no_new_privileges: bool
) -> None:
    filter_ = Seccomp(
        default_action="SCMP_ACT_ALLOW",
        syscalls=(
            Syscall(names=("mkdir", "mkdirat"), action="SCMP_ACT_ERRNO", errno_ret=errno.EDOM),
        ),
    )

    _, output = bundle.run(
        config("sh", "-c", "mkdir /x; grep Seccomp: /proc/self/status; id -u",
               process={"no_new_privileges": no_new_privileges, "user": User(uid=1000)},
               linux={"seccomp": filter_})
    )  # fmt: skip

    assert "Numerical argument out of domain" in output or "Math argument" in output
    assert output.split()[-3:] == ["Seccomp:", "2", "1000"]


def test_a_filter_is_the_joining_programs_too(bundle: Bundle) -> None:
    filter_ = Seccomp(
        default_action="SCMP_ACT_ALLOW",
        syscalls=(
            Syscall(
                names=("kill",), action="SCMP_ACT_ERRNO",
                args=(SyscallArg(index=1, value=10, op="SCMP_CMP_EQ"),),
            ),
        ),
    )  # fmt: skip
    wanted = config("sleep", "99", linux={"seccomp": filter_})

    with bundle.spawned(wanted) as (made, _):
        _, output = bundle.join(
            wanted, made.pid, "sh", "-c", "kill -10 1 || echo refused; kill -0 1 && echo fine"
        )

    assert output.split()[-2:] == ["refused", "fine"]


def test_a_listener_is_sent_the_filters_notifications(bundle: Bundle) -> None:
    path = bundle.base / "agent.sock"
    filter_ = Seccomp(
        default_action="SCMP_ACT_ALLOW", listener_path=str(path), listener_metadata="hello",
        syscalls=(Syscall(names=("mkdir",), action="SCMP_ACT_NOTIFY"),),
    )  # fmt: skip
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        bundle.run(config("true", linux={"seccomp": filter_}))
        agent, _ = listener.accept()
        with agent:
            told, descriptors, _, _ = socket.recv_fds(agent, 65536, 1)

    assert b'"metadata":"hello"' in told
    assert len(descriptors) == 1
    os.close(descriptors[0])


@pytest.mark.parametrize("field", ["apparmor_profile", "selinux_label"])
def test_a_label_that_the_kernel_cannot_give_is_refused_by_name(bundle: Bundle, field: str) -> None:
    module = field.partition("_")[0]
    modules = Path("/sys/kernel/security/lsm")
    if modules.exists() and module in modules.read_text():
        pytest.skip(f"this kernel has {module}")

    with pytest.raises(KernelRefused) as err:
        bundle.run(config("true", process={field: "some-label"}))

    assert err.value.step == "set label"
    assert module in err.value.message


def test_parameters_of_the_containers_namespaces_are_set(bundle: Bundle) -> None:
    wanted = config(
        "cat", "/proc/sys/kernel/msgmax", "/proc/sys/net/ipv4/ip_forward",
        linux={"sysctl": {"kernel.msgmax": "4321", "net/ipv4/ip_forward": "1"}},
    )  # fmt: skip

    assert bundle.run(wanted)[1].split() == ["4321", "1"]


def test_devices_have_their_modes_and_owners(bundle: Bundle) -> None:
    devices = (
        Device(type="c", path="/dev/mine", major=1, minor=5, file_mode=0o640, uid=7, gid=8),
        Device(type="p", path="/dev/below/pipe", file_mode=0o600),
        Device(type="b", path="/dev/block", major=7, minor=99),
    )

    _, output = bundle.run(
        config(
            "stat",
            "-c",
            "%F %a %u %g %t:%T",
            "/dev/mine",
            "/dev/below/pipe",
            "/dev/block",
            linux={"devices": devices},
        )
    )

    assert output.splitlines() == [
        "character special file 640 7 8 1:5", "fifo 600 0 0 0:0", "block special file 666 0 0 7:63",
    ]  # fmt: skip
