"""Read what a service's containers are: program, environment, files, rights, health."""

import re
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from swarm.capabilities import settled
from swarm.errors import Invalid, Missing
from swarm.seccomp import compact
from swarm.specs import ContainerSpec, FileReference, Healthcheck, LogDriver, Ulimit
from swarmctl.edits import with_given
from swarmctl.environment import read_env_file
from swarmctl.security import parse_device, seccomp_file, with_capabilities, with_options
from swarmctl.stacks.documents import Document
from swarmctl.stacks.fields import Fields
from swarmctl.stacks.mounts import read_mounts
from swarmctl.stacks.names import marked
from swarmctl.stacks.networks import StackNetwork
from swarmctl.stacks.resources import Content, Volume

Read = Callable[[str], bytes]
"""Read a file, at a path as the stack file has it: `Missing` when there is none, `Invalid` when
it cannot be read."""

_HOST = re.compile(r"(?P<name>[^:=\s]+)[:=](?P<ip>\[.*\]|.*)")


class Around(Struct, frozen=True, kw_only=True):
    """What there is around the services of a stack file."""

    stack: str
    directory: str
    environ: Mapping[str, str]
    read: Read
    volumes: Mapping[str, Volume]
    networks: Mapping[str, StackNetwork]
    secrets: Mapping[str, Content]
    configs: Mapping[str, Content]


def read_container(service: Fields, around: Around) -> ContainerSpec:
    """The container; secrets and configs have their names and no ids yet."""
    container = with_given(
        ContainerSpec(),
        image=service.text("image"),
        command=service.words("entrypoint"),
        args=service.words("command"),
        env=_environment(service, around),
        workdir=service.text("working_dir"),
        user=service.text("user"),
        groups=service.texts("group_add"),
        hostname=service.text("hostname"),
        labels=marked(around.stack, service.labels("labels")),
        mounts=read_mounts(service, around.volumes, directory=around.directory),
        stop_signal=service.text("stop_signal"),
        stop_grace_s=service.duration("stop_grace_period"),
        read_only=service.boolean("read_only"),
        init=service.boolean("init"),
        sysctls=service.labels("sysctls"),
        ulimits=tuple(_ulimits(service.within("ulimits"))),
        hosts=_hosts(service),
        oom_score_adj=service.count("oom_score_adj"),
        privileged=service.boolean("privileged"),
        devices=service.read_all("devices", parse_device),
        host_user_namespace=service.read("userns_mode", _is_host),
        tty=service.boolean("tty"),
        open_stdin=service.boolean("stdin_open"),
        health=_health(service.within("healthcheck")),
        secrets=_files(service, "secrets", around.secrets, base=""),
        configs=_files(service, "configs", around.configs, base="/"),
        dns_servers=service.texts("dns"),
        dns_search=service.texts("dns_search"),
        dns_options=service.texts("dns_opt"),
    )
    return _with_rights(service, container, around.read)


def read_log_driver(logging: Fields) -> LogDriver:
    """Where output goes."""
    driver = LogDriver(name=logging.text("driver") or "", options=logging.labels("options"))
    logging.done()
    return driver


def _environment(service: Fields, around: Around) -> tuple[str, ...]:
    """The files first, then what is said here; sorted, for an order means nothing in a mapping."""
    found = dict[str, str | None]()
    for path, is_required in _env_files(service):
        try:
            entries = read_env_file(around.read(path), path=path)
        except Missing as err:
            if is_required:
                service.problem("env_file", err.message)
            continue
        except Invalid as err:
            service.problem("env_file", err.message)
            continue
        for entry in entries:
            key, equals, word = entry.partition("=")
            found[key] = word if equals else around.environ.get(key)
    for name, value in service.pairs("environment").items():
        found[name] = around.environ.get(name) if value is None else value
    return tuple(f"{name}={value}" for name, value in sorted(found.items()) if value is not None)


def _env_files(service: Fields) -> Iterator[tuple[str, bool]]:
    """Each file, and whether it has to be there."""
    value = service.value("env_file")
    for at, item in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(item, dict):
            yield from ((str(item), True),) if item is not None else ()
            continue
        entry = Fields(item, service.at(f"env_file[{at}]"), service.problems)
        path, required = entry.text("path"), entry.boolean("required")
        entry.done()
        if path is not None:
            yield path, required is not False


