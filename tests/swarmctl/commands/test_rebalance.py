from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2, objects_pb2
from swarmctl.io import rebalancing
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again at once."""
    monkeypatch.setattr(rebalancing, "LOOK_AGAIN_S", 0.01)
    monkeypatch.setattr(rebalancing, "HELD_BACK_S", 0.01)


def wave(*tasks: str, held_back: int = 0) -> control_pb2.RebalanceResponse:
    return control_pb2.RebalanceResponse(
        moves=[
            control_pb2.Move(
                task_id=each, name=each, from_hostname="n1", to_hostname="n2", reason="n2 is empty"
            )
            for each in tasks
        ],
        held_back=held_back,
    )


def state(task_id: str, state: "objects_pb2.TaskState.ValueType") -> control_pb2.TaskView:
    return control_pb2.TaskView(
        task=objects_pb2.Task(id=task_id), observation=objects_pb2.Observation(state=state)
    )


RUNS, ENDED = objects_pb2.TASK_STATE_RUNNING, objects_pb2.TASK_STATE_SHUTDOWN


def test_wave_follows_wave_until_nothing_is_left(swarm: FakeSwarm, socket: Path) -> None:
    """1. Two tasks move, and one is held back: the command waits until both have ended.
    2. The third follows; it is forgotten at once, as one of a service without history.
    3. Nothing is left.
    """
    swarm.waves = [wave("a", "b", held_back=1), wave("c")]
    swarm.tasks_of_calls = [
        [state("a", RUNS), state("b", RUNS)],
        [state("a", ENDED), state("b", RUNS)],
        [state("a", ENDED), state("b", ENDED)],
        [state("a", ENDED), state("b", ENDED)],
        [],
    ]

    ran = run(socket, "rebalance")

    assert ran.out == (
        "a: n1 -> n2 (n2 is empty)\n"
        "b: n1 -> n2 (n2 is empty)\n"
        "c: n1 -> n2 (n2 is empty)\n"
        "3 moves made\n"
    )
    assert len(swarm.asked(control_pb2.RebalanceRequest)) == 3


def test_a_dry_run_asks_for_nothing(swarm: FakeSwarm, socket: Path) -> None:
    swarm.waves = [wave("a", held_back=2)]

    ran = run(socket, "rebalance", "--dry-run", "--max-moves", "5")

    assert ran.out == "a: n1 -> n2 (n2 is empty)\n2 moves would follow in later waves.\n"
    [request] = swarm.asked(control_pb2.RebalanceRequest)
    assert (request.dry_run, request.max_moves) == (True, 5)


def test_detached_only_the_first_wave_is_made(swarm: FakeSwarm, socket: Path) -> None:
    swarm.waves = [wave("a", held_back=2), wave("b")]

    ran = run(socket, "rebalance", "-d")

    assert ran.out == "a: n1 -> n2 (n2 is empty)\n2 moves left: run the command again.\n"
    assert len(swarm.asked(control_pb2.RebalanceRequest)) == 1


def test_waves_together_make_no_more_moves_than_asked_for(swarm: FakeSwarm, socket: Path) -> None:
    swarm.waves = [wave("a", held_back=2), wave("b", held_back=1), wave("c")]

    ran = run(socket, "rebalance", "--max-moves", "2")

    assert ran.out.endswith("2 moves made\n")
    assert [each.max_moves for each in swarm.asked(control_pb2.RebalanceRequest)] == [2, 1]


def test_what_is_held_back_is_waited_for(swarm: FakeSwarm, socket: Path) -> None:
    swarm.waves = [wave(held_back=1), wave(held_back=1), wave("a")]

    ran = run(socket, "rebalance")

    assert ran.out == (
        "waiting: 1 move held back by budgets\na: n1 -> n2 (n2 is empty)\n1 move made\n"
    )


@pytest.mark.parametrize("words", [[], ["-d"], ["--dry-run"]])
def test_nothing_to_move_is_said(swarm: FakeSwarm, socket: Path, words: list[str]) -> None:
    ran = run(socket, "rebalance", *words)

    assert ran.out == "Nothing to move: tasks are spread as evenly as they may be.\n"


def test_a_move_that_takes_too_long_is_named(
    swarm: FakeSwarm, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebalancing, "PATIENCE_S", 0.05)
    swarm.waves = [wave("a")]
    swarm.tasks = [state("a", RUNS)]

    ran = run(socket, "rebalance")

    assert "still on the way: a\n" in ran.out
