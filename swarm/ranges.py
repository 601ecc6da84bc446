"""Give addresses of one subnet, each to one holder at a time, and again as late as can be.

First comes one pass over all there are, from after the newest that is known; then what was given
back, the longest free first. So one costs the same however many there are, and a subnet of 2^64
takes no more memory than its holders do.
"""

from collections import OrderedDict
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_network

from swarm.specs import Subnet
from swarm.subnets import bounds, kept, room_in


class Range:
    """The `size` addresses of a subnet, as numbers; `held` counts the holders of each."""

    def __init__(self, subnet: Subnet) -> None:
        self.subnet = subnet
        self.held: dict[int, int] = {}
        self._make = IPv6Address if ":" in subnet.subnet else IPv4Address
        self._first, self._last = bounds(subnet)
        self._kept = kept(subnet)
        self.size = room_in(subnet)
        self._next = self._first
        self._unseen = self._last - self._first + 1
        self._given_back: OrderedDict[int, None] = OrderedDict()
        self._taken = 0

    @property
    def left(self) -> int:
        """How many addresses that can be given have no holder."""
        return self.size - self._taken

    def begin_after(self, address: int) -> None:
        """Give those first that come after this one."""
        if self._first <= address < self._last:
            self._next = address + 1

    def give(self) -> int | None:
        """An address that nobody holds; it is not given again unless it is given back."""
        while self._unseen > 0:
            self._unseen -= 1
            found = self._next
            self._next = found + 1 if found < self._last else self._first
            is_known = found in self.held or found in self._given_back
            if not is_known and found not in self._kept:
                return found
        while self._given_back:
            found, _ = self._given_back.popitem(last=False)
            if found not in self.held:
                return found
        return None

    def give_back(self, address: int) -> None:
        """Nobody came to hold what was given."""
        if address not in self.held and self._is_ours(address):
            self._given_back[address] = None

    def hold(self, address: int) -> None:
        """Somebody holds this address, wherever it is from."""
        holders = self.held.get(address, 0)
        self.held[address] = holders + 1
        if not holders:
            self._given_back.pop(address, None)
            self._taken += self._is_ours(address)

    def release(self, address: int) -> None:
        """One holder less."""
        self.held[address] -= 1
        if not self.held[address]:
            del self.held[address]
            self._taken -= self._is_ours(address)
            self.give_back(address)

    def number(self, text: str) -> int | None:
        """The number of an address, if it is of our family."""
        is_ours = (":" in text) is (self._make is IPv6Address)
        return int(self._make(text)) if is_ours else None

    def text(self, address: int) -> str:
        """An address as people write it."""
        return str(self._make(address))

    def may_be(self, text: str) -> bool:
        """Whether an address lies in the subnet, be it in the range that is given from or not."""
        number = self.number(text)
        whole = ip_network(self.subnet.subnet)
        return number is not None and self._make(number) in whole

    def is_anybodys(self, text: str) -> bool:
        """Whether somebody may hold it: it is not the gateway's, and not set aside."""
        return self.number(text) not in self._kept

    def copied(self) -> "Range":
        """The same, apart."""
        copy = Range(self.subnet)
        copy.held, copy._given_back = dict(self.held), OrderedDict(self._given_back)
        copy._next, copy._unseen, copy._taken = self._next, self._unseen, self._taken
        return copy

    def check(self, holders: Iterable[int]) -> None:
        """Assert that exactly these are held, and that nothing that is held can be given."""
        found: dict[int, int] = {}
        for each in holders:
            found[each] = found.get(each, 0) + 1
        assert found == self.held
        assert not self.held.keys() & self._given_back.keys()
        assert self._taken == sum(map(self._is_ours, self.held))
        assert all(map(self._is_ours, self._given_back))

    def _is_ours(self, address: int) -> bool:
        return self._first <= address <= self._last and address not in self._kept
