"""Translate the container of a service's tasks.

What Docker has no word for stays as it was unless the client says something of it.
"""

from collections.abc import Iterable

from msgspec import structs

from engine.services import rights
from engine.services.mounts import read_mounts, write_mount
from engine.services.words import nanoseconds, ordered, seconds
from engine.wire.task_containers import (
    ConfigReferenceJson,
    ContainerJson,
    FileJson,
    HealthcheckJson,
    ResolverJson,
    SecretReferenceJson,
    UlimitJson,
)
from swarm.errors import Invalid
from swarm.specs import ContainerSpec, FileReference, Healthcheck, Ulimit

_DEFAULT = ContainerSpec()
_READABLE = 0o444


def read_container(path: str, asked: ContainerJson, before: ContainerSpec) -> ContainerSpec:
    """The container that a client asks for, where it was `before` so far."""
    resolver = asked.dns_config or ResolverJson()
    grace = asked.stop_grace_period
    return structs.replace(
        rights.read_rights(path, asked, before),
        image=asked.image,
        command=asked.command,
        args=asked.args,
        env=_read_env(asked.env),
        workdir=asked.dir,
        user=asked.user,
        groups=asked.groups,
        hostname=asked.hostname,
        labels=asked.labels,
        mounts=read_mounts(f"{path}.Mounts", asked.mounts, before.mounts),
        stop_signal=asked.stop_signal,
        stop_grace_s=_DEFAULT.stop_grace_s if grace is None else seconds(grace),
        read_only=asked.read_only,
        init=bool(asked.init),
        sysctls=asked.sysctls,
        ulimits=tuple(
            Ulimit(name=each.name, soft=each.soft or 0, hard=each.hard or 0)
            for each in asked.ulimits
        ),
        hosts=_read_hosts(f"{path}.Hosts", asked.hosts),
        oom_score_adj=asked.oom_score_adj,
        tty=asked.tty,
        open_stdin=asked.open_stdin,
        health=read_health(asked.healthcheck or HealthcheckJson()),
        secrets=tuple(
            _reference(each.secret_id, each.secret_name, each.file) for each in asked.secrets
        ),
        configs=tuple(_read_configs(f"{path}.Configs", asked.configs)),
        dns_servers=resolver.nameservers,
        dns_search=resolver.search,
        dns_options=resolver.options,
    )


def write_container(container: ContainerSpec) -> ContainerJson:
    """A container as Docker's clients read it."""
    resolver = ResolverJson(
        nameservers=container.dns_servers,
        search=container.dns_search,
        options=container.dns_options,
    )
    health = write_health(container.health)
    return ContainerJson(
        image=container.image,
        labels=ordered(container.labels),
        command=container.command,
        args=container.args,
        hostname=container.hostname,
        env=container.env,
        dir=container.workdir,
        user=container.user,
        groups=container.groups,
        privileges=rights.write_privileges(container),
        init=container.init or None,
        stop_signal=container.stop_signal,
        tty=container.tty,
        open_stdin=container.open_stdin,
        read_only=container.read_only,
        mounts=tuple(map(write_mount, container.mounts)),
        stop_grace_period=nanoseconds(container.stop_grace_s),
        healthcheck=None if health == HealthcheckJson() else health,
        hosts=tuple(map(_write_host, container.hosts)),
        dns_config=None if resolver == ResolverJson() else resolver,
        secrets=tuple(
            SecretReferenceJson(secret_id=each.id, secret_name=each.name, file=_write_file(each))
            for each in container.secrets
        ),
        configs=tuple(
            ConfigReferenceJson(config_id=each.id, config_name=each.name, file=_write_file(each))
            for each in container.configs
        ),
        isolation="default",
        sysctls=ordered(container.sysctls),
        capability_add=container.cap_add,
        capability_drop=container.cap_drop,
        ulimits=tuple(
            UlimitJson(name=each.name, hard=each.hard, soft=each.soft) for each in container.ulimits
        ),
        oom_score_adj=container.oom_score_adj,
        privileged=container.privileged or None,
        devices=rights.write_devices(container),
        userns_mode="host" if container.host_user_namespace else None,
    )


def read_health(asked: HealthcheckJson) -> Healthcheck:
    """A probe that a client asks for."""
    return Healthcheck(
        test=asked.test,
        interval_s=seconds(asked.interval),
        timeout_s=seconds(asked.timeout),
        retries=asked.retries,
        start_period_s=seconds(asked.start_period),
        start_interval_s=seconds(asked.start_interval),
    )


def write_health(health: Healthcheck) -> HealthcheckJson:
    """A probe as Docker's clients read it."""
    return HealthcheckJson(
        test=health.test,
        interval=nanoseconds(health.interval_s),
        timeout=nanoseconds(health.timeout_s),
        retries=health.retries,
        start_period=nanoseconds(health.start_period_s),
        start_interval=nanoseconds(health.start_interval_s),
    )


def _read_env(asked: Iterable[str]) -> tuple[str, ...]:
    """Each name once, with its last value."""
    found = {text.partition("=")[0]: text for text in asked}
    return tuple(found.values())


def _read_hosts(path: str, asked: Iterable[str]) -> tuple[str, ...]:
    """`NAME:IP` of lines as /etc/hosts has them, each with one or several names."""
    found: list[str] = []
    for index, line in enumerate(asked):
        address, *names = line.split() or [""]
        if not names:
            raise Invalid(
                f"{path}[{index}]: {line!r} is not a line of /etc/hosts",
                hint='write an address and a name: "192.0.2.7 db"',
            )
        found += [f"{name}:{address}" for name in names]
    return tuple(found)


def _write_host(host: str) -> str:
    name, _, address = host.partition(":")
    return f"{address} {name}"


def _read_configs(path: str, asked: Iterable[ConfigReferenceJson]) -> Iterable[FileReference]:
    for index, each in enumerate(asked):
        if each.runtime is not None:
            raise Invalid(
                f"{path}[{index}].Runtime: only credential specs of Windows use configs without a "
                "file",
                hint="give it a File",
            )
        yield _reference(each.config_id, each.config_name, each.file)


def _reference(content_id: str, name: str, file: FileJson | None) -> FileReference:
    file = file or FileJson()
    return FileReference(
        id=content_id,
        name=name,
        target=file.name or name,
        uid=file.uid or "0",
        gid=file.gid or "0",
        mode=_READABLE if file.mode is None else file.mode,
    )


def _write_file(each: FileReference) -> FileJson:
    return FileJson(name=each.target, uid=each.uid, gid=each.gid, mode=each.mode)
