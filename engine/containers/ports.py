"""Translate ports: those a container has, and those of its node that lead there."""

import re
from collections.abc import Iterable, Mapping

from engine.replies import JsonObject
from engine.wire.containers import PortBindingJson
from swarm.errors import Invalid
from swarm.specs import Port, Protocol, PublishMode
from swarm.standalone import PortSpan

_MOST = 65535
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_PROTOCOLS = {each.word: each for each in Protocol}


def read_exposed(asked: Iterable[str]) -> tuple[str, ...]:
    """`80/tcp` for each port, of ranges too."""
    found = dict[str, None]()
    for text in asked:
        first, last, protocol = _parse(text)
        found.update(dict.fromkeys(f"{port}/{protocol}" for port in range(first, last + 1)))
    return tuple(found)


def read_bindings(
    asked: Mapping[str, Iterable[PortBindingJson]],
) -> tuple[tuple[Port, ...], tuple[PortSpan, ...]]:
    """The ports of the node (published 0 is any free one), and those that one of a span will do."""
    found: list[Port] = []
    spans: list[PortSpan] = []
    for text, bindings in asked.items():
        first, last, protocol = _parse(text)
        if first != last:
            raise Invalid(f'invalid port specification: "{text}"')
        for binding in tuple(bindings) or (PortBindingJson(),):
            least, most = _host_span(binding.host_port)
            port = Port(
                target=first,
                published=least,
                protocol=_PROTOCOLS[protocol],
                mode=PublishMode.HOST,
                ip=binding.host_ip,
            )
            if least == most:
                found.append(port)
            else:
                spans.append(PortSpan(port=port, last=most))
    return tuple(found), tuple(spans)


def write_bindings(ports: Iterable[Port], spans: Iterable[PortSpan]) -> JsonObject:
    """What was asked for, by the container's port."""
    found: dict[str, list[JsonObject]] = {}
    for port in ports:
        text = str(port.published) if port.published else ""
        found.setdefault(key(port), []).append({"HostIp": port.ip, "HostPort": text})
    for span in spans:
        port, text = span.port, f"{span.port.published}-{span.last}"
        found.setdefault(key(port), []).append({"HostIp": port.ip, "HostPort": text})
    return found


def write_map(exposed: Iterable[str], ports: Iterable[Port]) -> JsonObject:
    """What there is, by the container's port; null where nothing leads to it."""
    found: dict[str, list[JsonObject] | None] = dict.fromkeys(exposed)
    for port in ports:
        bindings = found.get(key(port)) or []
        found[key(port)] = [
            *bindings,
            *({"HostIp": ip, "HostPort": str(port.published)} for ip in _addresses(port)),
        ]
    return found


def write_list(exposed: Iterable[str], ports: Iterable[Port]) -> list[JsonObject]:
    """The same as lists of containers have it."""
    published = {key(port) for port in ports}
    found: list[JsonObject] = [
        {"PrivatePort": int(text.partition("/")[0]), "Type": text.partition("/")[2] or "tcp"}
        for text in exposed
        if text not in published
    ]
    found += [
        {
            "IP": ip,
            "PrivatePort": port.target,
            "PublicPort": port.published,
            "Type": port.protocol.word,
        }
        for port in ports
        for ip in _addresses(port)
    ]
    return found


def key(port: Port) -> str:
    """`80/tcp`."""
    return f"{port.target}/{port.protocol.word}"


def _addresses(port: Port) -> tuple[str, ...]:
    """Where it is reached: on all addresses of both families unless one was asked for."""
    return (port.ip,) if port.ip else ("0.0.0.0", "::")


def _parse(text: str) -> tuple[int, int, str]:
    numbers, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    found = _RANGE.fullmatch(numbers)
    if found is None or protocol not in _PROTOCOLS:
        raise Invalid(f'invalid port specification: "{text}"', hint="write it like 80/tcp")
    first, last = int(found[1]), int(found[2] or found[1])
    if not 1 <= first <= last <= _MOST:
        raise Invalid(f'invalid port specification: "{text}"', hint="ports are 1 to 65535")
    return first, last, protocol


def _host_span(text: str) -> tuple[int, int]:
    if not text:
        return 0, 0
    found = _RANGE.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if not first <= last <= _MOST:
        raise Invalid(f'invalid port specification: "{text}"', hint="write it like 8080")
    return first, last
