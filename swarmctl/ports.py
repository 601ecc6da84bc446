"""Read `--publish`: `8080:80/tcp`, `127.0.0.1:8080:80`, `mode=host,target=80,published=8080`.

In the short form ranges of the same length stand for as many ports (`8000-8002:80-82`). What
is removed is named by the target, as `80` or `80/udp`, or as it was published; as in Docker.
"""

import re
from ipaddress import IPv4Address, ip_address
from typing import NamedTuple

from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.specs import Port, Protocol, PublishMode

_HINT = "write it like 8080:80, or mode=host,target=8080,published=8080"
_SHORT = re.compile(
    r"(?:(?:(?P<ip>\[[0-9a-fA-F:.]+\]|[0-9]+(?:\.[0-9]+){3}):)?(?P<published>[0-9-]*):)?"
    r"(?P<target>[0-9]+(?:-[0-9]+)?)(?:/(?P<protocol>[a-z]+))?"
)
_EVERY = IPv4Address(0)
_KEYS = ("target", "published", "protocol", "mode", "ip")


class Removed(NamedTuple):
    """What `--publish-rm` names."""

    target: int
    protocol: Protocol
    published: int = 0

    def means(self, port: Port) -> bool:
        """Whether it is this port."""
        is_same = self.published in (0, port.published)
        return is_same and (port.target, port.protocol) == (self.target, self.protocol)


def parse_ports(text: str) -> tuple[Port, ...]:
    """The ports that `text` publishes."""
    return (_long(text),) if "=" in text else tuple(_short(text))


def parse_removed(text: str) -> tuple[Removed, ...]:
    """Ports of the containers, such as `80` or `80/udp`, or in the words that published them."""
    try:
        ports = parse_ports(text)
    except Invalid as err:
        hint = "name the port of the containers, like 80 or 53/udp, or write what published it"
        raise Invalid(err.message, hint=hint) from err
    return tuple(Removed(each.target, each.protocol, each.published) for each in ports)


def _long(text: str) -> Port:
    port, seen = Port(), set[str]()
    for piece in text.split(","):
        key, equals, value = piece.partition("=")
        if not equals or key not in _KEYS:
            raise Invalid(f"{piece!r} in {text!r} cannot be read", hint=_HINT)
        if key in seen:
            raise Invalid(f"{key} is given twice in {text!r}", hint=_HINT)
        seen.add(key)
        match key:
            case "target" | "published":
                port = replace(port, **{key: _number(value, text)})
            case "protocol":
                port = replace(port, protocol=_protocol(value, text))
            case "mode":
                port = replace(port, mode=_mode(value, text))
            case _:
                port = replace(port, ip=_address(value))
    if "target" not in seen:
        raise Invalid(f"{text!r} has no target", hint=_HINT)
    return port


def _short(text: str) -> list[Port]:
    found = _SHORT.fullmatch(text)
    if found is None:
        raise Invalid(f"{text!r} is not [IP:][PUBLISHED:]TARGET[/PROTOCOL]", hint=_HINT)
    targets = _range(found["target"], text)
    published = _range(found["published"], text) if found["published"] else [0] * len(targets)
    if len(published) != len(targets):
        raise Invalid(f"{text!r} has ranges of different lengths", hint=_HINT)
    protocol = _protocol(found["protocol"] or "tcp", text)
    ip = _address(found["ip"] or "")
    return [
        Port(target=target, published=each, protocol=protocol, ip=ip)
        for target, each in zip(targets, published, strict=True)
    ]


def _address(text: str) -> str:
    """As it is stored: in its shortest form, and empty when it stands for all addresses.

    What is no address stays as it is, for the check of the spec to complain of.
    """
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return text.strip("[]")
    return "" if address == _EVERY else str(address)


def _range(text: str, whole: str) -> list[int]:
    first, dash, last = text.partition("-")
    low = _number(first, whole)
    high = _number(last, whole) if dash else low
    if high < low:
        raise Invalid(f"{text!r} in {whole!r} is not a range", hint=_HINT)
    return list(range(low, high + 1))


def _number(text: str, whole: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:6]) < 1 << 16:
        raise Invalid(f"{text!r} in {whole!r} is not a port", hint="there are 1 to 65535")
    return int(text)


def _protocol(text: str, whole: str) -> Protocol:
    try:
        return Protocol[text.upper()]
    except KeyError as err:
        raise Invalid(
            f"{whole!r}: there is no protocol {text!r}", hint="use tcp, udp or sctp"
        ) from err


def _mode(text: str, whole: str) -> PublishMode:
    try:
        return PublishMode[text.upper()]
    except KeyError as err:
        raise Invalid(f"{whole!r}: there is no mode {text!r}", hint="use ingress or host") from err
