"""Turn the flags of `build` into what the agent is asked for."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from swarm.api.v1 import builds_pb2, specs_pb2
from swarm.codec import to_message
from swarm.errors import Invalid
from swarmctl.edits import pairs, read_all
from swarmctl.specs import parse_ulimit


class BuildFlags(Struct, frozen=True, kw_only=True):
    """The flags as they are named; what only concerns the context is not here."""

    add_host: tuple[str, ...] = ()
    build_arg: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_shares: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    force_rm: bool = False
    label: tuple[str, ...] = ()
    memory: int = 0
    memory_swap: int = 0
    network: str = ""
    no_cache: bool = False
    platform: str = ""
    pull: bool = False
    quiet: bool = False
    rm: bool = True
    shm_size: int = 0
    tag: tuple[str, ...] = ()
    target: str = ""
    ulimit: tuple[str, ...] = ()


def build_spec(given: Mapping[str, object], *, environ: Mapping[str, str]) -> builds_pb2.BuildSpec:
    """What is asked for; an argument without a value takes the caller's own, if there is one."""
    flags = msgspec.convert(given, BuildFlags)
    values, unset = dict[str, str](), list[str]()
    for text in flags.build_arg:
        name, equals, value = text.partition("=")
        if not name:
            raise Invalid(f"--build-arg {text!r} has no name", hint="write NAME=VALUE")
        if equals:
            values[name] = value
        elif name in environ:
            values[name] = environ[name]
        else:
            unset.append(name)
    return builds_pb2.BuildSpec(
        tags=flags.tag,
        args=values,
        unset_args=unset,
        labels=pairs("--label", flags.label),
        target=flags.target,
        no_cache=flags.no_cache,
        cache_from=flags.cache_from,
        pull=flags.pull,
        quiet=flags.quiet,
        network_mode=flags.network,
        limits=_limits(flags),
        cpu_shares=flags.cpu_shares,
        cpu_period_us=flags.cpu_period,
        cpu_quota_us=flags.cpu_quota,
        cpuset_cpus=flags.cpuset_cpus,
        cpuset_mems=flags.cpuset_mems,
        shm_bytes=flags.shm_size,
        ulimits=[to_message(each) for each in read_all("--ulimit", parse_ulimit, flags.ulimit)],
        extra_hosts=flags.add_host,
        keep_intermediate=not flags.rm,
        force_remove=flags.force_rm,
        platform=flags.platform,
    )


def _limits(flags: BuildFlags) -> specs_pb2.Limits:
    memory, both = flags.memory, flags.memory_swap
    if both > 0 and not 0 < memory <= both:
        raise Invalid(
            f"--memory-swap {both} counts memory, too, and --memory is {memory}",
            hint="give --memory, and no more than --memory-swap",
        )
    swap = -1 if both < 0 else both - memory if both else memory
    return specs_pb2.Limits(memory_bytes=memory, swap_bytes=swap, swappiness=-1)
