"""Rows of flags that change what is asked of the swarm, or what is printed of its answer.

As everywhere in the table, what is shown has to differ without the flag.
"""

from collections.abc import Callable
from typing import Any

from swarm.api.v1 import control_pb2 as pb
from tests.flags.lab import Lab
from tests.flags.table import OUTPUT, REQUEST, Proof, Row
from tests.swarmctl.running import Ran

Words = str | tuple[str, ...]
Prepare = Callable[[Lab], None]


def _nothing(_: Lab) -> None:
    pass


def asks(
    command: str,
    flag: str,
    words: Words,
    kind: type[Any],
    shown: Callable[[Any], object],
    expected: object,
    *,
    rest: Words = "",
    given: Prepare = _nothing,
    where: str = REQUEST,
) -> Row:
    """A flag that is in what the command asks for; `shown` is told `None` of what was not."""

    def look(lab: Lab, _: str) -> None:
        def seen(*flags: str) -> object:
            lab.furnish()
            given(lab)
            ran = lab.run(*command.split(), *flags, *_split(rest))
            assert ran.status == 0, ran.err
            requests = lab.swarm.asked(kind)
            return shown(requests[-1] if requests else None)

        _differ(seen(*_split(words)), seen(), expected)

    return Row(command, flag, Proof(where, look))


def prints(
    command: str,
    flag: str,
    words: Words,
    shown: Callable[[Ran], object],
    expected: object,
    *,
    rest: Words = "",
    given: Prepare = _nothing,
) -> Row:
    """A flag that changes what is printed."""

    def look(lab: Lab, _: str) -> None:
        def seen(*flags: str) -> object:
            lab.furnish()
            given(lab)
            ran = lab.run(*command.split(), *flags, *_split(rest))
            assert ran.status == 0, ran.err
            return shown(ran)

        _differ(seen(*_split(words)), seen(), expected)

    return Row(command, flag, Proof(OUTPUT, look))


def listing(
    command: str,
    chosen: str,
    wanted: int,
    rest: Words = "",
    *,
    key: str = "ID",
    given: Prepare = _nothing,
) -> tuple[Row, ...]:
    """The flags that all lists have; `chosen` selects `wanted` of several, `key` tells them."""
    return (
        prints(
            command,
            "--filter",
            f"-f {chosen}",
            lambda ran: len(lines(ran)),
            wanted + 1,
            rest=rest,
            given=given,
        ),
        formatted(command, f"--format x{{{{.{key}}}}}", rest, given=given),
        prints(command, "--quiet", "-q", has(" "), False, rest=rest, given=given),
    )


def formatted(command: str, words: Words, rest: Words = "", *, given: Prepare = _nothing) -> Row:
    """`--format` with a template that begins with an x."""
    return prints(command, "--format", words, lambda ran: ran.out[:1], "x", rest=rest, given=given)


def full(command: str, rest: Words = "", *, given: Prepare = _nothing) -> tuple[Row, ...]:
    """How much is said of tasks."""
    return tuple(
        prints(command, flag, flag, shown, expected, rest=rest, given=given)
        for flag, shown, expected in (
            ("--no-resolve", has("alpha"), False),
            ("--no-trunc", has("x" * 40), True),
        )
    )


def inspecting(
    command: str, rest: Words, shown: str = "ID:  ", *, given: Prepare = _nothing
) -> tuple[Row, ...]:
    """The flags that show an object in full."""
    return (
        formatted(command, "-f x{{.ID}}", rest, given=given),
        prints(command, "--pretty", "--pretty", has(shown), True, rest=rest, given=given),
    )


def waiting(command: str, rest: str = "web") -> tuple[Row, Row]:
    """Whether the command waits for tasks, and what it says meanwhile."""
    return (
        asks(command, "--detach", "-d", pb.WatchServiceRequest, is_asked, False, rest=rest),
        prints(command, "--quiet", "-q", has("converged"), False, rest=rest),
    )


def is_asked(request: object) -> bool:
    """Whether there was a request."""
    return request is not None


def lines(ran: Ran) -> list[str]:
    """What was printed, line by line."""
    return ran.out.splitlines()


def has(text: str) -> Callable[[Ran], bool]:
    """Whether `text` is in what was printed."""
    return lambda ran: text in ran.out


def _differ(seen: object, unlike: object, expected: object) -> None:
    assert seen == expected, f"with it {seen!r}, expected {expected!r}"
    assert unlike != expected, f"without it {unlike!r} as well"


def _split(words: Words) -> tuple[str, ...]:
    return tuple(words.split()) if isinstance(words, str) else words
