"""Agents that are killed, hosts that are restarted: containers are as they were, or whole."""

import contextlib
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from swarm.api.v1 import containers_pb2 as pb
from swarm.standalone import ContainerRestart, Restarting
from tests.agent.lone import LoneNode, lone_node
from tests.agent.node import CONTROLLERS, wait_for
from tests.agent.standalone.test_lone_node import FOREVER, POLITE, Calls

pytestmark = [pytest.mark.kernel, pytest.mark.cluster]

ALWAYS = ContainerRestart(condition=Restarting.ALWAYS)
UNLESS = ContainerRestart(condition=Restarting.UNLESS_STOPPED)


@pytest.fixture
def calls() -> Iterator[Calls]:
    with lone_node() as node:
        try:
            yield Calls(node, node.start())
        except BaseException:
            print(node.log.read_text())
            raise


def kill_agent(calls: Calls) -> None:
    calls.node.stop_agent(signal.SIGKILL)


def start_agent(calls: Calls) -> None:
    (calls.node.run_root / "agent.sock").unlink(missing_ok=True)
    calls.node.start_agent()
    calls.stub = calls.node.containers()


def forget_daemon(calls: Calls) -> None:
    """The next agent is the first one of its swarmd."""
    (calls.node.data_root / "agent/standalone/.daemon").write_text("another")


def reboot(calls: Calls) -> None:
    """All processes die at once, and the run root is empty after."""
    node = calls.node
    assert node.launcher is not None
    kill_agent(calls)
    node.launcher.kill()
    node.launcher.wait(30)
    wait_for("all are dead", lambda: not killed(node))
    for directory in sorted(CONTROLLERS.glob(f"*/{node.cgroup_parent}/*")):
        with contextlib.suppress(OSError):
            directory.rmdir()
    wait_for("no shim is left", lambda: not shims(node))
    shutil.rmtree(node.run_root)
    node.run_root.mkdir(mode=0o700)
    forget_daemon(calls)
    node.start_launcher()
    start_agent(calls)


def killed(node: LoneNode) -> list[int]:
    """The first processes of containers, killed just now: each takes all others along."""
    found = list(node.pids().values())
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def shims(node: LoneNode) -> list[int]:
    found = list[int]()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str(node.base).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def test_what_runs_goes_on_while_agents_come_and_go(calls: Calls) -> None:
    container = calls.run(*POLITE, name="going", restart=ALWAYS)
    wait_for("the trap is set", lambda: "hello" in calls.logs(container))
    before = calls.view(container)

    kill_agent(calls)
    start_agent(calls)

    after = calls.view("going")
    assert (after.pid, after.started_at) == (before.pid, before.started_at)
    assert after.restart_count == 0
    calls.stop(container)
    assert calls.logs(container).endswith("bye\n")


def test_what_ended_meanwhile_is_known_and_comes_back_if_it_is_to(calls: Calls) -> None:
    ended = calls.run("sh", "-c", "sleep 1000000; exit 9")
    back = calls.run(*FOREVER, restart=UNLESS)
    gone = calls.run(*FOREVER, auto_remove=True)
    pids = {each.id: each.pid for each in calls.all()}
    kill_agent(calls)
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    wait_for("they are dead", lambda: not calls.node.pids())

    start_agent(calls)

    assert calls.view(ended).exit_code == 137
    wait_for("it is back", lambda: calls.view(back).pid not in (0, pids[back]))
    assert calls.view(back).restart_count == 1
    wait_for("it is gone", lambda: gone not in {each.id for each in calls.all()})


def test_a_paused_container_is_paused_after(calls: Calls) -> None:
    container = calls.run(*FOREVER)
    calls.pause(container, True)
    kill_agent(calls)
    start_agent(calls)
    assert calls.state(container) == "paused"
    calls.pause(container, False)
    assert calls.state(container) == "running"


