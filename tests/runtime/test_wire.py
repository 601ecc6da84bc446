import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import wire
from runtime.outcome import ContainerState, Exited

STATE = ContainerState(container_id="c", pid=7, pid_started_ticks=9, started_at=1.5)
REPORTS = [
    wire.Claimed(),
    wire.Running(STATE),
    wire.Refused("exec", 2, "exec x: no such file or directory", "check"),
    wire.Ended(Exited(container_id="c", exit_code=137, signal=9, oom_killed=True)),
    wire.Answered(3, 22),
]


@pytest.mark.parametrize("report", REPORTS)
def test_reports_survive_the_wire(report: wire.Report) -> None:
    assert wire.decode_report(wire.encode(report)) == report


def test_a_state_that_is_encoded_already_makes_the_same_line() -> None:
    assert wire.running(msgspec.json.encode(STATE)) == wire.encode(wire.Running(STATE))


def test_commands_survive_the_wire() -> None:
    assert wire.decode_command(wire.encode(wire.Kill(1, 15))) == wire.Kill(1, 15)


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
