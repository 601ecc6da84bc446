"""Say which fields of a service's spec change, in the words that users type.

A spec is laid out as lines, one for each field that holds a value; the difference of two specs
is that of their lines. What is listed under a name (a variable, a mount, a label) keeps it in
its path, so it is told as changed; what is listed only as itself (a constraint, a capability)
comes or goes. Of a new service only what differs from the defaults is told.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from typing import TypeVar, cast

from msgspec import NODEFAULT, Struct, structs

from swarm.quantities import format_cpus, format_duration
from swarm.specs import (
    Affinity,
    Dependency,
    Device,
    FileReference,
    Global,
    GlobalJob,
    Mount,
    NetworkAttachment,
    Platform,
    Port,
    PublishMode,
    Replicated,
    ReplicatedJob,
    ServiceSpec,
    Taint,
    TaintEffect,
    Toleration,
    Ulimit,
)

_SHOWN = 100
"""How much of a long value is shown."""
_MODES = {
    Replicated: "replicated",
    Global: "global",
    ReplicatedJob: "replicated-job",
    GlobalJob: "global-job",
}
_WORDS = frozenset(("command", "args", "test"))
"""Lists whose order matters: the words of a command."""

S = TypeVar("S", bound=Struct)


class FieldChange(Struct, frozen=True):
    """A field with its two values; an empty one is absent."""

    path: str
    before: str
    after: str


class _Line(Struct, frozen=True):
    """One value; `key` tells lines of the same path apart."""

    path: str
    key: str
    text: str


def field_changes(before: ServiceSpec | None, after: ServiceSpec) -> tuple[FieldChange, ...]:
    """What `after` changes; all that is not as by default when there is no `before`."""
    old = {_id(each): each for each in _lines(before)} if before is not None else {}
    new = {_id(each): each for each in _lines(after)}
    if before is None:
        default = {_id(each): each for each in _lines(ServiceSpec(mode=after.mode))}
        always = ("mode", "replicated.replicas", "job.total")
        new = {k: v for k, v in new.items() if default.get(k) != v or v.path in always}
    changes: list[FieldChange] = []
    for key in [*old, *(each for each in new if each not in old)]:
        a, b = old.get(key), new.get(key)
        if a != b:
            line = b or a
            assert line is not None
            changes.append(FieldChange(line.path, a.text if a else "", b.text if b else ""))
    return tuple(changes)


def _id(line: _Line) -> tuple[str, str]:
    return line.path, line.key


def _lines(spec: ServiceSpec) -> Iterator[_Line]:
    mode = spec.mode
    yield _Line("mode", "", _MODES[type(mode)])
    if isinstance(mode, Replicated):
        yield _Line("replicated.replicas", "", str(mode.replicas))
    elif isinstance(mode, ReplicatedJob):
        yield _Line("job.total", "", str(mode.total))
        yield _Line("job.max_concurrent", "", str(mode.max_concurrent))
    for name in spec.__struct_fields__:
        if name != "mode":
            yield from _value(name, name, getattr(spec, name))


def _value(path: str, name: str, value: object) -> Iterator[_Line]:
    match value:
        case None:
            return
        case Struct():
            for each in value.__struct_fields__:
                yield from _value(f"{path}.{each}", each, getattr(value, each))
        case dict():
            for key, text in sorted(cast("dict[str, str]", value).items()):
                yield _Line(f"{path}[{key}]", "", text)
        case tuple():
            yield from _items(path, name, cast("tuple[object, ...]", value))
        case _:
            if text := _scalar(name, value):
                yield _Line(_without_unit(path), "", _cut(text))


def _items(path: str, name: str, items: tuple[object, ...]) -> Iterator[_Line]:
    if name in _WORDS:
        if items:
            yield _Line(path, "", _cut(shlex.join(map(str, items))))
        return
    for item in items:
        if isinstance(item, Struct):
            key, text = _item(item)
            yield _Line(f"{path}[{key}]" if key else path, "" if key else text, text)
        elif name == "env":
            variable, _, content = str(item).partition("=")
            yield _Line(f"{path}[{variable}]", "", _cut(content))
        else:
            yield _Line(path, str(item), _scalar(name, item))


def _scalar(name: str, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case IntEnum():
            return value.name.lower().replace("_", "-")
        case int() if name.endswith("_bytes"):
            return _bytes(value)
        case int() if name.endswith("_millis"):
            return format_cpus(value)
        case int() if name.endswith("mode"):
            return f"{value:04o}"
        case float() if name.endswith("_s"):
            return format_duration(value)
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _without_unit(path: str) -> str:
    """Values are shown with their own units, and processors in whole ones."""
    for suffix in ("_millis", "_bytes", "_s"):
        if path.endswith(suffix):
            return path.removesuffix(suffix)
    return path


def _bytes(size: int) -> str:
    """Exactly as many bytes, in the largest unit that goes: `512m`."""
    for power, unit in ((30, "g"), (20, "m"), (10, "k")):
        if size > 0 and size % (1 << power) == 0:
            return f"{size >> power}{unit}"
    return str(size)


def _cut(text: str) -> str:
    shown = text.replace("\n", "\\n")
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}… ({len(text)} characters)"


def _item(item: Struct) -> tuple[str, str]:
    """The name under which something is listed, if it has one, and what it says."""
    render = _ITEMS.get(type(item))
    return render(item) if render is not None else ("", _fields(item))


def _fields(item: Struct, *without: str) -> str:
    """`field=value` of all that is not as by default."""
    parts: list[str] = []
    for each in structs.fields(item):
        value: object = getattr(item, each.name)
        default = each.default
        if default is NODEFAULT and each.default_factory is not NODEFAULT:
            default = each.default_factory()
        if value == default or each.name in without:
            continue
        if isinstance(value, dict):
            pairs = cast("Mapping[str, str]", value).items()
            parts += [f"{each.name}={key}={text}" for key, text in sorted(pairs)]
        elif isinstance(value, tuple):
            texts = (_scalar(each.name, one) for one in cast("tuple[object, ...]", value))
            parts.append(f"{each.name}={'|'.join(texts)}")
        else:
            parts.append(f"{each.name}={_scalar(each.name, value)}")
    return ",".join(parts)


def _mount(mount: Mount) -> tuple[str, str]:
    rest = _fields(mount, "kind", "target")
    return mount.target, f"type={mount.kind.name.lower()}" + (f",{rest}" if rest else "")


def _port(port: Port) -> tuple[str, str]:
    published = f"{port.ip}:{port.published}" if port.ip else str(port.published)
    mode = "host" if port.mode is PublishMode.HOST else "ingress"
    return f"{port.target}/{port.protocol.word}", f"published={published},mode={mode}"


def _affinity(affinity: Affinity) -> tuple[str, str]:
    sign = "!=" if affinity.anti else "=="
    wish = "" if affinity.required else " (preferred)"
    place = f" by {affinity.topology}" if affinity.topology != "node.id" else ""
    return "", f"service{sign}{affinity.service}{place}{wish}"


def _file(file: FileReference) -> tuple[str, str]:
    name = file.name or file.id
    rest = _fields(file, "id", "name", "target")
    return file.target or name, f"{name},{rest}" if rest else name


def _taint(taint: Taint) -> tuple[str, str]:
    value = f"={taint.value}" if taint.value else ""
    return "", f"{taint.key}{value}:{_effect(taint.effect)}"


def _toleration(one: Toleration) -> tuple[str, str]:
    value = "" if one.any_value else f"={one.value}"
    effects = f":{'|'.join(map(_effect, one.effects))}" if one.effects else ""
    return "", f"{one.key or '*'}{value}{effects}"


def _effect(effect: TaintEffect) -> str:
    return effect.name.lower().replace("_", "-")


def _device(device: Device) -> tuple[str, str]:
    return device.target or device.source, f"{device.source}:{device.access}"


def _dependency(one: Dependency) -> tuple[str, str]:
    return one.service, one.condition.name.lower()


def _ulimit(one: Ulimit) -> tuple[str, str]:
    return one.name, f"{one.soft}:{one.hard}"


def _network(one: NetworkAttachment) -> tuple[str, str]:
    return one.target, ",".join(one.aliases) or "attached"


def _platform(one: Platform) -> tuple[str, str]:
    return "", f"{one.os}/{one.arch}"


def _for(
    kind: type[S], render: Callable[[S], tuple[str, str]]
) -> Callable[[Struct], tuple[str, str]]:
    def rendered(item: Struct) -> tuple[str, str]:
        assert isinstance(item, kind)
        return render(item)

    return rendered


_ITEMS: Mapping[type[Struct], Callable[[Struct], tuple[str, str]]] = {
    Mount: _for(Mount, _mount),
    NetworkAttachment: _for(NetworkAttachment, _network),
    Port: _for(Port, _port),
    Affinity: _for(Affinity, _affinity),
    FileReference: _for(FileReference, _file),
    Taint: _for(Taint, _taint),
    Toleration: _for(Toleration, _toleration),
    Device: _for(Device, _device),
    Dependency: _for(Dependency, _dependency),
    Ulimit: _for(Ulimit, _ulimit),
    Platform: _for(Platform, _platform),
}
