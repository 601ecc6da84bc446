"""Read the values of flags, so that a bad one is refused under its flag's name."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from swarm.errors import Invalid

T = TypeVar("T")


class Kind(click.ParamType[object]):
    """A value that `read` understands; its `Invalid` becomes a usage error."""

    def __init__(self, name: str, read: Callable[[str], object]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read `value`, unless it is a default or, for an optional text, empty."""
        if not isinstance(value, str) or (param is not None and value == param.default == ""):
            return value
        try:
            return self._read(value)
        except Invalid as err:
            problem = f"{err.message} ({err.hint})" if err.hint else err.message
            raise click.BadParameter(problem, ctx=ctx, param=param) from err

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The word in the help."""
        del param, ctx
        return self.name.upper()


def _duration(text: str) -> float:
    from swarm.quantities import parse_duration

    return parse_duration(text)


def _size(text: str) -> int:
    from swarm.quantities import parse_bytes

    return parse_bytes(text)


def _swap(text: str) -> int:
    return -1 if text.strip() == "-1" else _size(text)


def _cpus(text: str) -> int:
    from swarm.quantities import parse_cpus

    return parse_cpus(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise Invalid(f"{text!r} is not a count", hint="give a whole number, 0 to 2147483647")
    return int(text)


def _integer(text: str) -> int:
    from swarm.quantities import parse_integer

    return parse_integer(text)


def _number(text: str) -> float:
    from swarm.quantities import parse_number

    return parse_number(text)


def _address(text: str) -> str:
    from swarm.addresses import parse_address

    parse_address(text)
    return text


def _ip_address(text: str) -> str:
    from swarm.addresses import parse_address, require_ip

    require_ip(parse_address(text)[0])
    return text


def _ip(text: str) -> str:
    from swarm.addresses import require_ip

    return require_ip(text)


DURATION = Kind("duration", _duration)
BYTES = Kind("bytes", _size)
SWAP = Kind("bytes", _swap)
CPUS = Kind("decimal", _cpus)
COUNT = Kind("count", _count)
INTEGER = Kind("int", _integer)
NUMBER = Kind("decimal", _number)
ADDRESS = Kind("host:port", _address)
IP_ADDRESS = Kind("ip[:port]", _ip_address)
IP = Kind("ip", _ip)
