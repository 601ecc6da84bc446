"""Choose what a new network's spec leaves open: its number (VNI), its subnets, its gateways.

Nothing is given twice while somebody has it, and what was given up comes again as late as can
be: whoever still believes in the last network with that subnet has had time to learn better.
The search goes on where the last one ended, which is what the key `pools` remembers. Every
network is made in a commit that compares that key and rewrites it: of two that were chosen at
the same time, one is a conflict, and is chosen again.

An address of a node is taken as well: what is sent to it must not end up among containers.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from ipaddress import IPv6Network, ip_address, ip_network

from msgspec import Struct, structs

from swarm.errors import Invalid, Refused
from swarm.ids import ClusterId, NetworkId
from swarm.objects import Cluster, Network, Node
from swarm.specs import ClusterSpec, NetworkSpec, Subnet
from swarm.subnets import Range, gateway_of, room_in

FIRST_VNI = 4097
LAST_VNI = (1 << 24) - 1
INGRESS = "ingress"
_V6_BITS = 64
_INGRESS_BITS = 16
_SHOWN = 5


class Taken(Struct, frozen=True):
    """Addresses that somebody has: `whose` names it, and `network` is one's name, if it is one."""

    subnet: Range
    whose: str
    network: str = ""


class Choice(Struct, frozen=True):
    """What a new network is to have, and what the key `pools` is to hold from then on."""

    vni: int
    subnets: tuple[Subnet, ...]
    fence: str


def taken_by(networks: Iterable[Network], nodes: Iterable[Node] = ()) -> tuple[Taken, ...]:
    """The addresses that networks have, and those that nodes are reached at."""
    found: list[Taken] = []
    for network in networks:
        name = network.spec.name
        for each in network.subnets:
            whose = f"network {name} ({each.subnet})"
            found.append(Taken(ip_network(each.subnet), whose, name))
    for node in nodes:
        told = node.description
        for text in sorted({told.addr, told.data_path_addr} - {""}):
            if (own := _address_alone(text)) is not None:
                whose = f"the address {text} of node {told.hostname or node.id}"
                found.append(Taken(own, whose))
    return tuple(found)


def choose(
    spec: NetworkSpec,
    cluster: Cluster,
    taken: Sequence[Taken],
    *,
    used: Iterable[int] = (),
    fence: str = "",
) -> Choice:
    """What a network with this spec gets; networks have the `used` VNIs, `pools` holds `fence`.

    The spec has passed `swarm.checking`. `Invalid` when a subnet has no room for a task, `Refused`
    when it is somebody's already, or when there is nothing left to choose.
    """
    given: dict[int, Subnet] = {}
    for index, each in enumerate(spec.subnets):
        if each.subnet:
            given[ip_network(each.subnet).version] = each
            _refuse_fullness(f"subnets[{index}]", each)
            _refuse_overlap(f"subnets[{index}].subnet", ip_network(each.subnet), taken)
    last_vni, last = _read(fence)
    vni = _next_vni(last_vni, frozenset(used))
    chosen: dict[int, Range] = {}
    if 4 not in given:
        chosen[4] = _chosen_v4(spec, cluster, taken, last.get(4))
    if spec.ipv6 and 6 not in given:
        chosen[6] = _chosen_v6(cluster, taken, last.get(6), vni)
    subnets = given | {version: Subnet(subnet=str(each)) for version, each in chosen.items()}
    # The ingress network comes from the other end, and says nothing about the search.
    followed = last if spec.ingress else {**last, **chosen}
    return Choice(
        vni,
        tuple(_with_gateway(each) for _, each in sorted(subnets.items())),
        _written(vni, followed),
    )


def first_networks(
    cluster: Cluster, nodes: Iterable[Node], network_id: NetworkId
) -> tuple[Network, str]:
    """The ingress network that a new swarm has, and what the key `pools` is to hold."""
    spec = NetworkSpec(name=INGRESS, ingress=True)
    choice = choose(spec, cluster, taken_by((), nodes))
    made = Network(
        id=network_id,
        spec=spec,
        vni=choice.vni,
        subnets=choice.subnets,
        created_at=cluster.created_at,
        updated_at=cluster.created_at,
    )
    return made, choice.fence


def unique_local(cluster_id: ClusterId, vni: int) -> IPv6Network:
    """The IPv6 subnet of a network that has none: the swarm's prefix (RFC 4193), and its VNI."""
    digest = sha256(b"swarm unique local 1" + cluster_id.encode()).digest()
    prefix = 0xFD << 56 | int.from_bytes(digest[:4]) << 24 | vni
    return IPv6Network((prefix << 64, _V6_BITS))


# -- one after the other ---------------------------------------------------------------------


def _chosen_v4(
    spec: NetworkSpec, cluster: Cluster, taken: Sequence[Taken], last: Range | None
) -> Range:
    pools, bits = _pools(cluster, 4), cluster.spec.subnet_bits or ClusterSpec().subnet_bits
    found = _last_free(pools, bits, taken) if spec.ingress else _next_free(pools, bits, taken, last)
    if found is None:
        raise _exhausted(pools, bits, taken)
    return found


def _chosen_v6(cluster: Cluster, taken: Sequence[Taken], last: Range | None, vni: int) -> Range:
    if pools := _pools(cluster, 6):
        found = _next_free(pools, _V6_BITS, taken, last)
        if found is None:
            raise _exhausted(pools, _V6_BITS, taken)
        return found
    own = unique_local(cluster.id, vni)
    _refuse_overlap("ipv6", own, taken)
    return own


