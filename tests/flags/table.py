"""List what every flag does, as a proof that can be run.

A proof compares what comes out with the flag and without it: with it the result is what is
expected, and without it something else, so no proof holds by accident. `tests/flags/test_flags.py`
runs them and demands one for every flag that the commands have; the table in
`docs/reference/flags.md` is made from the same list.
"""

from collections.abc import Callable
from typing import NamedTuple

from swarm.specs import ServiceSpec
from tests.flags.lab import Kernel, Lab, kernel

KERNEL, PLAN, REQUEST, OUTPUT, REFUSED = "kernel", "plan", "request", "output", "refused"


class Proof(NamedTuple):
    """`look` is given the lab and the words before and of the flag; it raises if they lie."""

    where: str
    look: Callable[[Lab, str], None]
    test: str = "test_a_flag_does_what_it_says"


class Row(NamedTuple):
    """One flag of one command."""

    command: str
    flag: str
    proof: Proof

    @property
    def id(self) -> str:
        """How the test is called."""
        return f"{self.command} {self.flag}"


class Flag(NamedTuple):
    """A flag of create and update: its words, what has to be said besides, and what it does.

    `shown` makes something of the spec; it is `expected` with the flag. `removed` is what
    `-rm` is given, for flags that come in pairs.
    """

    name: str
    words: tuple[str, ...]
    where: str
    shown: Callable[[ServiceSpec], object]
    expected: object
    besides: tuple[str, ...] = ()
    removed: str = ""


def in_kernel(
    name: str,
    words: str | tuple[str, ...],
    shown: Callable[[Kernel], object],
    expected: object,
    *,
    besides: str = "",
    removed: str = "",
) -> Flag:
    """A flag that changes what the kernel is told."""

    def through(spec: ServiceSpec) -> object:
        return shown(kernel(spec))

    return Flag(name, _split(words), KERNEL, through, expected, tuple(besides.split()), removed)


def in_plan(
    name: str,
    words: str | tuple[str, ...],
    shown: Callable[[ServiceSpec], object],
    expected: object,
    *,
    besides: str = "",
    removed: str = "",
) -> Flag:
    """A flag that changes what the leader decides."""
    return Flag(name, _split(words), PLAN, shown, expected, tuple(besides.split()), removed)


def _split(words: str | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(words.split()) if isinstance(words, str) else words


def holds(flag: Flag, spec: ServiceSpec, without: ServiceSpec) -> None:
    """What is shown is as expected with the flag, and only with it."""
    seen, unlike = flag.shown(spec), flag.shown(without)
    assert seen == flag.expected, f"with it {seen!r}, expected {flag.expected!r}"
    assert unlike != flag.expected, f"without it {unlike!r} as well"


def on_create(flag: Flag) -> Row:
    """The flag on `service create`."""

    def look(lab: Lab, _: str) -> None:
        without = lab.created(*flag.besides)
        spec = lab.created(*flag.besides, *flag.words)
        holds(flag, spec, without)

    return Row("service create", flag.name, Proof(flag.where, look))


def on_update(flag: Flag) -> Row:
    """The same flag on `service update`."""

    def look(lab: Lab, _: str) -> None:
        base = lab.created(*flag.besides)
        holds(flag, lab.updated(base, *flag.words), base)

    return Row("service update", flag.name, Proof(flag.where, look))


def pair(flag: Flag) -> tuple[Row, Row]:
    """The pair on `service update`: what was added counts, and once removed it is gone."""
    assert flag.removed, flag.name
    add, rm = f"{flag.name}-add", f"{flag.name}-rm"

    def added(lab: Lab, _: str) -> None:
        base = lab.created(*flag.besides)
        words = tuple(add if word in (flag.name, flag.words[0]) else word for word in flag.words)
        holds(flag, lab.updated(base, *words), base)

    def removed(lab: Lab, _: str) -> None:
        base = lab.created(*flag.besides)
        full = lab.created(*flag.besides, *flag.words)
        holds(flag, full, base)
        gone = lab.updated(full, *(word for each in flag.removed.split() for word in (rm, each)))
        assert gone == base

    return (
        Row("service update", add, Proof(flag.where, added)),
        Row("service update", rm, Proof(flag.where, removed)),
    )


def refused(command: str, flag: str, words: str | tuple[str, ...], reason: str) -> Row:
    """A flag that leads nowhere, and says why."""

    def look(lab: Lab, _: str) -> None:
        said = lab.refused(*_split(words))
        assert reason in said, said

    return Row(command, flag, Proof(REFUSED, look))
