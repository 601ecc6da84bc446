"""Name the flag behind each problem of a spec.

`swarm.checks` speaks of paths in the spec (`task.limits.memory_bytes`); whoever typed
`--limit-memory` should read that instead. A path without a flag is left as it is.
"""

import re

from swarm.errors import Invalid, Refused

# Flags with a pair are `--x` on create and `--x-add` on update.
_FLAGS = {
    "autoscale": "--autoscale",
    "autoscale.cpu_percent": "--autoscale cpu",
    "autoscale.down_window_s": "--autoscale down-window",
    "autoscale.least": "--autoscale min",
    "autoscale.memory_percent": "--autoscale memory",
    "autoscale.most": "--autoscale max",
    "autoscale.query": "--autoscale prometheus",
    "autoscale.target": "--autoscale prometheus",
    "autoscale.up_window_s": "--autoscale up-window",
    "endpoint.mode": "--endpoint-mode",
    "endpoint.ports": "--publish",
    "labels": "--label",
    "max_unavailable": "--max-unavailable",
    "name": "--name",
    "replicated.replicas": "--replicas",
    "replicated_job.max_concurrent": "--max-concurrent",
    "replicated_job.total": "--replicas",
    "rollback.delay_s": "--rollback-delay",
    "rollback.failure_action": "--rollback-failure-action",
    "rollback.max_failure_ratio": "--rollback-max-failure-ratio",
    "rollback.monitor_s": "--rollback-monitor",
    "rollback.parallelism": "--rollback-parallelism",
    "schedule": "--schedule",
    "schedule.expression": "--schedule",
    "schedule.keep_completed": "--schedule-keep",
    "schedule.keep_failed": "--schedule-keep-failed",
    "schedule.timezone": "--schedule-timezone",
    "task.container.apparmor": "--security-opt apparmor",
    "task.container.args": "--args",
    "task.container.cap_add": "--cap-add",
    "task.container.cap_drop": "--cap-drop",
    "task.container.command": "--entrypoint",
    "task.container.configs": "--config",
    "task.container.devices": "--device",
    "task.container.dns_options": "--dns-option",
    "task.container.dns_search": "--dns-search",
    "task.container.dns_servers": "--dns",
    "task.container.env": "--env",
    "task.container.groups": "--group",
    "task.container.health.interval_s": "--health-interval",
    "task.container.health.retries": "--health-retries",
    "task.container.health.start_interval_s": "--health-start-interval",
    "task.container.health.start_period_s": "--health-start-period",
    "task.container.health.test": "--health-cmd",
    "task.container.health.timeout_s": "--health-timeout",
    "task.container.host_user_namespace": "--userns",
    "task.container.hostname": "--hostname",
    "task.container.hosts": "--host",
    "task.container.image": "--image",
    "task.container.labels": "--container-label",
    "task.container.mounts": "--mount",
    "task.container.oom_score_adj": "--oom-score-adj",
    "task.container.privileged": "--privileged",
    "task.container.seccomp": "--security-opt seccomp",
    "task.container.secrets": "--secret",
    "task.container.stop_grace_s": "--stop-grace-period",
    "task.container.stop_signal": "--stop-signal",
    "task.container.sysctls": "--sysctl",
    "task.container.ulimits": "--ulimit",
    "task.container.user": "--user",
    "task.container.workdir": "--workdir",
    "task.depends_on": "--depends-on",
    "task.limits.cpu_millis": "--limit-cpu",
    "task.limits.memory_bytes": "--limit-memory",
    "task.limits.pids": "--limit-pids",
    "task.limits.swap_bytes": "--memory-swap",
    "task.limits.swappiness": "--memory-swappiness",
    "task.log_driver.name": "--log-driver",
    "task.log_driver.options": "--log-opt",
    "task.networks": "--network",
    "task.placement.affinities": "--affinity",
    "task.placement.constraints": "--constraint",
    "task.placement.max_replicas_per_node": "--replicas-max-per-node",
    "task.placement.platforms": "--platform",
    "task.placement.preferences": "--placement-pref",
    "task.placement.tolerations": "--toleration",
    "task.priority": "--priority",
    "task.reservations.cpu_millis": "--reserve-cpu",
    "task.reservations.generic": "--generic-resource",
    "task.reservations.memory_bytes": "--reserve-memory",
    "task.restart.delay_s": "--restart-delay",
    "task.restart.max_attempts": "--restart-max-attempts",
    "task.restart.max_delay_s": "--restart-max-delay",
    "task.restart.window_s": "--restart-window",
    "update.canary": "--update-canary",
    "update.delay_s": "--update-delay",
    "update.failure_action": "--update-failure-action",
    "update.max_failure_ratio": "--update-max-failure-ratio",
    "update.monitor_s": "--update-monitor",
    "update.parallelism": "--update-parallelism",
}
_PAIRS = frozenset(
    (
        "--affinity",
        "--config",
        "--constraint",
        "--container-label",
        "--depends-on",
        "--device",
        "--dns",
        "--dns-option",
        "--dns-search",
        "--env",
        "--generic-resource",
        "--group",
        "--host",
        "--label",
        "--mount",
        "--network",
        "--placement-pref",
        "--platform",
        "--publish",
        "--secret",
        "--sysctl",
        "--toleration",
        "--ulimit",
    )
)
_WORDS = {"--image": "IMAGE", "--args": "ARG"}
# What fields of a mount are called in `--mount`, where it is not the same.
_MOUNT_KEYS = {
    "create_source": "bind-create-src",
    "labels": "volume-label",
    "nocopy": "volume-nocopy",
    "nonrecursive": "bind-nonrecursive",
    "propagation": "bind-propagation",
    "read_only": "readonly",
    "roams": "volume-roams",
    "tmpfs_mode": "tmpfs-mode",
    "tmpfs_size_bytes": "tmpfs-size",
    "volume_driver": "volume-driver",
    "volume_options": "volume-opt",
    "volume_subpath": "volume-subpath",
}