def _next_vni(last: int, used: frozenset[int]) -> int:
    at = last
    for _ in range(len(used) + 1):
        at = at + 1 if FIRST_VNI <= at < LAST_VNI else FIRST_VNI
        if at not in used:
            return at
    raise Refused(
        f"all {LAST_VNI - FIRST_VNI + 1} network numbers are in use",
        hint="remove networks that nobody needs: swarmctl network prune",
    )


def _with_gateway(each: Subnet) -> Subnet:
    return structs.replace(each, gateway=str(gateway_of(each)))


# -- free subnets ----------------------------------------------------------------------------


def _next_free(
    pools: Sequence[Range], bits: int, taken: Iterable[Taken], last: Range | None
) -> Range | None:
    """The first free subnet after `last`, and when there is none, from the beginning."""
    starts = [(pool, int(pool.network_address)) for pool in pools]
    for place, pool in enumerate(pools):
        if last is not None and _is_in(last, pool):
            after = pool, int(last.broadcast_address) + 1
            starts = [after, *starts[place + 1 :], *starts[: place + 1]]
            break
    occupied = sorted(_ends(each.subnet) for each in taken)
    found = (_free_in(pool, bits, occupied, start) for pool, start in starts)
    return next((each for each in found if each is not None), None)


def _last_free(pools: Sequence[Range], bits: int, taken: Iterable[Taken]) -> Range | None:
    """The last free subnet of the ingress network: a larger one, for all that publish share it."""
    occupied = [each.subnet for each in taken]
    for pool in reversed(pools):
        roomy = max(_INGRESS_BITS, pool.prefixlen + 4)
        prefix = max(min(roomy, bits), pool.prefixlen)
        step = 1 << (pool.max_prefixlen - prefix)
        for place in reversed(range(1 << (prefix - pool.prefixlen))):
            found = type(pool)((int(pool.network_address) + place * step, prefix))
            if not any(_overlap(found, each) for each in occupied):
                return found
    return None


def _free_in(
    pool: Range, bits: int, occupied: Sequence[tuple[int, int, int]], start: int
) -> Range | None:
    """The first subnet of a pool, from `start` on, of which nobody has any; `occupied` in order."""
    prefix = max(bits, pool.prefixlen)
    step = 1 << (pool.max_prefixlen - prefix)
    at = start + -start % step
    for version, first, last in occupied:
        if version != pool.version or last < at:
            continue
        if first > at + step - 1:
            break
        at = last + 1 + -(last + 1) % step
    is_inside = at + step - 1 <= int(pool.broadcast_address)
    return type(pool)((at, prefix)) if is_inside else None


def _ends(subnet: Range) -> tuple[int, int, int]:
    return subnet.version, int(subnet.network_address), int(subnet.broadcast_address)


def _overlap(one: Range, other: Range) -> bool:
    version, first, last = _ends(one)
    other_version, other_first, other_last = _ends(other)
    return version == other_version and first <= other_last and other_first <= last


def _is_in(subnet: Range, pool: Range) -> bool:
    version, first, last = _ends(pool)
    return subnet.version == version and first <= _ends(subnet)[1] and _ends(subnet)[2] <= last


def _pools(cluster: Cluster, version: int) -> list[Range]:
    # A swarm that was made before there were networks has none of either.
    every = map(ip_network, cluster.spec.address_pools or ClusterSpec().address_pools)
    return [pool for pool in every if pool.version == version]


def _address_alone(text: str) -> Range | None:
    try:
        return ip_network(ip_address(text))
    except ValueError:
        return None  # a name: whoever resolves it knows


# -- saying no -------------------------------------------------------------------------------


def _refuse_fullness(path: str, each: Subnet) -> None:
    if room_in(each) < 1:
        field, text = ("ip_range", each.ip_range) if each.ip_range else ("subnet", each.subnet)
        raise Invalid(
            f"{path}.{field}: {text} has no address left for a task",
            hint="give a larger one, or set fewer addresses aside",
        )


def _refuse_overlap(path: str, subnet: Range, taken: Iterable[Taken]) -> None:
    for each in taken:
        if _overlap(subnet, each.subnet):
            raise Refused(
                f"{path}: {subnet} overlaps {each.whose}",
                hint="give a subnet that nobody has, or none to have one chosen",
            )


def _exhausted(pools: Sequence[Range], bits: int, taken: Iterable[Taken]) -> Refused:
    pool = ", ".join(map(str, pools)) or "there are none"
    inside = [each for each in taken if any(_overlap(each.subnet, pool) for pool in pools)]
    names = sorted({each.network for each in inside if each.network})
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    used = f": {len(names)} networks are there ({shown})" if names else ""
    return Refused(
        f"the address pools ({pool}) have no free subnet of {bits} bits{used}",
        hint="give a subnet of your own, or remove networks: swarmctl network prune",
    )


# -- where the search stands -----------------------------------------------------------------


def _read(fence: str) -> tuple[int, Mapping[int, Range]]:
    """The last VNI, and the last subnet of each family that was chosen."""
    vni, *subnets = fence.split() or ["0"]
    return int(vni), {each.version: each for each in map(ip_network, subnets)}


def _written(vni: int, last: Mapping[int, Range]) -> str:
    return " ".join([str(vni), *(str(each) for _, each in sorted(last.items()))])
