"""Read the networks of a stack file, and which of them its services are in.

A service that says nothing is in the network `default`, which need not be declared. In each
network a service is found under its key in the file as well as under its name in the swarm. Tasks
go out by the first network that has a way out, so the order of the file is kept.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from swarm.checking.networks import BUILT_IN, check_network
from swarm.specs import NetworkAttachment, NetworkDriver, NetworkSpec, Subnet
from swarmctl.networks import MTU_OPTION
from swarmctl.stacks.fields import Fields
from swarmctl.stacks.names import marked, scoped

DEFAULT = "default"
_NOT_OF_SERVICES = (
    "driver_opts", "gw_priority", "interface_name", "ipv4_address", "ipv6_address",
    "link_local_ips", "mac_address", "priority",
)  # fmt: skip
_KEYS = {
    "encrypted": "driver_opts.encrypted",
    "ipv6": "enable_ipv6",
    "mtu": "driver_opts.mtu",
    "options": "driver_opts",
    "subnets": "ipam.config",
}


class StackNetwork(Struct, frozen=True, kw_only=True):
    """A network called `name` in the swarm; without a `spec` it is there already."""

    name: str
    spec: NetworkSpec | None = None


class Attached(Struct, frozen=True, kw_only=True):
    """What a service says of its networks, by their names, and the keys that were left out."""

    attachments: tuple[NetworkAttachment, ...]
    ignored: tuple[str, ...] = ()


def read_networks(stack: str, section: Fields) -> dict[str, StackNetwork]:
    """The networks by their keys, `default` among them."""
    found = {key: _network(stack, key, section.within(key)) for key in section.names()}
    if DEFAULT not in found:
        name = scoped(stack, DEFAULT)
        spec = NetworkSpec(name=name, labels=marked(stack, {}))
        found[DEFAULT] = StackNetwork(name=name, spec=spec)
    return found


def read_attachments(key: str, service: Fields, known: Mapping[str, StackNetwork]) -> Attached:
    """The networks that the service `key` is in."""
    mode = service.text("network_mode")
    value = service.value("networks")
    if mode is not None:
        if value:
            service.problem("network_mode", "excludes networks; leave one of them out")
        if mode not in BUILT_IN:
            service.problem(
                "network_mode", f"{mode!r} is unknown; use host, none or bridge, or networks"
            )
        return Attached(attachments=(NetworkAttachment(target=mode),))
    attachments, ignored = list[NetworkAttachment](), list[str]()
    if isinstance(value, dict):
        every = service.within("networks")
        for name in every.names():
            entry = every.within(name)
            aliases = entry.texts("aliases")
            ignored += entry.ignored(_NOT_OF_SERVICES)
            entry.done()
            attachments += _attachment(service, name, (*aliases, key), known)
    else:
        for name in service.texts("networks"):
            attachments += _attachment(service, name, (key,), known)
    if not attachments and not value:
        attachments += _attachment(service, DEFAULT, (key,), known)
    return Attached(attachments=tuple(attachments), ignored=tuple(ignored))


def used(
    known: Mapping[str, StackNetwork], attachments: Iterable[NetworkAttachment]
) -> tuple[StackNetwork, ...]:
    """Those that services are in; Docker, too, makes no others."""
    names = {each.target for each in attachments}
    return tuple({each.name: each for each in known.values() if each.name in names}.values())


def _attachment(
    service: Fields, key: str, aliases: tuple[str, ...], known: Mapping[str, StackNetwork]
) -> Iterator[NetworkAttachment]:
    network = known.get(key)
    name = network.name if network is not None else key
    if network is None and key not in BUILT_IN:
        service.problem("networks", f"there is no network {key!r}; declare it in networks")
    elif name in BUILT_IN:
        yield NetworkAttachment(target=name)
    else:
        distinct = {each.lower(): each for each in reversed(aliases)}
        yield NetworkAttachment(target=name, aliases=tuple(reversed(distinct.values())))


def _network(stack: str, key: str, fields: Fields) -> StackNetwork:
    given, external = fields.text("name"), fields.value("external")
    driver = fields.text("driver")
    if isinstance(external, dict):
        inner = fields.within("external")
        given = inner.text("name") or given
        inner.done()
    if isinstance(external, dict) or fields.boolean("external"):
        names = ("attachable", "driver_opts", "enable_ipv6", "internal", "ipam", "labels")
        for name in fields.ignored(names):
            fields.problem(name, "means nothing for what is external; leave it out")
        fields.done()
        return StackNetwork(name=given or key)
    if driver in ("host", "none", "null") or given in BUILT_IN or (key in BUILT_IN and not driver):
        name = {"null": "none"}.get(driver or "", driver) or given or key
        fields.ignored(tuple(fields.names()))
        return StackNetwork(name=name)
    return _own(given or scoped(stack, key), stack, driver, fields)


def _own(name: str, stack: str, driver: str | None, fields: Fields) -> StackNetwork:
    """A network that the stack makes."""
    found = {key.lower(): value or "" for key, value in fields.pairs("driver_opts").items()}
    options = dict(found)
    encrypted = options.pop("encrypted", "false").lower() in ("", "true", "1")
    mtus = [options.pop(key) for key in ("mtu", MTU_OPTION) if key in options]
    spec = NetworkSpec(
        name=name,
        labels=marked(stack, fields.labels("labels")),
        driver=NetworkDriver.BRIDGE if driver == "bridge" else NetworkDriver.OVERLAY,
        subnets=_subnets(fields.within("ipam")),
        ipv6=bool(fields.boolean("enable_ipv6")),
        internal=bool(fields.boolean("internal")),
        attachable=bool(fields.boolean("attachable")),
        encrypted=encrypted,
        mtu=_mtu(fields, mtus[-1]) if mtus else 0,
        options=options,
    )
    if driver not in (None, "", "default", "overlay", "bridge"):
        fields.problem("driver", f"there is no driver {driver!r}; use overlay or bridge")
    if fields.boolean("enable_ipv4") is False:
        fields.problem("enable_ipv4", "every network has IPv4; leave it out")
    fields.done()
    for problem in check_network(spec):
        path, _, text = problem.partition(": ")
        fields.problem(_key(path), text)
    return StackNetwork(name=name, spec=spec)


def _subnets(ipam: Fields) -> tuple[Subnet, ...]:
    driver = ipam.text("driver")
    if driver not in (None, "", "default"):
        ipam.problem("driver", f"there is no {driver!r}: the swarm gives addresses itself")
    for name in ipam.ignored(("options",)):
        ipam.problem(name, "there are none; leave it out")
    found: list[Subnet] = []
    for at, item in enumerate(ipam.items("config")):
        entry = Fields(item, ipam.at(f"config[{at}]"), ipam.problems)
        found.append(
            Subnet(
                subnet=entry.text("subnet") or "",
                gateway=entry.text("gateway") or "",
                ip_range=entry.text("ip_range") or "",
                aux_addresses=entry.labels("aux_addresses"),
            )
        )
        entry.done()
    ipam.done()
    return tuple(found)


def _mtu(fields: Fields, text: str) -> int:
    found = Fields({"mtu": text}, fields.at("driver_opts"), fields.problems).count("mtu")
    return found or 0


def _key(path: str) -> str:
    """The path in the file of what a check of the spec complains of."""
    head, bracket, rest = path.partition("[")
    return f"{_KEYS.get(head, head)}{bracket}{rest}"


def settings(spec: NetworkSpec, *, like: NetworkSpec) -> NetworkSpec:
    """What of a network cannot be changed, so that two can be compared.

    Labels are left out, and so are the subnets where `like` leaves them to the swarm.
    """
    return replace(
        spec, labels={}, subnets=spec.subnets if like.subnets else (), ingress=like.ingress
    )
