"""Translate how a service is reached, and which networks its tasks are in."""

from collections.abc import Iterable

from engine.services.words import ordered, read_word, word
from engine.wire.services import AttachmentJson, EndpointJson, PortJson
from swarm.specs import (
    EndpointMode,
    EndpointSpec,
    NetworkAttachment,
    Port,
    Protocol,
    PublishMode,
)


def read_endpoint(path: str, asked: EndpointJson | None, before: EndpointSpec) -> EndpointSpec:
    """The endpoint that a client asks for.

    A port keeps the address that it was published on, which Docker's API cannot say of services.
    """
    asked = asked or EndpointJson()
    known = {_key(each): each.ip for each in before.ports}
    return EndpointSpec(
        mode=read_word(f"{path}.Mode", asked.mode, EndpointMode, EndpointMode.VIP),
        ports=tuple(
            _read_port(f"{path}.Ports[{index}]", each, known)
            for index, each in enumerate(asked.ports)
        ),
    )


def write_endpoint(spec: EndpointSpec) -> EndpointJson:
    """An endpoint as Docker's clients read it."""
    return EndpointJson(mode=word(spec.mode), ports=write_ports(spec.ports))


def write_ports(ports: Iterable[Port]) -> tuple[PortJson, ...]:
    """Ports as Docker's clients read them."""
    return tuple(
        PortJson(
            name=port.name,
            protocol=port.protocol.word,
            target_port=port.target,
            published_port=port.published,
            publish_mode=word(port.mode),
            host_ip=port.ip or None,
        )
        for port in ports
    )


def read_attachments(asked: Iterable[AttachmentJson]) -> tuple[NetworkAttachment, ...]:
    """The networks that a client wants tasks to be in, by name or id."""
    return tuple(
        NetworkAttachment(target=each.target, aliases=each.aliases, driver_options=each.driver_opts)
        for each in asked
    )


def write_attachments(attachments: Iterable[NetworkAttachment]) -> tuple[AttachmentJson, ...]:
    """The networks that tasks are in, as Docker's clients read them."""
    return tuple(
        AttachmentJson(
            target=each.target,
            aliases=each.aliases,
            driver_opts=ordered(each.driver_options),
        )
        for each in attachments
    )


Key = tuple[int, int, Protocol, PublishMode]


def _key(port: Port) -> Key:
    return port.target, port.published, port.protocol, port.mode


def _read_port(path: str, asked: PortJson, known: dict[Key, str]) -> Port:
    protocol = read_word(f"{path}.Protocol", asked.protocol, Protocol, Protocol.TCP)
    mode = read_word(f"{path}.PublishMode", asked.publish_mode, PublishMode, PublishMode.INGRESS)
    # What is no port is refused by those who check all of them; here it only has to fit.
    target, published = (min(each, 2**31 - 1) for each in (asked.target_port, asked.published_port))
    ip = known.get((target, published, protocol, mode), "")
    return Port(
        target=target,
        published=published,
        protocol=protocol,
        mode=mode,
        ip=ip if asked.host_ip is None else asked.host_ip,
        name=asked.name,
    )
