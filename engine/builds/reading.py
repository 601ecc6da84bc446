"""Make of a request's parameters what the agent is asked to build."""

import base64
import binascii
from collections.abc import Iterator

import msgspec

from engine.queries import Query
from engine.wire.builds import (
    AuthJson,
    read_arguments,
    read_auths,
    read_labels,
    read_list,
    read_ulimits,
)
from swarm.api.v1 import builds_pb2 as pb
from swarm.errors import Invalid
from swarm.images.reference import parse_reference

CLASSIC = ("", "1")


def read_build(query: Query, registry_config: str) -> pb.BuildSpec:
    """What is to be built; `Invalid` names the parameter that is wrong."""
    if query.text("version") not in CLASSIC:
        raise Invalid(
            "version: there is no BuildKit here",
            hint="use the classic builder: set DOCKER_BUILDKIT=0",
        )
    if query.text("outputs"):
        raise Invalid("outputs: a build here makes an image and nothing else")
    arguments = read_arguments(query.text("buildargs"))
    memory = query.integer("memory")
    spec = pb.BuildSpec(
        dockerfile=query.text("dockerfile"),
        tags=tuple(_tags(query)),
        args={name: value for name, value in arguments.items() if value is not None},
        unset_args=[name for name, value in arguments.items() if value is None],
        labels=read_labels(query.text("labels")),
        target=query.text("target"),
        no_cache=query.flag("nocache"),
        cache_from=read_list("cachefrom", query.text("cachefrom")),
        pull=query.flag("pull"),
        quiet=query.flag("q"),
        squash=query.flag("squash"),
        network_mode=_network(query.text("networkmode")),
        cpu_shares=query.integer("cpushares"),
        cpu_period_us=query.integer("cpuperiod"),
        cpu_quota_us=query.integer("cpuquota"),
        cpuset_cpus=query.text("cpusetcpus"),
        cpuset_mems=query.text("cpusetmems"),
        shm_bytes=query.integer("shmsize"),
        extra_hosts=tuple(_hosts(query)),
        keep_intermediate=not query.flag("rm", default=True),
        force_remove=query.flag("forcerm"),
        platform=query.text("platform"),
        remote=query.text("remote"),
        registry_auths=_auths(registry_config),
    )
    for each in read_ulimits(query.text("ulimits")):
        soft = each.soft if each.soft is not None else each.hard or 0
        hard = each.hard if each.hard is not None else soft
        spec.ulimits.add(name=each.name, soft=soft, hard=hard)
    spec.limits.memory_bytes = memory
    spec.limits.swap_bytes = _swap(memory, query.integer("memswap"))
    spec.limits.swappiness = -1
    return spec


def _tags(query: Query) -> Iterator[str]:
    for text in query.texts("t"):
        if not text:
            continue
        reference = parse_reference(text)
        if reference.digest:
            raise Invalid(f"t: {text}: refusing to create a tag with a digest reference")
        yield str(reference.with_default_tag())


def _hosts(query: Query) -> Iterator[str]:
    """NAME:ADDRESS, several of them in one value with commas between."""
    for text in query.texts("extrahosts"):
        for each in read_list("extrahosts", text) if text.startswith("[") else text.split(","):
            if each:
                name, separator, address = each.partition(":")
                if not separator or "=" in name:
                    name, separator, address = each.partition("=")
                if not (name and address):
                    raise Invalid(f'bad format for add-host: "{each}"', hint="write NAME:ADDRESS")
                yield f"{name}:{address}"


def _network(mode: str) -> str:
    return "" if mode in ("default", "bridge") else mode


def _swap(memory: int, total: int) -> int:
    if total < 0:
        return -1
    if not memory:
        return 0
    return max((total or 2 * memory) - memory, 0)


def _auths(header: str) -> dict[str, str]:
    """By registry; each as a request of its own would have it."""
    if not header:
        return {}
    try:
        document = base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))
    except (binascii.Error, ValueError) as err:
        raise Invalid("X-Registry-Config: not base64") from err
    return {name: _encode(auth) for name, auth in read_auths(document).items()}


def _encode(auth: AuthJson) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(auth)).decode()
