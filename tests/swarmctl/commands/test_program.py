"""`exec` and `attach` as processes of their own: they live on descriptors, not on sys.stdout."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2, objects_pb2
from swarm.errors import KernelRefused, Missing, Refused, Unavailable
from tests.swarmctl.fake_swarm import FakeSwarm, Program

Input, Output = control_pb2.StreamInput, control_pb2.StreamOutput
Inputs, Outputs = Iterator[Input], Iterator[Output]


def started(*, tty: bool = False, open_stdin: bool = True) -> Output:
    return Output(started=control_pb2.StreamStarted(tty=tty, open_stdin=open_stdin))


def ended(code: int = 0) -> Output:
    return Output(ended=control_pb2.StreamEnded(exit_code=code))


def saying(*outputs: Output) -> Program:
    """A program that reads nothing."""

    def program(inputs: Inputs) -> Outputs:
        del inputs
        yield from (started(), *outputs)

    return program


def echo(inputs: Inputs) -> Outputs:
    """`cat`."""
    yield started()
    for each in inputs:
        if each.HasField("stdin_end"):
            break
        yield Output(stdout=each.stdin)
    yield ended()


def person_at_a_terminal(inputs: Inputs) -> Outputs:
    """Says that it is up, and goes on until it is told otherwise."""
    yield started(tty=True)
    yield Output(stdout=b"up")
    for each in inputs:
        if each.HasField("detach"):
            break
        if each.stdin == b"q":
            yield ended(5)
            return
    yield ended()


def arguments(socket: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "swarmctl.main", "-H", f"unix://{socket}", *words]


def run(
    socket: Path, *words: str, stdin: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        arguments(socket, *words),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        check=False,
        timeout=60,
    )


class Seat:
    """A terminal with swarmctl in its foreground."""

    def __init__(self, socket: Path, *words: str) -> None:
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (33, 111))
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen(
            ["setsid", "-c", *arguments(socket, *words)],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
        )

    def see(self, text: bytes) -> None:
        """Wait until it has been shown, which may be a little after its writer ended."""
        deadline = time.monotonic() + 60
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 1 << 16)

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def wait(self) -> int:
        deadline = time.monotonic() + 60
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.master], [], [], 0.02)[0]:
                self.seen += os.read(self.master, 1 << 16)
        return self.process.returncode

    @property
    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before


@pytest.fixture
def seat(swarm: FakeSwarm, socket: Path) -> Iterator[Callable[..., Seat]]:
    seats: list[Seat] = []

    def take(*words: str) -> Seat:
        seats.append(Seat(socket, *words))
        return seats[-1]

    yield take
    for each in seats:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        os.close(each.master)
        os.close(each.slave)


def test_output_errors_and_the_exit_code_are_the_programs(swarm: FakeSwarm, socket: Path) -> None:
    swarm.programs = [saying(Output(stdout=b"out"), Output(stderr=b"err"), ended(42))]

    done = run(socket, "exec", "web.1", "true")

    assert (done.stdout, done.stderr, done.returncode) == (b"out", b"err", 42)


def test_flags_reach_the_program(swarm: FakeSwarm, socket: Path, tmp_path: Path) -> None:
    swarm.programs = [saying(ended())]
    file = tmp_path / "env"
    file.write_text("A=file\nB=file\n")

    run(
        socket, "exec", "-i", "-u", "app:1", "-w", "/srv", "--env-file", str(file), "-e", "B=flag",
        "-e", "NOT_SET_ANYWHERE", "--privileged", "web.1", "ls", "-l", "--all",
        stdin=b"",
    )  # fmt: skip

    (start,) = [each.exec for each in swarm.asked(Input)]
    assert (start.task, list(start.args)) == ("web.1", ["ls", "-l", "--all"])
    assert list(start.env) == ["A=file", "B=flag"]
    assert (start.user, start.workdir) == ("app:1", "/srv")
    assert (start.privileged, start.open_stdin, start.tty) == (True, True, False)
    assert not start.HasField("size")


def test_a_detached_program_has_nobody_to_type(swarm: FakeSwarm, socket: Path) -> None:
    swarm.programs = [saying(ended())]

    done = run(socket, "exec", "-dit", "web.1", "sleep", "9")

    (start,) = [each.exec for each in swarm.asked(Input)]
    assert (start.detach, start.tty, start.open_stdin) == (True, False, False)
    assert (done.returncode, done.stdout) == (0, b"")


def test_input_passes_and_its_end_is_told(swarm: FakeSwarm, socket: Path) -> None:
    swarm.programs = [echo]

    assert run(socket, "exec", "-i", "web.1", "cat", stdin=b"hello").stdout == b"hello"


def test_large_streams_pass_both_ways_at_once(swarm: FakeSwarm, socket: Path) -> None:
    swarm.programs = [echo]
    data = os.urandom(30 << 20)

    assert run(socket, "exec", "-i", "web.1", "cat", stdin=data).stdout == data


def test_without_i_nothing_is_read(swarm: FakeSwarm, socket: Path) -> None:
    swarm.programs = [saying(ended())]

    run(socket, "exec", "web.1", "true", stdin=b"precious")

    assert not [each for each in swarm.inputs if each.stdin]


def test_a_program_may_end_before_its_input(swarm: FakeSwarm, socket: Path) -> None:
    def three_bytes(inputs: Inputs) -> Outputs:
        yield started()
        yield Output(stdout=next(inputs).stdin[:3])
        yield ended(9)

    swarm.programs = [three_bytes]

    done = run(socket, "exec", "-i", "web.1", "head", stdin=b"abc" * (10 << 20))

    assert (done.stdout, done.returncode) == (b"abc", 9)


def test_closed_standard_input_is_an_end_of_input(swarm: FakeSwarm, socket: Path) -> None:
    swarm.programs = [echo]
    words = arguments(socket, "exec", "-i", "web.1", "cat")

    done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *words], check=False, timeout=60)

    assert done.returncode == 0


def test_output_that_nobody_reads_ends_the_program(swarm: FakeSwarm, socket: Path) -> None:
    def flood(inputs: Inputs) -> Outputs:
        del inputs
        yield started()
        while not swarm.left.is_set():
            yield Output(stdout=bytes(1 << 16))

    swarm.programs = [flood]
    words = arguments(socket, "exec", "web.1", "yes")

    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.wait(60) == 1

    assert swarm.left.wait(60)


def test_a_reader_that_pauses_stops_what_is_sent_but_not_what_is_typed(
    swarm: FakeSwarm, socket: Path
) -> None:
    """1. The program writes without end, and nobody reads our output.
    2. It stops within a few windows, and we have not grown.
    3. What is given to us as input still arrives.
    """
    sent = 0

    def flood(inputs: Inputs) -> Outputs:
        nonlocal sent
        yield started()
        while not swarm.left.is_set():
            yield Output(stdout=bytes(1 << 16))
            sent += 1 << 16

    swarm.programs = [flood]
    words = arguments(socket, "exec", "-i", "web.1", "yes")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        before = -1
        while before != sent or not sent:
            before = sent
            time.sleep(0.5)
        statm = Path(f"/proc/{process.pid}/statm").read_text().split()
        process.kill()
        process.communicate()

    assert sent < 16 << 20
    assert int(statm[1]) * os.sysconf("SC_PAGESIZE") < 80 << 20


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KernelRefused("exec", 2, 'exec: "nosuch": no such file'), 127),
        (KernelRefused("exec", 13, 'exec: "/etc": permission denied'), 126),
        (Missing("task 'web.1' not found", hint="list them"), 1),
        (Refused("task web.1 is not running: it is failed"), 1),
        (Unavailable("the session of node n1 ended"), 1),
    ],
)
def test_a_refusal_is_said_and_has_dockers_exit_code(
    swarm: FakeSwarm, socket: Path, error: Missing, status: int
) -> None:
    swarm.refuse("Exec", error)

    done = run(socket, "exec", "web.1", "x")

    assert done.returncode == status
    assert done.stderr.decode().startswith(f"Error: {error.message}\n")
    assert error.hint in done.stderr.decode()


def test_a_call_that_ends_without_an_exit_code_is_a_failure(swarm: FakeSwarm, socket: Path) -> None:
    swarm.programs = [saying()]
    words = arguments(socket, "exec", "web.1", "x")

    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        swarm.wait_for("Exec")
        swarm.stop_serving()
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert errors.startswith(b"Error: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("exec", "-it", "web.1", "sh"), "the input device is not a TTY"),
        (("exec", "-t", "--detach-keys", "ctrl-", "web.1", "sh"), "'ctrl-' is not a key"),
        (("exec", "-e", "=x", "web.1", "sh"), "has no name"),
        (("exec", "--env-file", "/nowhere", "web.1", "sh"), "/nowhere: No such file"),
        (("exec", "web.1"), "missing COMMAND"),
    ],
)
def test_nonsense_is_refused_before_anything_is_asked(
    swarm: FakeSwarm, socket: Path, words: tuple[str, ...], message: str
) -> None:
    done = run(socket, *words)

    assert done.returncode == 1
    assert message in done.stderr.decode()
    assert not swarm.requests


def test_a_terminal_is_raw_while_the_program_has_it(
    swarm: FakeSwarm, seat: Callable[..., Seat]
) -> None:
    """1. The program gets a terminal of our size, with TERM for it.
    2. Keys arrive as they are typed, Ctrl-C included; a new size follows.
    3. It ends, and the terminal is what it was.
    """
    swarm.programs = [person_at_a_terminal]
    person = seat("exec", "-it", "web.1", "sh")
    person.see(b"up")

    assert not person.is_as_before
    start = swarm.asked(Input)[0].exec
    assert (start.tty, start.size.rows, start.size.columns) == (True, 33, 111)
    assert list(start.env) == ["TERM=xterm"]
    person.type(b"\x03")
    assert swarm.wait_for_input("stdin").stdin == b"\x03"
    swarm.inputs.clear()
    termios.tcsetwinsize(person.slave, (44, 122))
    assert swarm.wait_for_input("size").size.rows == 44
    person.type(b"q")

    assert person.wait() == 5
    assert person.is_as_before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_gives_the_terminal_back(
    swarm: FakeSwarm, seat: Callable[..., Seat], number: int
) -> None:
    swarm.programs = [person_at_a_terminal]
    person = seat("exec", "-it", "web.1", "sh")
    person.see(b"up")

    person.process.send_signal(number)

    assert person.wait() == 128 + number
    assert person.is_as_before
    assert swarm.left.wait(60)


def test_a_daemon_that_dies_gives_the_terminal_back(
    swarm: FakeSwarm, seat: Callable[..., Seat]
) -> None:
    swarm.programs = [person_at_a_terminal]
    person = seat("exec", "-it", "web.1", "sh")
    person.see(b"up")

    swarm.stop_serving()

    assert person.wait() == 1
    assert person.is_as_before
    person.see(b"Error: ")


def test_detach_keys_leave_the_program(swarm: FakeSwarm, seat: Callable[..., Seat]) -> None:
    swarm.programs = [person_at_a_terminal]
    person = seat("exec", "-it", "--detach-keys", "ctrl-x,y", "web.1", "sh")
    person.see(b"up")

    person.type(b"a\x18")
    person.type(b"y")

    assert person.wait() == 0
    assert person.is_as_before
    person.see(b"read escape sequence")
    assert swarm.wait_for_input("detach")
    assert b"".join(each.stdin for each in swarm.inputs) == b"a"


def test_attach_joins_with_the_terminals_size(swarm: FakeSwarm, seat: Callable[..., Seat]) -> None:
    swarm.programs = [person_at_a_terminal]
    person = seat("attach", "web.1")
    person.see(b"up")
    person.type(b"\x10\x11")

    assert person.wait() == 0
    start = swarm.asked(Input)[0].attach
    assert (start.task, start.open_stdin, start.size.rows) == ("web.1", True, 33)
    assert swarm.left.wait(60)
    assert not [each for each in swarm.inputs if each.HasField("detach")]


def test_attach_passes_signals_on(swarm: FakeSwarm, socket: Path) -> None:
    def until_signalled(inputs: Inputs) -> Outputs:
        yield started(open_stdin=False)
        yield Output(stdout=b"up")
        for each in inputs:
            if each.signal:
                yield ended(each.signal)
                return

    swarm.programs = [until_signalled]
    words = arguments(socket, "attach", "web.1")
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(2) == b"up"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert process.returncode == signal.SIGINT


def test_attach_without_a_proxy_leaves_at_a_signal(swarm: FakeSwarm, socket: Path) -> None:
    swarm.programs = [person_at_a_terminal]
    words = arguments(socket, "attach", "--no-stdin", "--sig-proxy=false", "web.1")
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(2) == b"up"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert process.returncode == 130
    assert not swarm.asked(Input)[0].attach.open_stdin


def test_names_of_tasks_are_completed(swarm: FakeSwarm, socket: Path) -> None:
    for slot, state in ((1, objects_pb2.TASK_STATE_RUNNING), (2, objects_pb2.TASK_STATE_FAILED)):
        task = objects_pb2.Task(id=f"t{slot}", service_name="web", slot=slot)
        seen = objects_pb2.Observation(task_id=task.id, state=state)
        swarm.tasks.append(control_pb2.TaskView(task=task, observation=seen))
    environment = os.environ | {
        "_SWARMCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": f"swarmctl -H unix://{socket} exec we",
        "COMP_CWORD": "4",
    }

    done = subprocess.run(
        [str(Path(sys.executable).parent / "swarmctl")],
        env=environment, capture_output=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.stdout.decode().split(",")[-1].strip() == "web.1"
