"""Rows of flags that change what is asked of the swarm, or what is printed of its answer.

As everywhere in the table, what is shown has to differ without the flag.
"""

from collections.abc import Callable
from typing import Any

from tests.flags.lab import Lab
from tests.flags.table import OUTPUT, REQUEST, Proof, Row
from tests.swarmctl.running import Ran

Prepare = Callable[[Lab], None]


def _nothing(_: Lab) -> None:
    pass


def asks(
    command: str,
    flag: str,
    words: str | tuple[str, ...],
    kind: type[Any],
    shown: Callable[[Any], object],
    expected: object,
    *,
    rest: str = "",
    given: Prepare = _nothing,
) -> Row:
    """A flag that is in what the command asks for; `shown` is told `None` of what was not."""

    def look(lab: Lab, _: str) -> None:
        def seen(*flags: str) -> object:
            lab.furnish()
            given(lab)
            ran = lab.run(*command.split(), *flags, *rest.split())
            assert ran.status == 0, ran.err
            requests = lab.swarm.asked(kind)
            return shown(requests[-1] if requests else None)

        _differ(seen(*_split(words)), seen(), expected)

    return Row(command, flag, Proof(REQUEST, look))


def prints(
    command: str,
    flag: str,
    words: str | tuple[str, ...],
    shown: Callable[[Ran], object],
    expected: object,
    *,
    rest: str = "",
    given: Prepare = _nothing,
) -> Row:
    """A flag that changes what is printed."""

    def look(lab: Lab, _: str) -> None:
        def seen(*flags: str) -> object:
            lab.furnish()
            given(lab)
            ran = lab.run(*command.split(), *flags, *rest.split())
            assert ran.status == 0, ran.err
            return shown(ran)

        _differ(seen(*_split(words)), seen(), expected)

    return Row(command, flag, Proof(OUTPUT, look))


def lines(ran: Ran) -> list[str]:
    """What was printed, line by line."""
    return ran.out.splitlines()


def has(text: str) -> Callable[[Ran], bool]:
    """Whether `text` is in what was printed."""
    return lambda ran: text in ran.out


def _differ(seen: object, unlike: object, expected: object) -> None:
    assert seen == expected, f"with it {seen!r}, expected {expected!r}"
    assert unlike != expected, f"without it {unlike!r} as well"


def _split(words: str | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(words.split()) if isinstance(words, str) else words
