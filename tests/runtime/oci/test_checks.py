"""What the specification forbids, and what engines write all the same."""

import json
from typing import Any

import pytest

from runtime.oci.checks import check, check_startable, unknown_capabilities
from runtime.oci.config import Config, Process, Root
from runtime.oci.reading import read_config
from swarm.errors import Invalid
from tests.runtime.oci.bundles import full, linux, plain, process

MAP = [{"containerID": 0, "hostID": 1000, "size": 10}]
USER = [{"type": "user"}, {"type": "mount"}]
TIME = {"monotonic": {"secs": 1}}
HOOK = {"path": "/bin/hook"}


def mount(**properties: Any) -> dict[str, Any]:
    base = {"destination": "/x", "type": "tmpfs", "source": "tmpfs"}
    return plain(mounts=[base | properties])


def hooks(**kinds: Any) -> dict[str, Any]:
    return plain(hooks=kinds)


def resources(**properties: Any) -> dict[str, Any]:
    return linux(resources=properties)


def seccomp(**properties: Any) -> dict[str, Any]:
    return linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW"} | properties)


def rule(**properties: Any) -> dict[str, Any]:
    return seccomp(syscalls=[{"names": ["getpid"], "action": "SCMP_ACT_LOG"} | properties])


def argument(**properties: Any) -> dict[str, Any]:
    return rule(args=[{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"} | properties])


FORBIDDEN = [
    (plain(ociVersion="1"), "ociVersion: must be a version"),
    (plain(ociVersion="2.0.0"), "ociVersion: must be of the major version 1"),
    (plain(root=None), "root: is missing"),
    (plain(root={"path": ""}), "root.path: must not be empty"),
    (plain(annotations={"": "x"}), "annotations: must not have an empty key"),
    (plain(hostname="x", linux={}), "hostname: needs a uts namespace"),
    (plain(domainname="x", linux={}), "domainname: needs a uts namespace"),
    (plain(hostname="x" * 65), "hostname: must not be longer than 64 bytes"),
    (plain(hostname="a\0b"), "hostname: must not contain a null character"),
    (mount(destination=""), "mounts[0].destination: must not be empty"),
    (mount(destination="/a/../b"), "mounts[0].destination: must not contain `..`"),
    (mount(type="bind", source=""), "mounts[0].source: must name what is bound"),
    (mount(type="", source="x"), "mounts[0].type: must name a file system"),
    (mount(uidMappings=MAP), "mounts[0]: uidMappings and gidMappings must be there together"),
    (process(args=[""]), "process.args[0]: must name a program"),
    (process(args=["a\0b"]), "process.args[0]: must not contain a null character"),
    (process(cwd=""), "process.cwd: must be an absolute path"),
    (process(env=["A"]), "process.env[0]: must be NAME=VALUE"),
    (process(user={"uid": -1}), "process.user.uid: must be between 0 and 4294967294"),
    (process(user={"uid": 2**32 - 1}), "process.user.uid: must be between 0 and 4294967294"),
    (process(user={"gid": 2**32 - 1}), "process.user.gid: must be between 0 and 4294967294"),
    (process(user={"umask": 512}), "process.user.umask: must be between 0 and 511"),
    (
        process(user={"additionalGids": [0, 2**32]}),
        "process.user.additionalGids[1]: must be between 0 and 4294967294",
    ),
    (process(oomScoreAdj=1001), "process.oomScoreAdj: must be between -1000 and 1000"),
    (
        process(capabilities={"ambient": ["CAP_X"]}),
        "process.capabilities.ambient[0]: no capability is called 'CAP_X'",
    ),
    (
        process(rlimits=[{"type": "RLIMIT_CPUS", "soft": 0, "hard": 0}]),
        "process.rlimits[0].type: must be a name such as RLIMIT_CPU",
    ),
    (
        process(rlimits=[{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]),
        "process.rlimits[0].soft: must not be above the hard limit 1, is 2",
    ),
    (
        process(rlimits=[{"type": "RLIMIT_CPU", "soft": 0, "hard": 0}] * 2),
        "process.rlimits[1].type: is there twice",
    ),
    (process(scheduler={"policy": "FIFO"}), "process.scheduler.policy: must be one of"),
    (
        process(scheduler={"policy": "SCHED_OTHER", "nice": 20}),
        "process.scheduler.nice: must be between -20 and 19",
    ),
    (
        process(scheduler={"policy": "SCHED_OTHER", "priority": 1}),
        "process.scheduler.priority: is for SCHED_FIFO and SCHED_RR only",
    ),
    (
        process(scheduler={"policy": "SCHED_RR"}),
        "process.scheduler.priority: must be between 1 and 99",
    ),
    (
        process(scheduler={"policy": "SCHED_IDLE", "deadline": 5}),
        "process.scheduler.deadline: is for SCHED_DEADLINE only",
    ),
    (
        process(scheduler={"policy": "SCHED_IDLE", "flags": ["X"]}),
        "process.scheduler.flags[0]: must be one of",
    ),
    (process(ioPriority={"class": "BE"}), "process.ioPriority.class: must be one of"),
    (
        process(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 8}),
        "process.ioPriority.priority: must be between 0 and 7",
    ),
    (
        process(execCPUAffinity={"initial": "a"}),
        "process.execCPUAffinity.initial: must be a list such as",
    ),
    (hooks(prestart=[{"path": "hook"}]), "hooks.prestart[0].path: must be an absolute path"),
    (
        hooks(poststop=[HOOK | {"timeout": 0}]),
        "hooks.poststop[0].timeout: must be between 1 and",
    ),
    (hooks(poststop=[HOOK | {"env": ["A"]}]), "hooks.poststop[0].env[0]: must be NAME=VALUE"),
    (linux(namespaces=[{"type": "net"}]), "linux.namespaces[0].type: must be one of"),
    (linux(namespaces=[{"type": "pid"}] * 2), "linux.namespaces[1].type: is there twice: 'pid'"),
    (
        linux(namespaces=[{"type": "pid", "path": "proc/1/ns/pid"}]),
        "linux.namespaces[0].path: must be an absolute path",
    ),
    (linux(uidMappings=MAP), "linux.uidMappings: needs a user namespace"),
    (
        linux(namespaces=USER, uidMappings=MAP),
        "linux.gidMappings: must not be empty",
    ),
    (
        linux(namespaces=USER, uidMappings=MAP * 2, gidMappings=MAP),
        "linux.uidMappings: container ids from 0 on are mapped twice",
    ),
    (
        linux(namespaces=USER, uidMappings=[MAP[0] | {"size": 0}], gidMappings=MAP),
        "linux.uidMappings[0].size: must be between 1 and",
    ),
    (linux(timeOffsets=TIME), "linux.timeOffsets: needs a new time namespace"),
    (
        linux(namespaces=[{"type": "time", "path": "/x"}], timeOffsets=TIME),
        "linux.timeOffsets: needs a new time namespace",
    ),
    (
        linux(namespaces=[{"type": "time"}], timeOffsets={"wall": {"secs": 1}}),
        "linux.timeOffsets[wall]: must be one of monotonic, boottime",
    ),
    (
        linux(devices=[{"type": "x", "path": "/dev/x"}]),
        "linux.devices[0].type: must be one of b, c, u, p",
    ),
    (
        linux(devices=[{"type": "p", "path": "dev/x"}]),
        "linux.devices[0].path: must be an absolute path",
    ),
    (
        linux(devices=[{"type": "p", "path": "/dev/../x"}]),
        "linux.devices[0].path: must not contain `..`",
    ),
    (
        linux(devices=[{"type": "p", "path": "/dev/x"}] * 2),
        "linux.devices[1].path: is there twice",
    ),
    (linux(cgroupsPath="/a/../../b"), "linux.cgroupsPath: must not contain `..`"),
    (linux(rootfsPropagation="all"), "linux.rootfsPropagation: must be one of private"),
    (
        linux(sysctl={"kernel.msgmax": "1"}, namespaces=[]),
        "linux.sysctl[kernel.msgmax]: needs a ipc namespace",
    ),
    (
        linux(sysctl={"net/ipv4/ip_forward": "1"}, namespaces=[]),
        "linux.sysctl[net/ipv4/ip_forward]: needs a network namespace",
    ),
    (linux(sysctl={"vm.swappiness": "1"}), "linux.sysctl[vm.swappiness]: is not separate"),
    (linux(sysctl={"kernel.hostname": "x"}), "linux.sysctl[kernel.hostname]: is what the"),
    (linux(sysctl={"net/../vm/x": "1"}), "linux.sysctl[net/../vm/x]: is not a kernel param"),
    (linux(maskedPaths=["proc"]), "linux.maskedPaths[0]: must be an absolute path"),
    (
        linux(readonlyPaths=["/proc"], namespaces=[]),
        "linux.readonlyPaths: needs a mount namespace",
    ),
    (linux(personality={"domain": "BSD"}), "linux.personality.domain: must be one of LINUX"),
    (
        linux(personality={"domain": "LINUX", "flags": ["x"]}),
        "linux.personality.flags: must be empty",
    ),
    (linux(intelRdt={"closID": "x"}), "linux.intelRdt: is not supported"),
    (
        resources(devices=[{"allow": True, "type": "d"}]),
        "linux.resources.devices[0].type: must be one of",
    ),
    (
        resources(devices=[{"allow": True, "access": "x"}]),
        "linux.resources.devices[0].access: must be of r, w and m",
    ),
    (
        resources(memory={"limit": -2}),
        "linux.resources.memory.limit: must not be below -1",
    ),
    (
        resources(memory={"limit": 2**63}),
        "linux.resources.memory.limit: must be between",
    ),
    (
        resources(memory={"limit": 10, "swap": 5}),
        "linux.resources.memory.swap: counts memory too",
    ),
    (resources(cpu={"cpus": "a"}), "linux.resources.cpu.cpus: must be a list"),
    (resources(cpu={"idle": 2}), "linux.resources.cpu.idle: must be between 0 and 1"),
    (resources(pids={"limit": -2}), "linux.resources.pids.limit: must not be below -1"),
    (resources(blockIO={"weight": 5}), "linux.resources.blockIO.weight: must be between 10"),
    (
        resources(blockIO={"weightDevice": [{"major": 1, "minor": 1, "leafWeight": 5}]}),
        "linux.resources.blockIO.weightDevice[0].leafWeight: must be between 10",
    ),
    (
        resources(hugepageLimits=[{"pageSize": "2M", "limit": 0}]),
        "linux.resources.hugepageLimits[0].pageSize: must be a size",
    ),
    (
        resources(hugepageLimits=[{"pageSize": "2MB", "limit": 0}] * 2),
        "linux.resources.hugepageLimits[1].pageSize: is there twice",
    ),
    (
        resources(unified={"../memory.max": "1"}),
        "linux.resources.unified[../memory.max]: must be a file",
    ),
    (seccomp(defaultAction="ALLOW"), "linux.seccomp.defaultAction: must be one of"),
    (
        seccomp(defaultAction="SCMP_ACT_NOTIFY", listenerPath="/x"),
        "linux.seccomp.defaultAction: must not be SCMP_ACT_NOTIFY",
    ),
    (seccomp(defaultErrnoRet=1), "linux.seccomp.defaultErrnoRet: must be absent"),
    (seccomp(architectures=["x86"]), "linux.seccomp.architectures[0]: must be a name such as"),
    (seccomp(flags=["TSYNC"]), "linux.seccomp.flags[0]: must be one of"),
    (seccomp(listenerMetadata="x"), "linux.seccomp.listenerMetadata: needs listenerPath"),
    (rule(action="SCMP_ACT_NOTIFY"), "linux.seccomp.listenerPath: must say who answers"),
    (
        rule(action="SCMP_ACT_NOTIFY", names=["write"]),
        "linux.seccomp.syscalls[0].names: must not have `write`",
    ),
    (
        rule(action="SCMP_ACT_NOTIFY", names=["mkdir", "sendmsg"]),
        "linux.seccomp.syscalls[0].names: must not have `sendmsg`",
    ),
    (rule(names=[]), "linux.seccomp.syscalls[0].names: must not be empty"),
    (rule(errnoRet=1), "linux.seccomp.syscalls[0].errnoRet: must be absent"),
    (argument(index=6), "linux.seccomp.syscalls[0].args[0].index: must be between 0 and 5"),
    (argument(op="EQ"), "linux.seccomp.syscalls[0].args[0].op: must be one of"),
    (argument(value=-1), "linux.seccomp.syscalls[0].args[0].value: must be between 0 and"),
]


@pytest.mark.parametrize(("document", "expected"), FORBIDDEN, ids=[e for _, e in FORBIDDEN])
def test_what_the_specification_forbids_is_refused_with_its_path(
    document: dict[str, Any], expected: str
) -> None:
    with pytest.raises(Invalid) as caught:
        read_config(json.dumps(document))

    assert [each for each in caught.value.problems if each.startswith(expected)]


@pytest.mark.parametrize(
    "document",
    [
        full(),
        plain(),
        plain(process=None),
        plain(ociVersion="1.0.2-dev"),
        plain(ociVersion="1.2.0+dev"),
        plain(linux=None),
        mount(destination="data"),
        mount(type="none", options=["rbind"], source="data"),
        mount(type="", source="", options=["rshared"]),
        process(args=[]),
        linux(namespaces=[{"type": "user", "path": "/proc/1/ns/user"}], uidMappings=MAP),
        linux(sysctl={"net.ipv4.conf.all/x": "1", "fs.mqueue.msg_max": "5"}),
        resources(devices=[{"allow": False, "type": "", "access": ""}]),
        resources(memory={"limit": 0, "swap": 0}, blockIO={"weight": 0}, pids={"limit": 0}),
        resources(cpu={"cpus": "0-1,4\n", "shares": 0, "quota": -1}),
        seccomp(architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_RISCV64"], syscalls=[]),
    ],
    ids=range(16),
)
def test_what_engines_write_is_accepted(document: dict[str, Any]) -> None:
    read_config(json.dumps(document))


def test_a_config_that_we_made_ourselves_is_checked_the_same_way() -> None:
    with pytest.raises(Invalid, match=r"config\.json: process\.cwd"):
        check(Config(oci_version="1.2.0", root=Root(path="/"), process=Process(cwd="x")))


def test_a_start_needs_a_program() -> None:
    whole = read_config(json.dumps(plain()))
    assert check_startable(whole).args == ("sh",)

    for document in (plain(process=None), process(args=[])):
        with pytest.raises(Invalid, match="process"):
            check_startable(read_config(json.dumps(document)))


def test_capabilities_newer_than_the_kernel_are_told() -> None:
    assert unknown_capabilities(("CAP_BPF", "CAP_CHOWN", "CAP_BPF"), 37) == ("CAP_BPF",)
    assert unknown_capabilities(("CAP_BPF", "CAP_CHOWN"), 40) == ()
