from msgspec.structs import replace

from agent.events import Exited
from agent.standalone.booting import Trace, events
from agent.standalone.events import Adopted, Vanished
from agent.standalone.life import Life
from swarm.standalone import ContainerState

RUNNING = Life(state=ContainerState.RUNNING, run=1, pid=5, started_at=10.0)
ENDED = Life(state=ContainerState.EXITED, run=1, started_at=10.0)
EXIT = Exited(exit_code=3, finished_at=12.0)
RUNS = Trace(pid=5, started_at=10.0, is_paused=True)
OVER = replace(RUNS, exited=EXIT, is_paused=False)
ADOPTED = Adopted(pid=5, started_at=10.0)


def test_what_runs_is_adopted() -> None:
    adopted = replace(ADOPTED, is_paused=True, is_checked=True)
    assert events(RUNNING, RUNS, is_checked=True) == (adopted,)


def test_an_end_is_told_once() -> None:
    assert events(RUNNING, OVER, is_checked=False) == (EXIT,)
    assert events(ENDED, OVER, is_checked=False) == (Vanished(),)


def test_a_run_that_began_and_ended_unseen_is_told_whole() -> None:
    later = replace(OVER, started_at=11.0)
    assert events(ENDED, later, is_checked=False) == (replace(ADOPTED, started_at=11.0), EXIT)


def test_what_has_no_trace_has_vanished() -> None:
    assert events(RUNNING, None, is_checked=False) == (Vanished(),)
