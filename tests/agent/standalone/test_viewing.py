import pytest

from agent.standalone.found import Found
from agent.standalone.life import Life
from agent.standalone.record import Record
from agent.standalone.viewing import chunks, joinable, terminal, viewing
from runtime.joining import ExecSpec
from runtime.logs import LogLine
from runtime.wire import Manner
from swarm.errors import Invalid, Refused
from swarm.images.config import ImageConfig
from swarm.specs import ContainerSpec, LogDriver
from swarm.standalone import ContainerState, StandaloneSpec

TASK = Found(id="c", name="web.1", runtime_id="t", own="/own", image="i", pid=7)


def found(
    spec: StandaloneSpec | None = None,
    *,
    pid: int = 7,
    state: ContainerState = ContainerState.RUNNING,
) -> Found:
    record = Record(
        id="c",
        spec=spec or StandaloneSpec(),
        image_id="i",
        image=ImageConfig(),
        created_at=1.0,
        life=Life(state=state, pid=pid),
    )
    is_paused = state is ContainerState.PAUSED
    return Found(
        id="c",
        name="n",
        runtime_id="c",
        own="/own",
        image="i",
        pid=pid,
        is_paused=is_paused,
        record=record,
    )


def asking(*, tty: bool = False, open_stdin: bool = True, once: bool = False) -> StandaloneSpec:
    return StandaloneSpec(container=ContainerSpec(tty=tty, open_stdin=open_stdin), stdin_once=once)


def test_containers_that_somebody_runs_wait_for_their_viewers_and_tasks_do_not() -> None:
    assert viewing(found(), writes=False, logs=False).manner == Manner.WAITED_FOR
    assert viewing(TASK, writes=True, logs=False).manner == Manner.PLAIN


@pytest.mark.parametrize(
    ("spec", "writes", "ends"),
    [
        (asking(once=True), True, True),
        (asking(once=True), False, False),
        (asking(), True, False),
        (asking(once=True, tty=True), True, False),
        (asking(once=True, open_stdin=False), True, False),
    ],
)
def test_input_ends_with_whoever_brings_it_only_where_that_was_asked_for(
    spec: StandaloneSpec, writes: bool, ends: bool
) -> None:
    wanted = viewing(found(spec), writes=writes, logs=False)

    assert (Manner.ENDS_INPUT in wanted.manner) is wanted.may_end is ends
    assert wanted.may_write is (writes and spec.container.open_stdin)


def test_a_log_is_gone_behind_where_it_grows() -> None:
    assert Manner.BEHIND_LOG in viewing(found(), writes=False, logs=True).manner
    resting = found(pid=0, state=ContainerState.EXITED)
    assert Manner.BEHIND_LOG not in viewing(resting, writes=False, logs=True).manner


@pytest.mark.parametrize(
    ("container", "problem"),
    [
        (found(state=ContainerState.PAUSED), "is paused, unpause the container before attach"),
        (found(pid=0, state=ContainerState.RESTARTING), "is restarting, wait until"),
        (Found(id="c", name="web.1", runtime_id="t", own="", image="i"), "is not running"),
    ],
)
def test_who_cannot_be_joined_says_why(container: Found, problem: str) -> None:
    with pytest.raises(Refused, match=problem):
        viewing(container, writes=False, logs=False)


def test_what_is_not_kept_cannot_be_shown() -> None:
    spec = StandaloneSpec(log_driver=LogDriver(name="none"))

    with pytest.raises(Invalid, match="does not support reading"):
        viewing(found(spec), writes=False, logs=True)


def test_programs_need_a_container_that_runs_and_does_not_stand_still() -> None:
    joinable(found())
    with pytest.raises(Refused, match="is not running"):
        joinable(found(pid=0, state=ContainerState.EXITED))
    with pytest.raises(Refused, match="before exec"):
        joinable(found(state=ContainerState.PAUSED))


def test_a_terminal_has_a_type_that_anybody_may_name() -> None:
    named = StandaloneSpec(container=ContainerSpec(env=("TERM=vt100",)))

    assert terminal(found(), ExecSpec(args=("x",), tty=True)).env == ("TERM=xterm",)
    assert terminal(found(), ExecSpec(args=("x",))).env == ()
    assert terminal(found(named), ExecSpec(args=("x",), tty=True)).env == ()
    own = ExecSpec(args=("x",), tty=True, env=("TERM=dumb",))
    assert terminal(found(), own) == own


def test_lines_travel_together_as_long_as_they_are_of_one_stream() -> None:
    lines = [
        LogLine(1.0, stream, text)
        for stream, text in (("stdout", "a\n"), ("stdout", "b"), ("stderr", "c\n"), ("stdout", "d"))
    ]

    assert list(chunks(lines)) == [("stdout", b"a\nb"), ("stderr", b"c\n"), ("stdout", b"d")]
    long = [LogLine(1.0, "stdout", "x" * 40_000)] * 5
    assert [len(data) for _, data in chunks(long)] == [80_000, 80_000, 40_000]
    assert list(chunks([])) == []
