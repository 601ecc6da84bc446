"""Find the networks that a container is to be in, by the names in its description."""

from collections.abc import Callable, Iterator

from msgspec import Struct

from agent.standalone import memberships
from agent.standalone.io.local_networks import LocalNetworks, Place
from swarm.errors import SwarmError
from swarm.standalone import ContainerNetwork, StandaloneSpec


class Member(Struct, frozen=True, kw_only=True):
    """A network that a container is to be in, as it asks to be."""

    place: Place
    asked: ContainerNetwork


def found_members(networks: LocalNetworks, spec: StandaloneSpec) -> Iterator[Member]:
    """The networks that it is to be in, without those that are not known here."""
    for each in memberships.memberships(spec):
        if (place := found(networks, each.network)) is not None:
            yield Member(place=place, asked=each)


def found(networks: LocalNetworks, text: str) -> Place | None:
    """What a text means; None where that is not known here."""
    try:
        return networks.find(text)
    except SwarmError:
        return None


def meaning(networks: LocalNetworks, named: Place | str) -> Callable[[str], bool]:
    """Whether a text that somebody wrote into a description means this network.

    One that is not known here is what it was called by.
    """

    def means(text: str) -> bool:
        if isinstance(named, str):
            return text == named
        place = found(networks, text)
        return place is not None and place.id == named.id

    return means