def _files(
    service: Fields, kind: str, known: Mapping[str, Content], *, base: str
) -> tuple[FileReference, ...]:
    found: list[FileReference] = []
    for at, item in enumerate(service.items(kind)):
        path = service.at(f"{kind}[{at}]")
        short: Document = item if isinstance(item, dict) else {"source": item}
        entry = Fields(short, path, service.problems)
        source = entry.text("source") or ""
        content = known.get(source)
        if content is None:
            entry.problem("", f"there is no {source!r}; declare it in {kind} of the file")
        reference = with_given(
            FileReference(name=content.name if content else source, target=f"{base}{source}"),
            target=entry.text("target"),
            uid=entry.text("uid"),
            gid=entry.text("gid"),
            mode=entry.mode("mode"),
        )
        entry.done()
        found.append(reference)
    return tuple(found)


def _ulimits(ulimits: Fields) -> Iterator[Ulimit]:
    for name in ulimits.names():
        if isinstance(ulimits.value(name), dict):
            both = ulimits.within(name)
            soft, hard = both.count("soft"), both.count("hard")
            both.done()
            if soft is None or hard is None:
                both.problem("", "needs soft and hard")
                continue
            yield Ulimit(name=name, soft=soft, hard=hard)
        elif (limit := ulimits.count(name)) is not None:
            yield Ulimit(name=name, soft=limit, hard=limit)


def _hosts(service: Fields) -> tuple[str, ...]:
    value = service.value("extra_hosts")
    if isinstance(value, dict):
        pairs = service.pairs("extra_hosts").items()
        return tuple(f"{name}:{(ip or '').strip('[]')}" for name, ip in pairs)
    return service.read_all("extra_hosts", _host)


def _host(text: str) -> str:
    found = _HOST.fullmatch(text)
    if found is None:
        raise Invalid(f"{text!r} is not NAME:IP")
    return f"{found['name']}:{found['ip'].strip('[]')}"


def _is_host(text: str) -> bool:
    if text != "host":
        raise Invalid(f"{text!r} is unknown; there is host")
    return True


def _health(fields: Fields) -> Healthcheck:
    is_list = isinstance(fields.value("test"), list)
    test = fields.texts("test")
    health = with_given(
        Healthcheck(test=test if is_list or not test else ("CMD-SHELL", *test)),
        interval_s=fields.duration("interval"),
        timeout_s=fields.duration("timeout"),
        retries=fields.count("retries"),
        start_period_s=fields.duration("start_period"),
        start_interval_s=fields.duration("start_interval"),
    )
    is_off = fields.boolean("disable") or (is_list and test == ("NONE",))
    fields.done()
    if is_off and health != Healthcheck(test=health.test):
        fields.problem("disable", "leaves nothing to say about the check")
    if is_list and test and test[0] not in ("NONE", "CMD", "CMD-SHELL"):
        fields.problem("test", f"begins with {test[0]!r}, and not with NONE, CMD or CMD-SHELL")
    return Healthcheck(test=("NONE",)) if is_off else health


def _with_rights(service: Fields, container: ContainerSpec, read: Read) -> ContainerSpec:
    """What is both added and dropped is neither."""
    add, drop = service.texts("cap_add"), service.texts("cap_drop")
    try:
        added = with_capabilities(container, add=add, drop=())
        dropped = with_capabilities(container, add=(), drop=drop)
    except Invalid as err:
        service.problem("cap_add", err.message)
        return container
    cap_add, cap_drop = settled({*added.cap_add}, {*dropped.cap_drop})
    container = with_given(container, cap_add=cap_add, cap_drop=cap_drop)
    try:
        options = [_option(each, read) for each in service.texts("security_opt")]
        return with_options(container, options)
    except (Invalid, Missing) as err:
        service.problem("security_opt", err.message)
        return container


def _option(text: str, read: Read) -> str:
    """A `security_opt` with the profile in place of its file."""
    path = seccomp_file(text)
    return f"seccomp={compact(read(path))}" if path else text
