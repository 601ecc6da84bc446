"""List what every flag does, as a proof that can be run.

A proof compares what comes out with the flag and without it: with it the result is what is
expected, and without it something else, so no proof holds by accident. `tests/flags/test_flags.py`
runs them and demands one for every flag that the commands have, `test_proofs.py` has each fail;
the table in `docs/reference/flags.md` is made from the same list.

What takes a terminal or a swarm of several hosts is proven by another test, which the row names.
Then it is seen to that there is such a test, and that it says the command and the flag.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from swarm.specs import ServiceSpec
from tests.flags import commands
from tests.flags.lab import Kernel, Lab, kernel

REPOSITORY = Path(__file__).parents[2]
KERNEL, PLAN, REQUEST, OUTPUT, REFUSED = "kernel", "plan", "request", "output", "refused"


class Proof(NamedTuple):
    """`look` is given the lab and the words before and of the flag; it raises if they lie."""

    where: str
    look: Callable[[Lab, str], None]
    elsewhere: str = ""


class Row(NamedTuple):
    """One flag of one command."""

    command: str
    flag: str
    proof: Proof

    @property
    def id(self) -> str:
        """How the test's case is called."""
        return f"{self.command} {self.flag}".lstrip()

    @property
    def test(self) -> str:
        """The test that proves it."""
        return self.proof.elsewhere or f"test_a_flag_does_what_it_says[{self.id}]"


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


def planned(row: Row) -> Row:
    """A flag of `service create` or `update` on `plan`, which tries it out and changes nothing."""

    def look(lab: Lab, flag: str) -> None:
        with lab.planning():
            row.proof.look(lab, flag)

    return Row(row.command.replace("service", "plan"), row.flag, Proof(row.proof.where, look))


def elsewhere(command: str, flag: str, where: str, test: str) -> Row:
    """A flag that `test`, as pytest calls it, follows to where it counts."""

    def look(_: Lab, flag: str) -> None:
        says(test, command, commands.spellings(command, flag))

    return Row(command, flag, Proof(where, look, elsewhere=test))


def says(test: str, command: str, spellings: Iterable[str]) -> None:
    """Fail unless there is such a test, and it runs the command with one of these flags."""
    path, _, name = test.partition("::")
    found = [each for each in _tests(path) if each.name == name]
    assert found, f"there is no {test}"
    words = set(_words(found[0]))
    last = command.rpartition(" ")[2]
    assert last in words, f"{test} does not run {command}"
    assert any(_is_said(each, words) for each in spellings), f"{test} does not say {spellings}"


@cache
def _tests(path: str) -> tuple[ast.FunctionDef, ...]:
    tree = ast.parse((REPOSITORY / path).read_text())
    return tuple(
        each
        for each in tree.body
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    )


def _words(test: ast.FunctionDef) -> Iterator[str]:
    """The words of a command line that a test has, but for its docstring."""
    told = ast.get_docstring(test, clean=False)
    for node in ast.walk(test):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != told:
            yield from node.value.split()


def _is_said(flag: str, words: Iterable[str]) -> bool:
    """Whether `flag` is among the words, as it is, with a value or with other letters."""
    if flag.startswith("--"):
        return any(each == flag or each.startswith(f"{flag}=") for each in words)
    return any(re.fullmatch("-[a-z]+", each) and flag[1] in each for each in words)
