"""Make a network's spec of the flags of `network create`.

Subnets, ranges, gateways and further addresses are flags of their own, as in Docker: each goes to
the subnet that it lies in. What fits nowhere is kept beside the first, whose check says why.
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_network

from msgspec import Struct
from msgspec.structs import replace

from swarm.checking.networks import Range, check_network
from swarm.errors import Invalid
from swarm.specs import NetworkDriver, NetworkSpec, Subnet
from swarmctl.edits import pairs, read
from swarmctl.networks import MTU_OPTION

DRIVERS = ("overlay", "bridge")
_TRUTHS = {"": True, "true": True, "1": True, "false": False, "0": False}
_FLAGS = {
    "attachable": "--attachable",
    "driver": "--driver",
    "encrypted": "--opt encrypted",
    "ingress": "--ingress",
    "internal": "--internal",
    "ipv6": "--ipv6",
    "labels": "--label",
    "mtu": "--opt mtu",
    "name": "NETWORK",
    "options": "--opt",
}
_PARTS = {
    "subnet": "--subnet",
    "gateway": "--gateway",
    "ip_range": "--ip-range",
    "aux_addresses": "--aux-address",
}


class NetworkFlags(Struct, frozen=True, kw_only=True):
    """What `network create` was given."""

    name: str
    driver: str = "overlay"
    subnet: tuple[str, ...] = ()
    gateway: tuple[str, ...] = ()
    ip_range: tuple[str, ...] = ()
    aux_address: tuple[str, ...] = ()
    ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    ipam_driver: str = "default"
    label: tuple[str, ...] = ()
    opt: tuple[str, ...] = ()


def network_spec(flags: NetworkFlags) -> NetworkSpec:
    """The spec; `Invalid` tells every problem of it under its flag."""
    _refuse_foreign(flags)
    options = pairs("--opt", flags.opt)
    encrypted = _truth("--opt encrypted", options.pop("encrypted", "false"))
    mtus = [options.pop(key) for key in ("mtu", MTU_OPTION) if key in options]
    spec = NetworkSpec(
        name=flags.name,
        labels=pairs("--label", flags.label),
        driver=NetworkDriver[flags.driver.upper()],
        subnets=_subnets(flags),
        ipv6=flags.ipv6,
        internal=flags.internal,
        attachable=flags.attachable,
        encrypted=encrypted,
        ingress=flags.ingress,
        mtu=_mtu(mtus[-1]) if mtus else 0,
        options=options,
    )
    if problems := tuple(map(blamed, check_network(spec))):
        said = problems[0] if len(problems) == 1 else f"{len(problems)} problems"
        raise Invalid(said, problems=problems)
    return spec


def blamed(problem: str) -> str:
    """`problem` (`path: what is wrong`) with its flag instead of its path."""
    path, colon, text = problem.partition(": ")
    if not colon:
        return problem
    head, bracket, rest = path.partition("[")
    if head == "subnets" and bracket:
        _, _, field = rest.partition("].")
        name, opened, key = field.partition("[")
        if flag := _PARTS.get(name):
            return f"{flag} {key.removesuffix(']')}: {text}" if opened else f"{flag}: {text}"
    if flag := _FLAGS.get(head):
        return f"{flag} {rest.removesuffix(']')}: {text}" if bracket else f"{flag}: {text}"
    return problem


def _refuse_foreign(flags: NetworkFlags) -> None:
    if flags.driver not in DRIVERS:
        raise Invalid(
            f"--driver {flags.driver}: there is no such driver", hint="use overlay or bridge"
        )
    if flags.ipam_driver != "default":
        raise Invalid(
            f"--ipam-driver {flags.ipam_driver}: the swarm gives addresses itself",
            hint="leave it out, or give default",
        )


def _truth(flag: str, text: str) -> bool:
    found = _TRUTHS.get(text.lower())
    if found is None:
        raise Invalid(f"{flag}={text} is neither true nor false", hint=f"write {flag}")
    return found


def _mtu(text: str) -> int:
    from swarm.quantities import parse_integer

    return read("--opt mtu", parse_integer, text)


def _subnets(flags: NetworkFlags) -> tuple[Subnet, ...]:
    """The subnets, each with what lies in it."""
    subnets = [Subnet(subnet=each) for each in flags.subnet]
    ranges = [_range(each) for each in flags.subnet]

    def put(flag: str, field: str, text: str, found: Range | None) -> None:
        at = _home(ranges, found)
        if not subnets:
            raise Invalid(f"{flag} {text}: needs a subnet", hint="give --subnet, too")
        if getattr(subnets[at], field):
            raise Invalid(
                f"{flag}: {text} and {getattr(subnets[at], field)} are both in "
                f"{subnets[at].subnet}",
                hint=f"give one {flag} for each subnet",
            )
        subnets[at] = replace(subnets[at], **{field: text})

    for text in flags.ip_range:
        put("--ip-range", "ip_range", text, _range(text))
    for text in flags.gateway:
        put("--gateway", "gateway", text, _single(text))
    for name, text in pairs("--aux-address", flags.aux_address, needs_value=True).items():
        if not subnets:
            raise Invalid(f"--aux-address {name}={text}: needs a subnet", hint="give --subnet, too")
        at = _home(ranges, _single(text))
        aux = subnets[at].aux_addresses | {name: text}
        subnets[at] = replace(subnets[at], aux_addresses=aux)
    return tuple(subnets)


def _home(ranges: Sequence[Range | None], found: Range | None) -> int:
    """The place of the subnet that `found` is in; of the first of its family, or of all."""
    if found is None:
        return 0
    is_in = [each is not None and _lies_in(found, each) for each in ranges]
    is_like = [each is not None and each.version == found.version for each in ranges]
    return next(_places(is_in), next(_places(is_like), 0))


def _places(truths: Iterable[bool]) -> Iterator[int]:
    return (at for at, truth in enumerate(truths) if truth)


def _lies_in(found: Range, whole: Range) -> bool:
    return found.version == whole.version and found.network_address in whole


def _range(text: str) -> Range | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _single(text: str) -> Range | None:
    try:
        return ip_network(ip_address(text))
    except ValueError:
        return None
