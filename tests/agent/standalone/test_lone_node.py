"""Containers that somebody runs on a node without a swarm, on the real kernel."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import grpc
import pytest

from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import containers_pb2_grpc, volumes_pb2, volumes_pb2_grpc
from swarm.specs import Healthcheck, Limits, LogDriver, Mount, MountKind
from swarm.standalone import ContainerRestart, Restarting
from tests.agent.lone import LoneNode, create, lone_node, run
from tests.agent.node import CONTROLLERS, TestNode, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.cluster]

POLITE = ("sh", "-c", "trap 'echo bye; exit 4' TERM; echo hello; while :; do sleep 0.05; done")
FOREVER = ("sleep", "1000000")
ON_FAILURE = ContainerRestart(condition=Restarting.ON_FAILURE, max_retries=2)


class Calls:
    """What is asked of one node, and what there is to know about its containers."""

    def __init__(self, node: TestNode, stub: containers_pb2_grpc.ContainersStub) -> None:
        self.node = node
        self.stub = stub

    def create(self, *args: str, **fields: object) -> str:
        return create(self.stub, *args, **fields)

    def run(self, *args: str, **fields: object) -> str:
        return run(self.stub, *args, **fields)

    def start(self, container: str) -> bool:
        return self.stub.StartContainer(
            pb.StartContainerRequest(container=container), timeout=30
        ).changed

    def stop(self, container: str, **fields: object) -> bool:
        request = pb.StopContainerRequest(container=container, **fields)
        return self.stub.StopContainer(request, timeout=60).changed

    def kill(self, container: str, name: str = "") -> None:
        request = pb.KillContainerRequest(container=container, signal=name)
        self.stub.KillContainer(request, timeout=30)

    def pause(self, container: str, paused: bool) -> None:
        request = pb.PauseContainerRequest(container=container, paused=paused)
        self.stub.PauseContainer(request, timeout=30)

    def remove(self, container: str, **fields: bool) -> None:
        request = pb.RemoveContainerRequest(container=container, **fields)
        self.stub.RemoveContainer(request, timeout=30)

    def begin_wait(self, container: str, condition: str = "NOT_RUNNING") -> Iterator[object]:
        answers = self.stub.WaitContainer(
            pb.WaitContainerRequest(container=container, condition=f"WAIT_CONDITION_{condition}"),
            timeout=60,
        )
        assert not next(answers).ended
        return answers

    def wait(self, container: str) -> int:
        return next(self.begin_wait(container)).exit_code

    def view(self, container: str) -> pb.ContainerView:
        request = pb.InspectContainerRequest(container=container, size=True)
        return self.stub.InspectContainer(request, timeout=30).container

    def state(self, container: str) -> str:
        return pb.ContainerState.Name(self.view(container).state).rpartition("_")[2].lower()

    def all(self) -> list[pb.ContainerView]:
        return list(self.stub.ListContainers(pb.ListContainersRequest(), timeout=30).containers)

    def logs(self, container: str, **fields: object) -> str:
        asked = {"stdout": True, "stderr": True, "tail": -1} | fields
        request = pb.ReadContainerLogsRequest(container=container, **asked)
        batches = self.stub.ReadContainerLogs(request, timeout=30)
        return b"".join(line.data for batch in batches for line in batch.lines).decode()

    def actions(self, container: str, since: float) -> list[str]:
        request = pb.WatchNodeEventsRequest(since=since, until=time.time())
        events = self.stub.WatchNodeEvents(request, timeout=30)
        return [each.action for each in events if each.id == container]

    def volumes(self) -> volumes_pb2_grpc.VolumesStub:
        return volumes_pb2_grpc.VolumesStub(
            grpc.insecure_channel(f"unix:{self.node.run_root / 'agent.sock'}")
        )

    def volume_names(self) -> set[str]:
        listed = self.volumes().ListVolumes(volumes_pb2.ListVolumesRequest(), timeout=30)
        return {each.name for each in listed.volumes}


@pytest.fixture(scope="module")
def node() -> Iterator[LoneNode]:
    with lone_node() as found:
        yield found


@pytest.fixture(scope="module")
def calls(node: LoneNode) -> Calls:
    return Calls(node, node.start())


@pytest.fixture(autouse=True)
def _nothing_is_left(calls: Calls) -> Iterator[None]:
    yield
    for view in calls.all():
        calls.remove(view.id, force=True, volumes=True)
    assert [each.name for each in (calls.node.data_root / "agent/standalone").iterdir()] == [
        ".daemon"
    ]


def refused(code: str) -> object:
    return pytest.raises(grpc.RpcError, match=rf"StatusCode\.{code}")


def test_what_a_program_says_and_how_it_ends_is_kept(calls: Calls) -> None:
    container = calls.create("sh", "-c", "echo out; echo err >&2; exit 3", name="first")
    assert calls.state(container) == "created"
    ending = calls.begin_wait(container, "NEXT_EXIT")

    assert calls.start(container)

    assert next(ending).exit_code == 3
    view = calls.view("first")
    assert (view.id, view.exit_code, calls.state("/first")) == (container, 3, "exited")
    assert view.started_at <= view.finished_at
    assert calls.logs("first", stderr=False) == "out\n"
    assert calls.logs(container[:12], stdout=False) == "err\n"
    calls.remove("first")
    with refused("NOT_FOUND"):
        calls.view("first")


def test_names_are_unique_and_are_made_up_where_nobody_gave_one(calls: Calls) -> None:
    calls.create("true", name="mine")
    with refused("FAILED_PRECONDITION") as err:
        calls.create("true", name="/mine")
    assert 'The container name "/mine" is already in use by container' in err.value.details()
    with refused("INVALID_ARGUMENT"):
        calls.create("true", name="-x")
    assert "_" in calls.view(calls.create("true")).name

    calls.stub.RenameContainer(pb.RenameContainerRequest(container="mine", name="yours"))

    assert calls.view("yours").name == "yours"
    calls.create("true", name="mine")


def test_what_cannot_be_made_leaves_nothing(calls: Calls) -> None:
    with refused("NOT_FOUND") as err:
        calls.create("true", image="nobody/has:this", name="aa")
    assert "No such image: nobody/has:this" in err.value.details()
    with refused("INVALID_ARGUMENT"):
        calls.create("true", name="aa", limits=Limits(memory_bytes=1))
    absent = Mount(kind=MountKind.BIND, source="/nowhere/at/all", target="/x")
    with refused("INVALID_ARGUMENT"):
        calls.create("true", name="aa", mounts=(absent,))
    assert calls.all() == []
    calls.create("true", name="aa")


@pytest.mark.parametrize(
    ("program", "code", "words"),
    [
        ("nope", 127, "executable file not found in $PATH"),
        ("/nope", 127, "no such file or directory"),
        ("/etc", 126, "permission denied"),
        ("/etc/passwd", 126, ""),
    ],
)
def test_a_program_that_cannot_run_says_why(
    calls: Calls, program: str, code: int, words: str
) -> None:
    container = calls.create(program)
    with refused("INVALID_ARGUMENT") as err:
        calls.start(container)
    assert words in err.value.details()
    view = calls.view(container)
    assert (calls.state(container), view.exit_code) == ("created", code)
    assert words in view.error

    gone = calls.create(program, auto_remove=True)
    ending = calls.begin_wait(gone, "REMOVED")
    with refused("INVALID_ARGUMENT"):
        calls.start(gone)
    assert next(ending).exit_code == code


def test_a_failing_container_comes_back_as_often_as_it_may(calls: Calls) -> None:
    container = calls.run("sh", "-c", "echo tried; exit 5", restart=ON_FAILURE)
    wait_for("it gives up", lambda: calls.state(container) == "exited")
    view = calls.view(container)
    assert (view.restart_count, view.exit_code) == (2, 5)
    assert calls.logs(container) == "tried\n" * 3


def test_stopping_lets_it_say_goodbye(calls: Calls) -> None:
    began = time.time()
    container = calls.run(*POLITE, restart=ContainerRestart(condition=Restarting.ALWAYS))
    wait_for("it runs", lambda: "hello" in calls.logs(container))

    assert calls.stop(container)

    assert not calls.stop(container)
    assert calls.logs(container) == "hello\nbye\n"
    assert (calls.state(container), calls.view(container).exit_code) == ("exited", 4)
    assert calls.actions(container, began) == ["create", "start", "kill", "die", "stop"]


def test_under_an_init_it_is_asked_too(calls: Calls) -> None:
    container = calls.run(*POLITE, init=True)
    wait_for("it runs", lambda: "hello" in calls.logs(container))

    calls.stop(container)

    assert calls.logs(container) == "hello\nbye\n"
    assert calls.view(container).exit_code == 4


def test_one_that_hears_nothing_is_killed(calls: Calls) -> None:
    stubborn = calls.run("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
    calls.stop(stubborn, grace_s=0.2)
    assert calls.view(stubborn).exit_code == 137


def test_restarting_gives_another_process_in_the_same_files(calls: Calls) -> None:
    container = calls.run("sh", "-c", "echo x >> /file; wc -l < /file; sleep 1000000")
    wait_for("it counts", lambda: calls.logs(container) == "1\n")
    before = calls.view(container)

    calls.stub.RestartContainer(pb.RestartContainerRequest(container=container, grace_s=0))

    wait_for("it counts on", lambda: calls.logs(container) == "1\n2\n")
    after = calls.view(container)
    assert (after.id, after.restart_count) == (before.id, 0)
    assert after.pid != before.pid
    assert after.written_bytes == 4


def test_signals_pauses_and_processes(calls: Calls) -> None:
    container = calls.run("sh", "-c", "trap 'echo usr' USR1; while :; do sleep 0.05; done")
    wait_for("it catches", lambda: (calls.kill(container, "SIGUSR1"), calls.logs(container))[1])

    calls.pause(container, True)
    assert calls.state(container) == "paused"
    with refused("FAILED_PRECONDITION"):
        calls.pause(container, True)
    with refused("FAILED_PRECONDITION"):
        calls.start(container)
    calls.pause(container, False)

    top = calls.stub.ListContainerProcesses(pb.ListContainerProcessesRequest(container=container))
    assert list(top.titles)[:3] == ["UID", "PID", "PPID"]
    assert any(row.fields[1] == str(calls.view(container).pid) for row in top.rows)
    with refused("INVALID_ARGUMENT"):
        calls.stub.ListContainerProcesses(
            pb.ListContainerProcessesRequest(container=container, arguments=["-o", "comm"])
        )

    calls.kill(container)
    assert calls.view(container).exit_code == 137
    with refused("FAILED_PRECONDITION"):
        calls.kill(container)


def test_a_paused_container_can_be_stopped_and_removed(calls: Calls) -> None:
    container = calls.run(*POLITE)
    calls.pause(container, True)
    calls.stop(container)
    assert calls.state(container) == "exited"
    calls.start(container)
    calls.pause(container, True)
    with refused("FAILED_PRECONDITION"):
        calls.remove(container)
    calls.remove(container, force=True)


def test_what_it_uses_is_told_with_the_sample_before(calls: Calls) -> None:
    container = calls.run("sh", "-c", "while :; do :; done")
    request = pb.WatchContainerStatsRequest(container=container, once=True)
    (sample,) = calls.stub.WatchContainerStats(request, timeout=30)
    assert 0 < sample.before_at < sample.at
    assert sample.cpu.usage_ns > sample.cpu_before.usage_ns > 0
    assert sample.cpu.host_ns > sample.cpu_before.host_ns
    assert sample.pids == 1
    assert sample.memory_bytes > 0

    request.one_shot = True
    (sample,) = calls.stub.WatchContainerStats(request, timeout=30)
    assert not sample.before_at


def test_logs_can_be_followed_to_the_end_and_cut(calls: Calls) -> None:
    container = calls.create("sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.05; done")
    followed: list[str] = []
    calls.start(container)
    reader = threading.Thread(target=lambda: followed.append(calls.logs(container, follow=True)))
    reader.start()
    reader.join(30)
    assert followed == ["1\n2\n3\n"]
    assert calls.logs(container, tail=1) == "3\n"
    assert calls.logs(container, since=time.time()) == ""
    assert calls.logs(container, until=1.0) == ""
    silent = calls.run("echo", "x", log_driver=LogDriver(name="none"))
    with refused("INVALID_ARGUMENT"):
        calls.logs(silent)


def test_volumes_of_its_own_go_with_it_and_others_stay(calls: Calls) -> None:
    first = calls.run(
        "sh", "-c", "echo kept > /named/file; echo lost > /own/file",
        binds=("shared:/named",), volumes=("/own",), name="lender",
    )  # fmt: skip
    calls.wait(first)
    (own,) = calls.volume_names() - {"shared"}
    assert len(own) == 64
    with refused("FAILED_PRECONDITION"):
        calls.volumes().RemoveVolume(volumes_pb2.RemoveVolumeRequest(name="shared"))

    second = calls.run("cat", "/named/file", "/own/file", volumes_from=("lender:ro",))
    calls.wait(second)
    assert calls.logs(second) == "kept\nlost\n"
    calls.remove(first, volumes=True)
    assert own in calls.volume_names()  # the other one still has it
    calls.remove(second, volumes=True)
    assert {"shared", own} <= calls.volume_names()

    third = calls.run("true", volumes=("/own",), auto_remove=True)
    wait_for("it is gone", lambda: third not in {each.id for each in calls.all()})
    assert calls.volume_names() == {"shared", own}
    for name in ("shared", own):
        calls.volumes().RemoveVolume(volumes_pb2.RemoveVolumeRequest(name=name))


def test_what_binds_and_memory_are_asked_for_is_there(calls: Calls) -> None:
    source = calls.node.base / "made" / "for" / "it"
    container = calls.run(
        "sh", "-c", "echo x > /b/file; touch /ro/file; mount | grep -c 'on /mem .*size=1024k'",
        binds=(f"{source}:/b", f"{source}:/ro:ro"), tmpfs={"/mem": "size=1m,exec"},
    )  # fmt: skip
    calls.wait(container)
    assert (source / "file").read_text() == "x\n"
    assert "Read-only file system" in calls.logs(container)
    assert calls.logs(container, stderr=False) == "1\n"
    with refused("INVALID_ARGUMENT"):
        calls.create("true", binds=("/a:/x", "/b:/x"))
    with refused("INVALID_ARGUMENT"):
        calls.create("true", binds=("./a:/x",))


def test_health_is_seen_and_announced(calls: Calls) -> None:
    began = time.time()
    health = Healthcheck(test=("CMD-SHELL", "test -e /well"), interval_s=0.05, retries=1)
    container = calls.run("sh", "-c", "touch /well; sleep 1000000", health=health)
    wait_for("it is well", lambda: calls.view(container).health == 2)
    request = pb.InspectContainerRequest(container=container)
    found = calls.stub.InspectContainer(request)
    assert found.health_log[-1].exit_code == 0
    assert "health_status: healthy" in calls.actions(container, began)


def test_what_does_not_run_is_pruned_with_what_it_took(calls: Calls) -> None:
    ended = calls.run("sh", "-c", "echo 12345 > /file")
    calls.wait(ended)
    running = calls.run(*FOREVER)
    request = pb.PruneContainersRequest(containers=[ended, running, "nobody"])
    pruned = calls.stub.PruneContainers(request)
    assert (list(pruned.removed), pruned.reclaimed_bytes) == ([ended], 6)
    assert [each.id for each in calls.all()] == [running]


def test_policies_are_changed_while_it_runs(calls: Calls) -> None:
    container = calls.run("sh", "-c", "sleep 1000000", name="changing")
    request = pb.UpdateContainerRequest(container=container)
    request.restart.condition = pb.RESTARTING_ALWAYS
    calls.stub.UpdateContainer(request)
    first = calls.view(container).pid
    calls.kill(container, "SIGHUP")  # deaf to it, so it stays
    os.kill(first, signal.SIGKILL)
    wait_for("it is back", lambda: calls.view(container).pid not in (0, first))
    assert calls.view(container).restart_count == 1


def test_whoever_waits_for_its_removal_is_told_how_it_ended(calls: Calls) -> None:
    container = calls.create("sh", "-c", "exit 6", auto_remove=True)
    ending = calls.begin_wait(container, "REMOVED")
    calls.start(container)
    assert next(ending).exit_code == 6
    with refused("NOT_FOUND"):
        calls.view(container)


def test_limits_are_changed_at_once_or_not_at_all(calls: Calls) -> None:
    container = calls.run(*FOREVER, limits=Limits(memory_bytes=64 << 20))
    group = f"{calls.node.cgroup_parent}/{container}"
    limit = CONTROLLERS / "memory" / group / "memory.limit_in_bytes"
    if not limit.exists():
        pytest.skip("needs cgroup v1")
    request = pb.UpdateContainerRequest(container=container)
    request.limits.memory_bytes, request.limits.swappiness = 32 << 20, -1

    calls.stub.UpdateContainer(request)

    assert int(limit.read_text()) == 32 << 20
    assert calls.view(container).spec.limits.memory_bytes == 32 << 20
    request.limits.memory_bytes = 5
    with refused("INVALID_ARGUMENT"):
        calls.stub.UpdateContainer(request)
    assert calls.view(container).spec.limits.memory_bytes == 32 << 20


def test_namespaces_are_shared_with_those_that_run(calls: Calls) -> None:
    lender = calls.run(*FOREVER, name="lender", ipc_mode="shareable", shm_bytes=1 << 20)
    sharing = calls.run(
        "sh", "-c", "ps | grep -c 1000000; df -k /dev/shm | tail -1",
        pid_mode="container:lender", ipc_mode=f"container:{lender[:12]}",
    )  # fmt: skip
    calls.wait(sharing)
    count, size = calls.logs(sharing).splitlines()
    assert int(count) >= 1
    assert "1024" in size.split()

    calls.stop(lender)
    alone = calls.create("true", pid_mode="container:lender")
    with refused("FAILED_PRECONDITION") as err:
        calls.start(alone)
    assert "cannot join PID of a non running container" in err.value.details()

    on_host = calls.run("sh", "-c", "hostname; ps | wc -l", uts_mode="host", pid_mode="host")
    calls.wait(on_host)
    name, processes = calls.logs(on_host).splitlines()
    assert name == socket.gethostname()
    assert int(processes) > 5


def test_volumes_are_told_of_like_containers(calls: Calls) -> None:
    began = time.time()
    container = calls.run("true", binds=("told:/a:ro",))
    calls.wait(container)
    calls.remove(container)
    calls.volumes().RemoveVolume(volumes_pb2.RemoveVolumeRequest(name="told"))
    request = pb.WatchNodeEventsRequest(since=began, until=time.time())
    events = list(calls.stub.WatchNodeEvents(request))
    told = [each for each in events if each.kind == "volume"]
    assert [each.action for each in told] == ["create", "mount", "unmount", "destroy"]
    assert told[1].attributes["container"] == container
    assert told[1].attributes["read/write"] == "false"
    calls.stub.PruneContainers(pb.PruneContainersRequest())
    request = pb.WatchNodeEventsRequest(since=began, until=time.time())
    assert list(calls.stub.WatchNodeEvents(request))[-1].attributes["reclaimed"] == "0"
