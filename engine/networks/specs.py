"""Read the network that a client wants, and whose it is to be.

The driver decides: an overlay is the swarm's, a bridge this node's. A bridge with scope `swarm` is
the swarm's as well: the same thing on each node.
"""

from engine.networks.showing import (
    ENCRYPTED_OPTION,
    LOCAL,
    MTU_OPTION,
    SHORT_MTU_OPTION,
    SWARM,
)
from engine.refusals import FORBIDDEN, NOT_FOUND, Denied
from engine.wire.networks import AddressingJson, NetworkJson, PoolJson
from swarm.errors import Invalid
from swarm.specs import NetworkDriver, NetworkSpec, Subnet

_DRIVERS = {"": NetworkDriver.BRIDGE, "bridge": NetworkDriver.BRIDGE,
            "overlay": NetworkDriver.OVERLAY}  # fmt: skip
_NODES_OWN = ("host", "null")
_TRUE = ("", "1", "t", "true")


def scope_of(asked: NetworkJson) -> str:
    """`local` or `swarm`; refuses drivers that there are not."""
    driver, scope = asked.driver.lower(), asked.scope.lower()
    if driver in _NODES_OWN:
        raise Denied(FORBIDDEN, f'only one instance of "{driver}" network is allowed')
    if driver not in _DRIVERS:
        raise Denied(
            NOT_FOUND,
            f'plugin "{asked.driver}" not found: there is no such driver of networks',
            hint="use bridge, or overlay in a swarm",
        )
    if scope not in ("", LOCAL, SWARM):
        raise Invalid(f"Scope: there is no {asked.scope!r}", hint="use local or swarm")
    if _DRIVERS[driver] is NetworkDriver.OVERLAY:
        if scope == LOCAL:
            raise Invalid("Scope: an overlay is the swarm's", hint="leave the scope out")
        return SWARM
    return SWARM if asked.ingress else scope or LOCAL


def read_network(asked: NetworkJson) -> NetworkSpec:
    """The network that is asked for."""
    _refuse_the_rest(asked)
    options = dict(asked.options)
    driver = _DRIVERS[asked.driver.lower()]
    is_encrypted = False
    if driver is NetworkDriver.OVERLAY and ENCRYPTED_OPTION in options:
        is_encrypted = options.pop(ENCRYPTED_OPTION).lower() in _TRUE
    return NetworkSpec(
        name=asked.name,
        labels=asked.labels,
        driver=driver,
        subnets=tuple(map(_subnet, (asked.ipam or AddressingJson()).config)),
        ipv6=bool(asked.enable_ipv6),
        internal=asked.internal,
        attachable=asked.attachable,
        encrypted=is_encrypted,
        ingress=asked.ingress,
        mtu=_mtu(options),
        options=options,
    )


def _refuse_the_rest(asked: NetworkJson) -> None:
    ipam = asked.ipam or AddressingJson()
    if asked.config_only or (asked.config_from or {}).get("Network"):
        raise Invalid(
            "ConfigOnly: there are no networks that are only configurations of others",
            hint="give each network its own settings",
        )
    if ipam.driver not in ("", "default"):
        raise Invalid(
            f"IPAM.Driver: there is no {ipam.driver!r}", hint="use default, or leave it out"
        )
    if ipam.options:
        raise Invalid("IPAM.Options: addresses are given out without any", hint="leave them out")


def _subnet(pool: PoolJson) -> Subnet:
    return Subnet(
        subnet=pool.subnet,
        gateway=pool.gateway,
        ip_range=pool.ip_range,
        aux_addresses=pool.auxiliary_addresses,
    )


def _mtu(options: dict[str, str]) -> int:
    """Takes the option out of those that are left for the driver; it has two names."""
    found = 0
    for name in (SHORT_MTU_OPTION, MTU_OPTION):
        text = options.pop(name, "").strip()
        if text and not (text.isascii() and text.isdigit() and len(text) < 10):
            raise Invalid(f"Options[{name}]: {text!r} is not a number of bytes")
        found = int(text) if text else found
    return found
