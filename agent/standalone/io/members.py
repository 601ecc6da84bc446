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


def members(networks: LocalNetworks, spec: StandaloneSpec) -> list[Member]:
    """The networks that it is to be in; `Missing` if one of them is not there."""
    return [
        Member(place=networks.find(each.network), asked=each)
        for each in memberships.memberships(spec)
    ]


def found_members(networks: LocalNetworks, spec: StandaloneSpec) -> Iterator[Member]:
    """The same, without those that are not there."""
    for each in memberships.memberships(spec):
        try:
            yield Member(place=networks.find(each.network), asked=each)
        except SwarmError:
            continue


def meaning(networks: LocalNetworks, place: Place) -> Callable[[str], bool]:
    """Whether a text that somebody wrote into a description means this network."""

    def means(text: str) -> bool:
        try:
            return networks.find(text).id == place.id
        except SwarmError:
            return False

    return means
