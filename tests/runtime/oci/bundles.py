"""Write config.json files as engines do: a plain one, and one that says everything."""

from typing import Any

NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")


def plain(**properties: Any) -> dict[str, Any]:
    """The least that an engine writes for a shell; `properties` replace whole parts of it."""
    return {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/bin"],
            "cwd": "/",
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]}
        ],
        "linux": {"namespaces": [{"type": kind} for kind in NAMESPACES]},
    } | properties


def process(**properties: Any) -> dict[str, Any]:
    """A plain file with these in its process."""
    whole = plain()
    return whole | {"process": whole["process"] | properties}


def linux(**properties: Any) -> dict[str, Any]:
    """A plain file with these in its Linux part."""
    whole = plain()
    return whole | {"linux": whole["linux"] | properties}


def full() -> dict[str, Any]:
    """Every property that there is for Linux, each with a value that is not its default."""
    hook = {"path": "/bin/hook", "args": ["hook", "x"], "env": ["A=b"], "timeout": 5}
    throttle = [{"major": 8, "minor": 0, "rate": 1000}]
    return {
        "ociVersion": "1.2.1-dev",
        "root": {"path": "/srv/rootfs", "readonly": True},
        "process": {
            "terminal": True,
            "consoleSize": {"height": 25, "width": 80},
            "user": {"uid": 1000, "gid": 1001, "umask": 63, "additionalGids": [5, 6]},
            "args": ["/bin/sh", "-c", "true"],
            "env": ["PATH=/bin", "EMPTY=", "WITH=a=b"],
            "cwd": "/srv",
            "capabilities": {
                "bounding": ["CAP_CHOWN", "CAP_KILL"],
                "effective": ["CAP_CHOWN"],
                "inheritable": ["CAP_CHOWN"],
                "permitted": ["CAP_CHOWN"],
                "ambient": ["CAP_CHOWN"],
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 2**64 - 1}],
            "noNewPrivileges": True,
            "apparmorProfile": "a-profile",
            "selinuxLabel": "system_u:system_r:container_t:s0",
            "oomScoreAdj": -500,
            "scheduler": {"policy": "SCHED_FIFO", "priority": 3, "flags": []},
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
            "execCPUAffinity": {"initial": "0", "final": "0-3,7"},
        },
        "hostname": "boxy",
        "domainname": "example.org",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "relative", "source": "/srv", "options": ["rbind", "ro", "x=y"]},
            {
                "destination": "/mapped",
                "type": "none",
                "source": "/srv",
                "options": ["bind", "rro"],
                "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
                "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
            },
        ],
        "hooks": {
            "prestart": [hook],
            "createRuntime": [hook],
            "createContainer": [hook],
            "startContainer": [hook],
            "poststart": [hook],
            "poststop": [hook],
        },
        "annotations": {"org.example.key": "value"},
        "linux": {
            "namespaces": [{"type": kind} for kind in (*NAMESPACES, "user", "time")],
            "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
            "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
            "timeOffsets": {"monotonic": {"secs": -5, "nanosecs": 7}, "boottime": {"secs": 5}},
            "devices": [
                {
                    "path": "/dev/fuse",
                    "type": "c",
                    "major": 10,
                    "minor": 229,
                    "fileMode": 438,
                    "uid": 1,
                    "gid": 2,
                }
            ],
            "cgroupsPath": "/swarm/boxy",
            "resources": {
                "devices": [
                    {"allow": False, "access": "rwm"},
                    {"allow": True, "type": "c", "major": 10, "minor": -1, "access": "rw"},
                ],
                "memory": {
                    "limit": 1 << 30,
                    "reservation": 1 << 29,
                    "swap": -1,
                    "kernel": -1,
                    "kernelTCP": -1,
                    "swappiness": 0,
                    "disableOOMKiller": False,
                    "useHierarchy": True,
                    "checkBeforeUpdate": True,
                },
                "cpu": {
                    "shares": 1024,
                    "quota": -1,
                    "burst": 1000,
                    "period": 100000,
                    "realtimeRuntime": 950000,
                    "realtimePeriod": 1000000,
                    "cpus": "0-3,7",
                    "mems": "0",
                    "idle": 1,
                },
                "pids": {"limit": -1},
                "blockIO": {
                    "weight": 10,
                    "leafWeight": 0,
                    "weightDevice": [{"major": 8, "minor": 0, "weight": 500, "leafWeight": 300}],
                    "throttleReadBpsDevice": throttle,
                    "throttleWriteBpsDevice": throttle,
                    "throttleReadIOPSDevice": throttle,
                    "throttleWriteIOPSDevice": throttle,
                },
                "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
                "network": {"classID": 1, "priorities": [{"name": "eth0", "priority": 5}]},
                "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
                "unified": {"memory.high": "1000000"},
            },
            "rootfsPropagation": "rslave",
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO",
                "defaultErrnoRet": 38,
                "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
                "flags": ["SECCOMP_FILTER_FLAG_LOG"],
                "listenerPath": "/run/listener.sock",
                "listenerMetadata": "for the listener",
                "syscalls": [
                    {
                        "names": ["getpid", "no_such_call"],
                        "action": "SCMP_ACT_ERRNO",
                        "errnoRet": 1,
                        "args": [
                            {"index": 5, "value": 2**64 - 1, "valueTwo": 1, "op": "SCMP_CMP_EQ"}
                        ],
                    },
                    {"names": ["mount"], "action": "SCMP_ACT_NOTIFY"},
                ],
            },
            "sysctl": {"net.ipv4.ip_forward": "1", "net/ipv4/conf/eth0.1/arp_filter": "1"},
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
            "mountLabel": "system_u:object_r:container_file_t:s0",
            "personality": {"domain": "LINUX32"},
        },
    }
