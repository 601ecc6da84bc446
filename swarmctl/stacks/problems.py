"""Name the key of a stack file behind each problem of a service's spec.

`swarm.checks` and managers speak of paths in the spec (`task.limits.memory_bytes`); whoever
wrote `deploy.resources.limits.memory` should read that instead.
"""

import re

from swarm.errors import Invalid, Refused

_KEYS = {
    "endpoint.mode": "deploy.endpoint_mode",
    "endpoint.ports": "ports",
    "labels": "deploy.labels",
    "mode": "deploy.mode",
    "name": "",
    "replicated.replicas": "deploy.replicas",
    "replicated_job.total": "deploy.replicas",
    "rollback": "deploy.rollback_config",
    "task.container.args": "command",
    "task.container.command": "entrypoint",
    "task.container.dns_options": "dns_opt",
    "task.container.dns_servers": "dns",
    "task.container.env": "environment",
    "task.container.groups": "group_add",
    "task.container.health": "healthcheck",
    "task.container.hosts": "extra_hosts",
    "task.container.mounts": "volumes",
    "task.container.open_stdin": "stdin_open",
    "task.container.seccomp": "security_opt",
    "task.container.stop_grace_s": "stop_grace_period",
    "task.container.workdir": "working_dir",
    "task.container": "",
    "task.depends_on": "depends_on",
    "task.limits.cpu_millis": "deploy.resources.limits.cpus",
    "task.limits.memory_bytes": "deploy.resources.limits.memory",
    "task.limits.pids": "deploy.resources.limits.pids",
    "task.log_driver": "logging",
    "task.log_driver.name": "logging.driver",
    "task.networks": "networks",
    "task.placement": "deploy.placement",
    "task.reservations.cpu_millis": "deploy.resources.reservations.cpus",
    "task.reservations.generic": "deploy.resources.reservations.generic_resources",
    "task.reservations.memory_bytes": "deploy.resources.reservations.memory",
    "task.restart": "deploy.restart_policy",
    "update": "deploy.update_config",
}

_PORT = re.compile(r"mode=host,target=(\d+),published=(\d+)")


def located(key: str, problem: str) -> str:
    """`problem` (`path: what is wrong`) of the service `key`, with the file's path."""
    path, colon, text = problem.partition(": ")
    for start in sorted(_KEYS, key=len, reverse=True):
        rest = path.removeprefix(start)
        if colon and path.startswith(start) and (not rest or rest[0] in ".["):
            there = f"{_KEYS[start]}{rest.removesuffix('_s')}".removeprefix(".")
            return f"services.{key}{'.' if there else ''}{there}: {_worded(text)}"
    return f"services.{key}: {_worded(problem)}"


def _worded(text: str) -> str:
    text = text.replace("--network host", "`networks: [host]`")
    return _PORT.sub(r"{target: \1, published: \2, mode: host}", text)


def refusal(problems: list[str]) -> Invalid:
    """The error that tells all `problems` at once."""
    if len(problems) == 1:
        return Invalid(problems[0], hint="mend the stack file")
    return Invalid(
        f"the stack file has {len(problems)} problems",
        hint="mend the stack file",
        problems=tuple(problems),
    )


def relocated(error: Invalid | Refused, key: str) -> Invalid | Refused:
    """A manager's refusal of a spec, in the words of the stack file."""
    if isinstance(error, Refused):
        return Refused(located(key, error.message), hint=error.hint)
    problems = tuple(located(key, each) for each in error.problems)
    return Invalid(located(key, error.message), hint=error.hint, problems=problems)