def blamed(problem: str, *, is_update: bool) -> str:
    """`problem` (`path: what is wrong`) with its flag instead of its path."""
    path, colon, text = problem.partition(": ")
    flag = _flag(path, is_update=is_update) if colon else ""
    if not flag:
        return problem
    _, _, field = path.partition("].")
    if flag.startswith("--mount"):
        name, bracket, rest = field.partition("[")
        field = f"{_MOUNT_KEYS.get(name, name)}{bracket}{rest}"
    if flag.startswith("--network"):
        field = "alias" if field.startswith("aliases") else ""
    return f"{flag}: {field}: {text}" if field else f"{flag}: {text}"


def refusal(problems: tuple[str, ...], *, is_update: bool) -> Invalid:
    """The error that tells all `problems` at once."""
    texts = tuple(blamed(each, is_update=is_update) for each in problems)
    if len(texts) == 1:
        return Invalid(texts[0])
    return Invalid(f"{len(texts)} problems", problems=texts)


def reblamed(error: Invalid | Refused, *, is_update: bool) -> Invalid | Refused:
    """A manager's refusal of a spec, in the words of the command line."""
    if isinstance(error, Refused):
        return Refused(blamed(error.message, is_update=is_update), hint=error.hint)
    problems = tuple(blamed(each, is_update=is_update) for each in error.problems)
    return Invalid(blamed(error.message, is_update=is_update), hint=error.hint, problems=problems)


def _flag(path: str, *, is_update: bool) -> str:
    bare = re.sub(r"\[.*", "", path)
    # Nodes speak of the task that they were shown, managers of the whole service.
    flag = _FLAGS.get(bare) or _FLAGS.get(f"task.{bare}", "")
    if is_update:
        return f"{flag}-add" if flag in _PAIRS else flag
    return _WORDS.get(flag, flag)
