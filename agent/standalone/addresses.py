"""Give the addresses of one of this node's networks to its containers.

A container that starts again gets what it had, if nobody has it by then. What others ask for by
number, while they do not run, is given to somebody else only if there is nothing else. Whatever
was given back comes again as late as can be.
"""

from collections.abc import Collection, Iterable
from ipaddress import ip_address, ip_network

from swarm.errors import Invalid, Refused, Unavailable
from swarm.ids import TaskId
from swarm.objects import Network
from swarm.ranges import Range
from swarm.subnets import kept


class Addresses:
    """Who has which, of all families that the network has."""

    def __init__(self, network: Network) -> None:
        self._name = network.spec.name
        self._ranges = [Range(each) for each in network.subnets]
        self._held: dict[TaskId, tuple[str, ...]] = {}
        self._had: dict[TaskId, tuple[str, ...]] = {}

    @property
    def holders(self) -> dict[str, TaskId]:
        """Who has each address."""
        return {address: holder for holder, found in self._held.items() for address in found}

    def lend(
        self, holder: TaskId, asked: Iterable[str] = (), *, avoided: Collection[str] = ()
    ) -> tuple[str, ...]:
        """An address of each family, those that are `asked` for and others; all of it or nothing.

        The same until they are given back. `Invalid`, `Refused` or `Unavailable` say why not.
        """
        if holder in self._held:
            return self._held[holder]
        wanted = self._wanted(asked)
        had = self._had.get(holder, ())
        given: list[tuple[Range, int]] = []
        try:
            for place, each in enumerate(self._ranges):
                before = each.number(had[place]) if place < len(had) else None
                number = wanted[place] if place in wanted else _chosen(each, before, avoided)
                if number is None:
                    raise self._exhausted(each)
                given.append((each, number))
        except Unavailable:
            for each, number in given:
                each.give_back(number)
            raise
        for each, number in given:
            each.hold(number)
        self._held[holder] = tuple(each.text(number) for each, number in given)
        return self._held[holder]

    def keep(self, holder: TaskId, addresses: tuple[str, ...]) -> None:
        """The container has these already, of an earlier agent."""
        self.give_back(holder)
        for each in self._ranges:
            for number in filter(None, map(each.number, addresses)):
                each.hold(number)
        self._held[holder] = addresses

    def give_back(self, holder: TaskId) -> None:
        """The container is in the network no more; content when it was not."""
        for address in self._held.get(holder, ()):
            for each in self._ranges:
                if (number := each.number(address)) is not None:
                    each.release(number)
        if found := self._held.pop(holder, ()):
            self._had[holder] = found

    def forget(self, holder: TaskId) -> None:
        """The container will not be there again."""
        self.give_back(holder)
        self._had.pop(holder, None)

    def check(self) -> None:
        """Assert that nobody has what another has."""
        addresses = [address for found in self._held.values() for address in found]
        assert len(addresses) == len(set(addresses))
        for each in self._ranges:
            each.check(number for x in addresses if (number := each.number(x)) is not None)

    def _wanted(self, asked: Iterable[str]) -> dict[int, int]:
        """What was asked for, by the place of its family; refused where it cannot be given."""
        found: dict[int, int] = {}
        for text in asked:
            place = next((n for n, each in enumerate(self._ranges) if _is_in(text, each)), None)
            if place is None:
                raise Invalid(
                    f"Invalid address {text}: It does not belong to any of this network's subnets",
                    hint=f"network {self._name} has "
                    + " and ".join(each.subnet.subnet for each in self._ranges),
                )
            number = int(ip_address(text))
            if number in self._ranges[place].held:
                holder = self.holders.get(str(ip_address(text)), "")
                raise Refused("Address already in use", hint=f"{text} is container {holder[:12]}'s")
            if number in kept(self._ranges[place].subnet):
                raise Refused("Address already in use", hint=f"{text} is nobody's to have")
            found[place] = number
        return found

    def _exhausted(self, each: Range) -> Unavailable:
        version, text = 6 if ":" in each.subnet.subnet else 4, each.subnet.subnet
        return Unavailable(
            f"no available IPv{version} addresses on this network's address pools: "
            f"{self._name} ({each.subnet.ip_range or text})",
            hint="remove containers from it, or make a larger one",
        )


def _chosen(each: Range, before: int | None, avoided: Collection[str]) -> int | None:
    """What somebody had before, or the next; what is `avoided` only where there is nothing else."""
    if before is not None and before not in each.held and each.text(before) not in avoided:
        return before
    aside: list[int] = []
    number = each.give()
    while number is not None and each.text(number) in avoided:
        aside.append(number)
        number = each.give()
    if number is None and aside:
        number = aside.pop(0)
    for other in aside:
        each.give_back(other)
    return number


def _is_in(text: str, found: Range) -> bool:
    return found.number(text) is not None and ip_address(text) in ip_network(found.subnet.subnet)
