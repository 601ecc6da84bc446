import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import wire
from runtime.joining import ExecSpec
from runtime.outcome import ContainerState, Exited, HealthChanged, HealthStatus

STATE = ContainerState(container_id="c", pid=7, pid_started_ticks=9, started_at=1.5)
REPORTS = [
    wire.Claimed(),
    wire.Offered(),
    wire.Running(STATE),
    wire.Refused("exec", 2, "exec x: no such file or directory", "check"),
    wire.Ended(Exited(container_id="c", exit_code=137, signal=9, oom_killed=True)),
    wire.Answered(3, 22),
    wire.Examined(HealthChanged(container_id="c", status=HealthStatus.UNHEALTHY, failing_streak=3)),
    wire.Entered(77),
    wire.Left(143),
    wire.Attached(tty=True, input=False, log_inode=1 << 40, log_bytes=5, log_at=1.5),
    wire.Dropped(),
    wire.InputEnded(),
]


@pytest.mark.parametrize("report", REPORTS)
def test_reports_survive_the_wire(report: wire.Report) -> None:
    assert wire.decode_report(wire.encode(report)) == report


def test_a_state_that_is_encoded_already_makes_the_same_line() -> None:
    assert wire.running(msgspec.json.encode(STATE)) == wire.encode(wire.Running(STATE))


@pytest.mark.parametrize("command", [wire.Kill(1, 15), wire.EndInput(2)])
def test_commands_survive_the_wire(command: wire.Command) -> None:
    assert wire.decode_command(wire.encode(command)) == command


def test_what_is_to_run_survives_the_wire() -> None:
    spec = ExecSpec(args=("sh", "-c", "x\n"), env=("A=\n",), tty=True, rows=1, columns=2)

    assert wire.decode_exec(wire.encode(spec)) == spec
    assert wire.encode(spec).count(b"\n") == 1


def test_a_purpose_is_one_byte_and_no_message() -> None:
    manners = [wire.Manner(number) for number in range(8)]
    purposes = {wire.WATCH, wire.EXEC, *map(wire.attaching, manners)}

    assert len(purposes) == 10
    assert all(len(each) == 1 and each != b"{" for each in purposes)


def test_a_purpose_says_in_which_manner_one_attaches() -> None:
    for number in range(8):
        assert wire.manner_of(wire.attaching(wire.Manner(number))) == number
    for other in (wire.WATCH, wire.EXEC, b"", b"`", b"i", b"\xff"):
        assert wire.manner_of(other) == -1
    assert wire.attaching(wire.Manner(0)) == wire.ATTACH


@given(st.lists(st.sampled_from(REPORTS)), st.integers(1, 50))
def test_law_it_does_not_matter_where_the_stream_is_cut(
    reports: list[wire.Report], size: int
) -> None:
    stream = b"".join(map(wire.encode, reports))
    lines: list[bytes] = []
    rest = b""
    for start in range(0, len(stream), size):
        found, rest = wire.split(rest + stream[start : start + size])
        lines += found

    assert [wire.decode_report(line) for line in lines] == reports
    assert rest == b""
