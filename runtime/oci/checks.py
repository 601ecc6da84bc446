"""Find everything that the specification forbids in a config, before anything is made.

Only what the file itself can answer: whether paths exist, whether the kernel has a feature and
whether we may use it is the kernel's to say, at the step that asks for it. We are as strict as
the specification's MUSTs, and as lax as runc where engines rely on that: a relative mount
destination, a missing mount type or a mapping beside a namespace to be joined are accepted.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from runtime.oci import names, ranges
from runtime.oci.config import Config, Hook, IdMapping, Linux, Mount, Process, Resources
from runtime.oci.problem import Problem, absolute, one_of, refuse, twice
from runtime.oci.process_checks import of_process
from runtime.oci.resource_checks import of_resources
from runtime.oci.seccomp_checks import of_seccomp

_VERSION: Final = re.compile(r"(\d+)\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?")
_IPC_SYSCTLS: Final = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
    "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
)  # fmt: skip
_LARGEST_MAPPINGS: Final = 340
_ROOTFS_PROPAGATIONS: Final = ("", *names.PROPAGATION)


def check(config: Config) -> None:
    """Raise `Invalid` with all problems of a config that was not read from a file."""
    refuse("config.json", problems(config))


def check_startable(config: Config) -> Process:
    """The process, without which a container can be created but not started."""
    if config.process is None:
        refuse("config.json", (Problem("process", "is missing, so there is nothing to start"),))
    assert config.process is not None
    if not config.process.args:
        refuse("config.json", (Problem("process.args", "must name a program"),))
    return config.process


def problems(config: Config) -> list[Problem]:
    """All of them, in the order of the specification."""
    return [*ranges.problems(config), *_problems(config)]


def process_problems(process: Process) -> list[Problem]:
    """Those of the process of an exec."""
    return [*ranges.problems(process), *of_process("", process)]


def resources_problems(resources: Resources) -> list[Problem]:
    """Those of the resources of an update."""
    return [*ranges.problems(resources), *of_resources("", resources)]


def _problems(config: Config) -> Iterator[Problem]:
    yield from _version(config.oci_version)
    if config.root is None:
        yield Problem("root", "is missing")
    elif not config.root.path:
        yield Problem("root.path", "must not be empty")
    for number, mount in enumerate(config.mounts):
        yield from _mount(f"mounts[{number}]", mount)
    if config.process is not None:
        yield from of_process("process", config.process)
    yield from _hooks(config)
    if "" in config.annotations:
        yield Problem("annotations", "must not have an empty key")
    yield from _names(config)
    if config.linux is not None:
        yield from _linux(config.linux)


def _version(version: str) -> Iterator[Problem]:
    found = _VERSION.fullmatch(version)
    if not found:
        yield Problem("ociVersion", f"must be a version such as 1.2.0, is {version!r}")
    elif found[1] != "1":
        yield Problem("ociVersion", f"must be of the major version 1, is {version!r}")


def _mount(path: str, mount: Mount) -> Iterator[Problem]:
    options = set(mount.options)
    if not mount.destination:
        yield Problem(f"{path}.destination", "must not be empty")
    if ".." in mount.destination.split("/"):
        yield Problem(f"{path}.destination", f"must not contain `..`, is {mount.destination!r}")
    is_bind = mount.type == "bind" or bool(options & {"bind", "rbind"})
    if is_bind and not mount.source:
        yield Problem(f"{path}.source", "must name what is bound")
    if not is_bind and not mount.type and not options & {"remount", *names.PROPAGATION}:
        yield Problem(f"{path}.type", "must name a file system, or options say bind")
    if bool(mount.uid_mappings) != bool(mount.gid_mappings):
        yield Problem(path, "uidMappings and gidMappings must be there together")
    for name, mappings in (("uid", mount.uid_mappings), ("gid", mount.gid_mappings)):
        yield from _mappings(f"{path}.{name}Mappings", mappings)


def _hooks(config: Config) -> Iterator[Problem]:
    hooks = config.hooks
    kinds: dict[str, tuple[Hook, ...]] = {
        "prestart": hooks.prestart,
        "createRuntime": hooks.create_runtime,
        "createContainer": hooks.create_container,
        "startContainer": hooks.start_container,
        "poststart": hooks.poststart,
        "poststop": hooks.poststop,
    }
    for kind, found in kinds.items():
        for number, hook in enumerate(found):
            path = f"hooks.{kind}[{number}]"
            yield from absolute(f"{path}.path", hook.path)
            for place, variable in enumerate(hook.env):
                if "=" not in variable[1:]:
                    yield Problem(f"{path}.env[{place}]", f"must be NAME=VALUE, is {variable!r}")


def _names(config: Config) -> Iterator[Problem]:
    """The names that an uts namespace keeps."""
    uts = _has(config.linux, "uts")
    for field, value in (("hostname", config.hostname), ("domainname", config.domainname)):
        if not value:
            continue
        if not uts:
            yield _needs(field, "uts", "would rename the host")
        if len(value.encode(errors="replace")) > 64:
            yield Problem(field, "must not be longer than 64 bytes")


def _linux(linux: Linux) -> Iterator[Problem]:
    yield from _namespaces(linux)
    yield from _user_namespace(linux)
    yield from _time_namespace(linux)
    yield from _devices(linux)
    if ".." in linux.cgroups_path.split("/"):
        yield Problem("linux.cgroupsPath", f"must not contain `..`, is {linux.cgroups_path!r}")
    if linux.resources is not None:
        yield from of_resources("linux.resources", linux.resources)
    yield from one_of("linux.rootfsPropagation", linux.rootfs_propagation, _ROOTFS_PROPAGATIONS)
    if linux.seccomp is not None:
        yield from of_seccomp("linux.seccomp", linux.seccomp)
    for name in linux.sysctl:
        yield from _sysctl(f"linux.sysctl[{name}]", name, linux)
    for field, paths in (
        ("linux.maskedPaths", linux.masked_paths),
        ("linux.readonlyPaths", linux.readonly_paths),
    ):
        for number, path in enumerate(paths):
            yield from absolute(f"{field}[{number}]", path)
        if paths and not _has(linux, "mount"):
            yield _needs(field, "mount", "would hide or protect paths of the host")
    if linux.personality is not None:
        yield from one_of("linux.personality.domain", linux.personality.domain, names.PERSONALITIES)
        if linux.personality.flags:
            yield Problem("linux.personality.flags", "must be empty: there are none so far")
    if linux.intel_rdt is not None:
        yield Problem("linux.intelRdt", "is not supported; remove it")


def _namespaces(linux: Linux) -> Iterator[Problem]:
    for number, namespace in enumerate(linux.namespaces):
        path = f"linux.namespaces[{number}]"
        yield from one_of(f"{path}.type", namespace.type, names.NAMESPACES)
        if namespace.path:
            yield from absolute(f"{path}.path", namespace.path)
    yield from twice("linux.namespaces[{}].type", (each.type for each in linux.namespaces))


def _user_namespace(linux: Linux) -> Iterator[Problem]:
    for field, mappings in (
        ("linux.uidMappings", linux.uid_mappings),
        ("linux.gidMappings", linux.gid_mappings),
    ):
        yield from _mappings(field, mappings)
        if mappings and not _has(linux, "user"):
            yield _needs(field, "user", "has no effect without it")
        if not mappings and _is_new(linux, "user"):
            text = "must not be empty, or nobody could exist in the new user namespace"
            yield Problem(field, text, "linux.namespaces")


def _mappings(path: str, mappings: tuple[IdMapping, ...]) -> Iterator[Problem]:
    if len(mappings) > _LARGEST_MAPPINGS:
        yield Problem(path, f"must not have more than {_LARGEST_MAPPINGS} ranges")
    for side in ("container_id", "host_id"):
        ranges_used = sorted((getattr(each, side), each.size) for each in mappings)
        for (first, size), (following, _) in pairwise(ranges_used):
            if first + size > following:
                where = side.partition("_")[0]
                yield Problem(path, f"{where} ids from {following} on are mapped twice")


def _time_namespace(linux: Linux) -> Iterator[Problem]:
    for name in linux.time_offsets:
        yield from one_of(f"linux.timeOffsets[{name}]", name, names.CLOCKS)
    if linux.time_offsets and not _is_new(linux, "time"):
        yield Problem("linux.timeOffsets", "needs a new time namespace", "linux.namespaces")


def _devices(linux: Linux) -> Iterator[Problem]:
    for number, device in enumerate(linux.devices):
        path = f"linux.devices[{number}]"
        yield from one_of(f"{path}.type", device.type, ("b", "c", "u", "p"))
        yield from absolute(f"{path}.path", device.path)
        if ".." in device.path.split("/"):
            yield Problem(f"{path}.path", f"must not contain `..`, is {device.path!r}")
    yield from twice("linux.devices[{}].path", (each.path for each in linux.devices))


def _sysctl(path: str, written: str, linux: Linux) -> Iterator[Problem]:
    name = names.dotted(written)
    if not {"", ".", ".."}.isdisjoint(names.sysctl_file(written).split("/")):
        yield Problem(path, "is not a kernel parameter's name")
    elif name.startswith("net."):
        if not _has(linux, "network"):
            yield _needs(path, "network", "would change the host")
    elif name.startswith("fs.mqueue.") or name in _IPC_SYSCTLS:
        if not _has(linux, "ipc"):
            yield _needs(path, "ipc", "would change the host")
    elif name == "kernel.domainname":
        if not _has(linux, "uts"):
            yield _needs(path, "uts", "would change the host")
    elif name == "kernel.hostname":
        yield Problem(path, "is what the property hostname is for")
    else:
        yield Problem(path, "is not separate for each container; set it on the host")


def _has(linux: Linux | None, kind: str) -> bool:
    return linux is not None and any(each.type == kind for each in linux.namespaces)


def _is_new(linux: Linux, kind: str) -> bool:
    return any(each.type == kind and not each.path for each in linux.namespaces)


def _needs(path: str, kind: str, why: str) -> Problem:
    return Problem(path, f"needs a {kind} namespace: it {why}", "linux.namespaces")


def unknown_capabilities(used: Iterable[str], last_capability: int) -> tuple[str, ...]:
    """Those that this kernel does not have yet: the container goes without, with a warning."""
    return tuple(
        sorted({name for name in used if names.CAPABILITIES.get(name, 0) > last_capability})
    )