def test_after_a_reboot_policies_say_what_runs(calls: Calls) -> None:
    always = calls.run(*FOREVER, name="always", restart=ALWAYS)
    halted = calls.run(*FOREVER, name="halted", restart=ALWAYS)
    stopped = calls.run(*FOREVER, name="stopped", restart=UNLESS)
    plain = calls.run("sh", "-c", "echo kept > /file; sleep 1000000", name="plain")
    never = calls.create(*FOREVER, name="never", restart=ALWAYS)
    wait_for("it wrote", lambda: calls.view(plain).written_bytes)
    for each in (halted, stopped):
        calls.stop(each)

    reboot(calls)

    wait_for("all that is to run does", lambda: calls.view(always).pid and calls.view(halted).pid)
    assert calls.state(stopped) == "exited"
    assert calls.state(never) == "created"
    view = calls.view(plain)
    assert (calls.state(plain), view.exit_code, view.written_bytes) == ("exited", 255, 5)
    calls.start(plain)


def test_an_agent_alone_that_comes_back_starts_nothing_that_was_stopped(calls: Calls) -> None:
    halted = calls.run(*FOREVER, restart=ALWAYS)
    calls.stop(halted)
    kill_agent(calls)
    start_agent(calls)
    assert calls.state(halted) == "exited"
    kill_agent(calls)
    forget_daemon(calls)
    start_agent(calls)
    wait_for("swarmd was started anew", lambda: calls.state(halted) == "running")


def test_torn_and_half_made_files_hurt_nobody_else(calls: Calls) -> None:
    kept = calls.create("true", name="kept")
    torn = calls.run("true", name="torn")
    calls.wait(torn)
    lost = calls.create("true", name="lost")
    root = calls.node.data_root / "agent/standalone"
    kill_agent(calls)
    (root / torn / "life.json").write_bytes(b'{"state":')
    (root / lost / "container.json").write_bytes(b"")
    (root / ".half.new").mkdir()
    start_agent(calls)
    assert {each.name for each in calls.all()} == {"kept", "torn"}
    assert calls.state(torn) == "exited"
    assert not (root / ".half.new").exists()
    assert (root / lost).exists()
    calls.start(kept)


def test_an_agent_killed_at_any_moment_leaves_whole_containers(calls: Calls) -> None:
    """Nothing is there twice, half or for ever: each can be started, and removed."""
    chance = random.Random(7)
    for _ in range(5):
        stop, workers = threading.Event(), list[threading.Thread]()
        for number in range(3):
            worker = threading.Thread(target=disturb, args=(calls, number, stop))
            worker.start()
            workers.append(worker)
        time.sleep(chance.uniform(0.02, 0.25))
        kill_agent(calls)
        stop.set()
        for worker in workers:
            worker.join(60)
        start_agent(calls)
        settle(calls)
    for view in calls.all():
        calls.start(view.id)
        calls.remove(view.id, force=True, volumes=True)
    wait_for("nothing runs", lambda: not calls.node.pids())
    assert calls.all() == []
    assert calls.volume_names() == set()
    run = calls.node.run_root / "containers"
    wait_for("the runtime has nothing", lambda: not list(run.iterdir()))


def disturb(calls: Calls, number: int, stop: threading.Event) -> None:
    """Make, start, stop and remove containers until the agent is gone."""
    with contextlib.suppress(grpc.RpcError):
        while not stop.is_set():
            container = calls.create(*POLITE, name=f"w{number}", volumes=("/own",), restart=UNLESS)
            calls.start(container)
            calls.stop(container, grace_s=0)
            calls.start(container)
            calls.remove(container, force=True, volumes=True)


def settle(calls: Calls) -> None:
    """What an agent finds it brings to an end: then names are free, or somebody's."""
    busy = (pb.CONTAINER_STATE_REMOVING, pb.CONTAINER_STATE_RESTARTING)
    wait_for("nothing is under way", lambda: not any(x.state in busy for x in calls.all()))
    for view in calls.all():
        assert view.state != pb.CONTAINER_STATE_DEAD
        calls.remove(view.id, force=True, volumes=True)
