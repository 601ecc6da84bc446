"""Flags of services that end in what the kernel is told."""

from runtime.spec import Rlimit
from tests.flags.lab import REMAPPED, kernel
from tests.flags.table import Flag, in_kernel

MIB = 1 << 20

SHARED: tuple[Flag, ...] = (
    in_kernel(
        "--entrypoint", ("--entrypoint", "sh -c"), lambda k: k.config.process.args, ("sh", "-c")
    ),
    in_kernel("--hostname", "--hostname h.{{.Task.Slot}}", lambda k: k.config.hostname, "h.1"),
    in_kernel("--user", "-u 5:6", lambda k: k.extras.user, "5:6"),
    in_kernel("--workdir", "-w /w", lambda k: k.config.process.cwd, "/w"),
    in_kernel("--read-only", "--read-only", lambda k: k.config.root.readonly, True),
    in_kernel("--init", "--init", lambda k: k.extras.init, True),
    in_kernel("--tty", "-t", lambda k: k.config.process.terminal, True),
    in_kernel("--interactive", "-i", lambda k: k.spec.open_stdin, True),
    in_kernel(
        "--cap-add",
        "--cap-add NET_ADMIN",
        lambda k: "CAP_NET_ADMIN" in k.config.process.capabilities.bounding,
        True,
    ),
    in_kernel(
        "--cap-drop",
        "--cap-drop CHOWN",
        lambda k: "CAP_CHOWN" in k.config.process.capabilities.bounding,
        False,
    ),
    in_kernel(
        "--privileged",
        "--privileged",
        lambda k: "CAP_SYS_ADMIN" in k.config.process.capabilities.bounding,
        True,
    ),
    in_kernel(
        "--security-opt",
        "--security-opt no-new-privileges=false",
        lambda k: k.config.process.no_new_privileges,
        False,
    ),
    Flag(
        "--userns",
        ("--userns", "host"),
        "kernel",
        lambda spec: (
            "user" in {n.type for n in kernel(spec, node=REMAPPED).config.linux.namespaces}
        ),
        False,
    ),
    in_kernel("--health-cmd", "--health-cmd true", lambda k: k.spec.health.args[-1], "true"),
    in_kernel("--health-interval", "--health-interval 3s", lambda k: k.spec.health.interval_s, 3.0),
    in_kernel("--health-retries", "--health-retries 7", lambda k: k.spec.health.retries, 7),
    in_kernel(
        "--health-start-interval",
        "--health-start-interval 2s",
        lambda k: k.spec.health.start_interval_s,
        2.0,
    ),
    in_kernel(
        "--health-start-period",
        "--health-start-period 8s",
        lambda k: k.spec.health.start_period_s,
        8.0,
    ),
    in_kernel("--health-timeout", "--health-timeout 4s", lambda k: k.spec.health.timeout_s, 4.0),
    in_kernel("--no-healthcheck", "--no-healthcheck", lambda k: k.spec.health, None),
    in_kernel(
        "--limit-cpu",
        "--limit-cpu 0.5",
        lambda k: k.config.linux.resources.cpu and k.config.linux.resources.cpu.quota,
        50_000,
    ),
    in_kernel(
        "--limit-memory",
        "--limit-memory 64m",
        lambda k: k.config.linux.resources.memory and k.config.linux.resources.memory.limit,
        64 * MIB,
    ),
    in_kernel(
        "--limit-pids",
        "--limit-pids 9",
        lambda k: k.config.linux.resources.pids and k.config.linux.resources.pids.limit,
        9,
    ),
    in_kernel(
        "--memory-swap",
        "--memory-swap 32m",
        lambda k: k.config.linux.resources.memory.swap,
        96 * MIB,
        besides="--limit-memory 64m",
    ),
    in_kernel(
        "--memory-swappiness",
        "--memory-swappiness 7",
        lambda k: k.config.linux.resources.memory and k.config.linux.resources.memory.swappiness,
        7,
    ),
    in_kernel(
        "--oom-score-adj", "--oom-score-adj -500", lambda k: k.config.process.oom_score_adj, -500
    ),
    in_kernel("--stop-signal", "--stop-signal USR1", lambda k: k.container.stop_signal, 10),
    in_kernel("--stop-grace-period", "--stop-grace-period 3s", lambda k: k.grace_s, 3.0),
    in_kernel("--log-driver", "--log-driver none", lambda k: k.spec.log.max_files, 0),
    in_kernel(
        "--log-opt",
        "--log-opt max-size=1m --log-opt max-file=7",
        lambda k: (k.spec.log.max_bytes, k.spec.log.max_files),
        (MIB, 7),
    ),
)

LISTS: tuple[Flag, ...] = (
    in_kernel("--config", "--config cfg", lambda k: "/cfg" in k.mounted, True, removed="cfg"),
    in_kernel(
        "--container-label",
        "--container-label a=b",
        lambda k: k.config.annotations.get("a"),
        "b",
        removed="a",
    ),
    in_kernel(
        "--device",
        "--device /dev/null:/dev/mine:r",
        lambda k: [(d.source, d.target, d.access) for d in k.spec.devices],
        [("/dev/null", "/dev/mine", "r")],
        removed="/dev/mine",
    ),
    in_kernel(
        "--dns",
        "--dns 9.9.9.9",
        lambda k: k.files["/etc/resolv.conf"],
        "nameserver 9.9.9.9\n",
        removed="9.9.9.9",
    ),
    in_kernel(
        "--dns-option",
        "--dns-option ndots:3",
        lambda k: k.files["/etc/resolv.conf"],
        "options ndots:3\n",
        removed="ndots:3",
    ),
    in_kernel(
        "--dns-search",
        "--dns-search lan",
        lambda k: k.files["/etc/resolv.conf"],
        "search lan\n",
        removed="lan",
    ),
    in_kernel("--env", "-e A=1", lambda k: k.env.get("A"), "1", removed="A"),
    in_kernel(
        "--group",
        "--group audio",
        lambda k: k.extras.additional_groups,
        ("audio",),
        removed="audio",
    ),
    in_kernel(
        "--host",
        "--host db:10.1.1.1",
        lambda k: "10.1.1.1\tdb\n" in k.files["/etc/hosts"],
        True,
        removed="db",
    ),
    in_kernel(
        "--mount",
        "--mount type=tmpfs,target=/t",
        lambda k: k.mounted["/t"].type if "/t" in k.mounted else None,
        "tmpfs",
        removed="/t",
    ),
    in_kernel(
        "--network",
        "--network host",
        lambda k: "network" in {each.type for each in k.config.linux.namespaces},
        False,
        removed="host",
    ),
    in_kernel(
        "--secret",
        "--secret key",
        lambda k: "/run/secrets" in k.mounted,
        True,
        removed="key",
    ),
    in_kernel(
        "--sysctl",
        "--sysctl net.core.somaxconn=9",
        lambda k: k.config.linux.sysctl.get("net.core.somaxconn"),
        "9",
        removed="net.core.somaxconn",
    ),
    in_kernel(
        "--ulimit",
        "--ulimit nofile=1:2",
        lambda k: k.spec.rlimits,
        (Rlimit(name="nofile", soft=1, hard=2),),
        removed="nofile",
    ),
)
