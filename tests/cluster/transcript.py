"""Read a script of shell commands and what they should answer, and do it, step by step.

```
# a note                   ## A section
$ command                  a step; variables that it sets are the later steps', too
$* command                 one that is tried again until it answers as it should
> more of the command      another line of it
= text                     its whole output: one such line for each
~ expression               what its output has in it, besides
^ expression               what its standard error has in it
! 3                        its exit status, which is 0 if nothing is said
D= D~ D^ D!                the same of Docker's own daemon, instead of all the others
differs: reason            why the two differ; without any D nothing is expected of Docker's
```
"""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from tests.cluster.hosts import wait_for

WITHIN_S = 60.0
_OURS, _DOCKERS = "", "D"
_EXPECTATION = re.compile(r"(D?)([=~^!])(?: (.*))?")


class Expected(Struct, frozen=True):
    """What one of the two daemons should make of a step; `output` None is anything."""

    output: list[str] | None = None
    has: tuple[str, ...] = ()
    complains: tuple[str, ...] = ()
    status: int = 0

    def problems(self, done: "subprocess.CompletedProcess[str]") -> Iterator[str]:
        """What is not as it should be."""
        if done.returncode != self.status:
            yield f"status {done.returncode}, not {self.status}"
        lines = [line.rstrip() for line in done.stdout.splitlines()]
        if self.output is not None and lines != [line.rstrip() for line in self.output]:
            yield f"the output is not {self.output}"
        for text, wanted in ((done.stdout, self.has), (done.stderr, self.complains)):
            yield from (f"no {each!r}" for each in wanted if not re.search(each, text, re.M))


class Step(Struct):
    """A command with its line in the script, and what each daemon should make of it."""

    line: int
    command: str
    is_repeated: bool = False
    ours: Expected = Expected()
    dockers: Expected | None = Expected()
    reason: str = ""

    @property
    def is_expecting(self) -> bool:
        """Whether anything but a status of 0 is asked of our answer."""
        ours = self.ours
        return bool(ours.status or ours.has or ours.complains) or ours.output is not None


def sections(text: str) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """The script's sections: their titles and steps, whose lines are the script's."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("## ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        blank = "\n" * start
        yield lines[start].removeprefix("## "), parse(blank + "\n".join(lines[start:end]))


def parse(text: str) -> tuple[Step, ...]:
    """All steps; whatever is no line of a script fails."""
    steps: list[Step] = []
    marks: list[tuple[str, str, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith(("$ ", "$* ")):
            _conclude(steps, marks)
            prompt, _, command = line.partition(" ")
            steps.append(Step(line=number, command=command, is_repeated=prompt == "$*"))
        elif line.startswith("> "):
            steps[-1].command += f"\n{line[2:]}"
        elif line.startswith("differs: "):
            steps[-1].reason = line.partition(" ")[2]
        elif found := _EXPECTATION.fullmatch(line.rstrip()):
            marks.append((found[1], found[2], found[3] or ""))
        else:
            raise AssertionError(f"line {number}: {line}")
    _conclude(steps, marks)
    return tuple(steps)


def _conclude(steps: list[Step], marks: list[tuple[str, str, str]]) -> None:
    if not steps:
        return
    step, differing = steps[-1], any(who == _DOCKERS for who, _, _ in marks)
    assert not differing or step.reason, f"line {step.line}: say why it differs"
    step.ours = _expected(marks, _OURS)
    step.dockers = _expected(marks, _DOCKERS) if differing else step.ours
    if step.reason and not differing:
        step.dockers = None
    marks.clear()


def _expected(marks: list[tuple[str, str, str]], who: str) -> Expected:
    found = [(sign, text) for by, sign, text in marks if by == who]
    statuses = [int(text) for sign, text in found if sign == "!"]
    exact = [text for sign, text in found if sign == "="]
    has = [text for sign, text in found if sign == "~"]
    complains = [text for sign, text in found if sign == "^"]
    is_silent = not has and not complains and not statuses
    return Expected(
        output=exact if exact or is_silent else None,
        has=tuple(has),
        complains=tuple(complains),
        status=statuses[0] if statuses else 0,
    )


class Shell:
    """A shell whose variables outlive each command; commands run in `directory`."""

    def __init__(self, directory: Path, environment: dict[str, str], prefix: tuple[str, ...]):
        self._directory = directory
        self._environment = environment
        self._prefix = prefix
        self._variables = directory / ".variables"

    def run(self, command: str, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
        """Do `command`, and keep what it sets."""
        script = (
            f"set -a; [ -e {self._variables} ] && . {self._variables}\n{command}\n"
            f"status=$?; export -p > {self._variables}; exit $status"
        )
        done = subprocess.run(
            [*self._prefix, "bash", "-c", script], cwd=self._directory, env=self._environment,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False,
        )  # fmt: skip
        return subprocess.CompletedProcess(
            command,
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )


def perform(step: Step, shell: Shell, *, is_docker: bool) -> str:
    """Do a step; what is wrong with the answer, or nothing."""
    expected = step.dockers if is_docker else step.ours
    done = shell.run(step.command)
    if expected is None:
        return ""

    def problems() -> list[str]:
        return list(expected.problems(done))

    if step.is_repeated and problems():

        def holds() -> bool:
            nonlocal done
            done = shell.run(step.command)
            return not problems()

        with contextlib.suppress(AssertionError):  # what is wrong is told below
            wait_for(step.command, holds, within_s=WITHIN_S, every_s=0.2)
    found = problems()
    told = f"  stdout {done.stdout!r}\n  stderr {done.stderr!r}\n"
    return f"{step.line}: {step.command}\n  {'; '.join(found)}\n{told}" if found else ""
