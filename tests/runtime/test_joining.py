"""What may join a container, and what a refusal is called by its exit code."""

from errno import EACCES, ENOENT, ENOEXEC

import pytest

from runtime.joining import ExecSpec, check, refusal_code
from swarm.errors import Invalid, KernelRefused


@pytest.mark.parametrize(
    ("step", "errno", "code"),
    [
        ("exec", ENOENT, 127),
        ("exec", EACCES, 126),
        ("exec", ENOEXEC, 126),
        ("enter workdir", ENOENT, 126),
        ("find user", ENOENT, 126),
    ],
)
def test_only_a_missing_program_is_127(step: str, errno: int, code: int) -> None:
    assert refusal_code(KernelRefused(step, errno, "no")) == code


def test_a_good_spec_is_fine() -> None:
    check(
        ExecSpec(args=("sh",), env=("A=", "B=c=d"), workdir="/", user="1:2", tty=True, stdin=True)
    )


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (ExecSpec(args=()), "args: must name a command"),
        (ExecSpec(args=("",)), "args: must name a command"),
        (ExecSpec(args=("a", "b\0")), "args[1]: must not contain a NUL character"),
        (ExecSpec(args=("a",), env=("=x",)), "env[0]: must be NAME=VALUE, is '=x'"),
        (ExecSpec(args=("a",), env=("A=\0",)), "env[0]: must not contain a NUL character"),
        (ExecSpec(args=("a",), workdir="x"), "workdir: must be an absolute path, is 'x'"),
        (ExecSpec(args=("a",), columns=70000), "columns: must be between 0 and 65535, is 70000"),
        (ExecSpec(args=("a",), detach=True, tty=True), "detach: leaves no streams"),
    ],
)
def test_a_bad_spec_is_refused_with_its_path(spec: ExecSpec, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(spec)

    assert caught.value.problems[0].startswith(problem)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        check(ExecSpec(args=(), env=("x",), workdir="x", user="\0", rows=-1))

    assert len(caught.value.problems) == 5
    assert caught.value.hint == "and 4 more"
