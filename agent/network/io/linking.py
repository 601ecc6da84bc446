"""Make links what they shall be, whatever was there: half of one, another, or none.

The kernel says EEXIST when there is a link of that name. Then it is changed, if it can become what
is wanted, or else made anew. A link that leads to another namespace is known by the number that
this one gave to that; only where a descriptor has the same number do both mean the same.
"""

import errno
from collections.abc import Mapping

from agent.network.io.channel import Channel
from agent.network.kernel import ELSEWHERE, HERE, AnyLink, Link, Veth, Vxlan, is_made_as
from agent.network.wire import links
from agent.network.wire.messages import Refusal, Request

Labels = Mapping[str, int]
"""Descriptors of the namespaces that operations have labels of."""

_ROUTE = 0  # NETLINK_ROUTE


def put(link: AnyLink, channel: Channel, home: int, namespaces: Labels) -> Refusal:
    """Have `link` in the namespace of `channel`, which is open as `home`."""
    if isinstance(link, Link) and not link.kind:
        return channel.one(links.change(link))
    why = _create(link, channel, home, namespaces)
    if why.errno == errno.EEXIST:
        found = _found(link, channel, namespaces)
        if found and _place(found) != ELSEWHERE and is_made_as(link, found):
            why = channel.one(links.change(link))
        elif found:
            channel.one(links.delete(link.name))
            why = _create(link, channel, home, namespaces)
    if not why.errno and isinstance(link, Veth) and link.is_up:
        why = _raise_peer(link, channel, namespaces)
    return why


def numbered(channel: Channel, namespaces: Labels) -> dict[int, str]:
    """The labels by the numbers that links are reported with. Ask after the links."""
    if not namespaces:
        return {}
    requests = [links.get_nsid(descriptor) for descriptor in namespaces.values()]
    replies, _ = channel.submit(requests)
    labels = list(namespaces)
    numbers = ((links.decode_nsid(reply.body), labels[reply.sequence]) for reply in replies)
    return {number: label for number, label in numbers if number is not None}


def _create(link: AnyLink, channel: Channel, home: int, namespaces: Labels) -> Refusal:
    """A device with its socket elsewhere is made from there."""
    match link:
        case Vxlan(underlay=underlay) | Link(underlay=underlay) if underlay != HERE:
            request = links.create(link, home=home, peer=None)
            return _one_in(namespaces[underlay], request)
        case Veth(peer_netns=netns) if netns != HERE:
            return channel.one(links.create(link, home=None, peer=namespaces[netns]))
        case _:
            return channel.one(links.create(link, home=None, peer=None))


def _raise_peer(pair: Veth, channel: Channel, namespaces: Labels) -> Refusal:
    """Bring the other end up, which cannot be done before the pair is made."""
    request = links.change(Link(name=pair.peer))
    if pair.peer_netns == HERE:
        return channel.one(request)
    return _one_in(namespaces[pair.peer_netns], request)


def _one_in(netns: int, request: Request) -> Refusal:
    channel = Channel(_ROUTE, netns)
    try:
        return channel.one(request)
    finally:
        channel.close()


def _found(wanted: AnyLink, channel: Channel, namespaces: Labels) -> AnyLink | None:
    """The link of that name; ELSEWHERE is now any namespace but the one that is wanted."""
    replies, _ = channel.submit((links.get(wanted.name),))
    place = _place(wanted)
    labels = numbered(channel, {} if place == HERE else {place: namespaces[place]})
    for reply in replies:
        return links.decode(reply.body, names={}, labels=labels)
    return None


def _place(link: AnyLink) -> str:
    """Where the part of it is that may be in another namespace."""
    match link:
        case Veth():
            return link.peer_netns
        case Vxlan():
            return link.underlay
        case Link():
            return HERE
