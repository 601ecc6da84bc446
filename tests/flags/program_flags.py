"""Flags of exec and attach: what the kernel does for one more program of a container."""

from collections.abc import Callable
from unittest.mock import patch

from agent.io.carrying import exec_spec
from runtime.joining import check
from runtime.steps import EnterWorkdir, Execute, FindUser, OpenTerminal, SetCapabilities
from runtime.translation import to_exec_plan
from swarm.api.v1 import control_pb2 as pb
from swarmctl.io import streaming
from swarmctl.io.streaming import Finished, Manner
from tests.flags.lab import Lab, kernel
from tests.flags.table import KERNEL, OUTPUT, REQUEST, Proof, Row, elsewhere
from tests.runtime.specs import V2

CAPABILITIES = 40
LEFT = (1 << CAPABILITIES + 1) - 1


def _said(lab: Lab, *words: str) -> tuple[pb.StreamInput, Manner]:
    """The first word of the conversation, and the manner of it."""
    said: list[tuple[pb.StreamInput, Manner]] = []

    def converse(
        path: str,
        method: str,
        begin: pb.StreamInput,
        manner: Manner,
        begun: Callable[[], None],
    ) -> Finished:
        del path, method, begun
        said.append((begin, manner))
        return Finished(0)

    with patch.object(streaming, "converse", converse):
        ran = lab.run(*words)
    assert ran.status == 0, ran.err
    [found] = said
    return found


def _steps(lab: Lab, *flags: str) -> tuple[object, ...]:
    """What is asked of the kernel for the program."""
    begin, _ = _said(lab, "exec", *flags, "web.1", "ls")
    program = exec_spec(begin.exec)
    check(program)
    inside = kernel(lab.created()).spec
    plan = to_exec_plan(inside, program, layout=V2, directory="/d", last_capability=CAPABILITIES)
    return plan.container


def _step(flag: str, value: tuple[str, ...], wanted: type[object], **fields: object) -> Row:
    """A flag with which there is a step of that kind with these fields."""

    def look(lab: Lab, _: str) -> None:
        def is_there(*flags: str) -> bool:
            return any(
                isinstance(step, wanted)
                and all(getattr(step, name) == value for name, value in fields.items())
                for step in _steps(lab, *flags)
            )

        assert is_there(flag, *value)
        assert not is_there()

    return Row("exec", flag, Proof(KERNEL, look))


def _env(lab: Lab, flag: str) -> None:
    """Both ways to give variables; what is on the command line is stronger."""

    def env(*flags: str) -> set[str]:
        [program] = [each for each in _steps(lab, *flags) if isinstance(each, Execute)]
        return {each for each in program.env if each[:2] in ("A=", "B=")}

    file = lab.file("env", "A=file\nB=file\n")
    given = {"--env": ("-e", "A=flag"), "--env-file": ("--env-file", file)}
    found = {"--env": {"A=flag"}, "--env-file": {"A=file", "B=file"}}
    assert env(*given[flag]) == found[flag]
    assert env(*given["--env-file"], *given["--env"]) == {"A=flag", "B=file"}
    assert env() == set()


def _keys(lab: Lab, flag: str) -> None:
    assert _said(lab, "attach", flag, "ctrl-x,y", "web.1")[1].keys == b"\x18y"
    assert _said(lab, "attach", "web.1")[1].keys == b"\x10\x11"


_REAL = "tests/cluster/test_exec.py"
_TERMINAL = "tests/swarmctl/commands/test_program.py"

ROWS: tuple[Row, ...] = (
    Row("exec", "--env", Proof(KERNEL, _env)),
    Row("exec", "--env-file", Proof(KERNEL, _env)),
    _step("--user", ("5:6",), FindUser, user="5:6"),
    _step("--workdir", ("/w",), EnterWorkdir, path="/w"),
    _step("--privileged", (), SetCapabilities, effective=LEFT),
    _step("--tty", (), OpenTerminal),
    elsewhere("exec", "--interactive", KERNEL, f"{_REAL}::test_pipes_pass_through_and_end"),
    elsewhere("exec", "--detach", KERNEL, f"{_REAL}::test_a_detached_program_goes_on_by_itself"),
    elsewhere("exec", "--detach-keys", OUTPUT, f"{_TERMINAL}::test_detach_keys_leave_the_program"),
    Row("attach", "--detach-keys", Proof(OUTPUT, _keys)),
    elsewhere(
        "attach",
        "--no-stdin",
        KERNEL,
        f"{_REAL}::test_attach_hears_what_the_task_writes_and_leaving_does_it_no_harm",
    ),
    elsewhere(
        "attach",
        "--sig-proxy",
        REQUEST,
        f"{_TERMINAL}::test_attach_without_a_proxy_leaves_at_a_signal",
    ),
)
