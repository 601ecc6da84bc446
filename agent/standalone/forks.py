"""Say what is asked of who forks processes for errands, and what is told of them."""

from msgspec import Struct


class Asked(Struct, frozen=True, tag=True):
    """Fork a process that becomes `program`; two sockets come along."""

    number: int
    program: str


class Began(Struct, frozen=True, tag=True):
    """It is there; a descriptor of it comes along."""

    number: int


class Ended(Struct, frozen=True, tag=True):
    """It is not there any more; a negative status is the signal that ended it."""

    number: int
    status: int
