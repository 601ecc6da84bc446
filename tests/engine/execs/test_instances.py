"""Programs that were described, and what becomes of them."""

import pytest

from engine.execs import describing, instance
from engine.execs.instance import Execs, Instance, Stage, write_instance
from engine.execs.outcomes import exit_code_of, explain
from engine.wire.containers import ExecJson, ExecStartJson
from swarm.api.v1 import containers_pb2 as pb
from swarm.errors import Invalid, KernelRefused, Missing, Refused

RUNNING = pb.ContainerView(id="c1", state=pb.CONTAINER_STATE_RUNNING)


def made(number: int = 1, **asked: object) -> Instance:
    wanted = ExecJson(cmd=("true",), **asked)  # type: ignore[arg-type]
    return describing.describe(f"e{number}", wanted, RUNNING)


def test_a_program_runs_once_and_its_code_is_kept_for_a_while() -> None:
    execs = Execs()
    execs.add(made(), now=0)
    assert execs.of_container("c1") == ["e1"]
    started = execs.start("e1")
    with pytest.raises(Refused, match="already running"):
        execs.start("e1")
    execs.end(started, 3, now=10)
    with pytest.raises(Refused, match="has already run"):
        execs.start("e1")
    assert execs.get("e1").exit_code == 3
    assert execs.of_container("c1") == []

    execs.add(made(2), now=10 + instance.KEPT_S + 1)

    with pytest.raises(Missing, match="No such exec instance: e1"):
        execs.get("e1")


def test_the_oldest_that_do_not_run_go_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(instance, "MOST", 3)
    execs = Execs()
    for number in range(1, 4):
        execs.add(made(number), now=0)
    execs.start("e1")

    execs.add(made(4), now=0)

    assert execs.get("e1").stage is Stage.RUNNING
    with pytest.raises(Missing):
        execs.get("e2")


@pytest.mark.parametrize(
    ("state", "words"),
    [(0, "is not running"), (2, "is paused"), (3, "is restarting"), (5, "is not running")],
)
def test_nothing_runs_in_what_does_not(state: int, words: str) -> None:
    view = pb.ContainerView(id="c1", state=state)  # type: ignore[arg-type]

    with pytest.raises(Refused, match=words):
        describing.describe("e", ExecJson(cmd="x"), view)


def test_a_program_needs_a_name_and_variables_too() -> None:
    for asked in (ExecJson(), ExecJson(cmd=()), ExecJson(cmd="x", env=("=1",))):
        with pytest.raises(Invalid):
            describing.describe("e", asked, RUNNING)


def test_the_agent_is_told_what_was_described_and_how_it_is_started() -> None:
    described = made(attach_stdin=True, tty=True, console_size=(10, 20), user="me")

    start = describing.start_of(described, ExecStartJson(console_size=(30, 40)))

    assert (start.open_stdin, start.tty, start.user, start.outlives) == (True, True, "me", True)
    assert (start.size.rows, start.size.columns) == (30, 40)
    assert not describing.start_of(described, ExecStartJson(detach=True)).open_stdin


def test_an_inspection_tells_of_program_and_stage() -> None:
    shown = write_instance(made(user="me"))

    assert shown["ProcessConfig"] == {
        "tty": False, "entrypoint": "true", "arguments": [], "privileged": False, "user": "me",
    }  # fmt: skip
    assert (shown["Running"], shown["ExitCode"], shown["CanRemove"]) == (False, None, False)


@pytest.mark.parametrize(
    ("number", "program", "words", "code"),
    [
        (2, "x", 'exec: "x": executable file not found in $PATH', 127),
        (2, "/x", 'exec: "/x": stat /x: no such file or directory', 127),
        (13, "/x", 'exec: "/x": permission denied', 126),
        (21, "/", 'exec: "/": permission denied', 126),
        (8, "/x", 'exec: "/x": odd', 126),
    ],
)
def test_why_a_program_does_not_run_is_said_as_clients_know_it(
    number: int, program: str, words: str, code: int
) -> None:
    error = KernelRefused("exec", number, "odd")

    assert explain(error, program).endswith(words)
    assert exit_code_of(error, program) == code
