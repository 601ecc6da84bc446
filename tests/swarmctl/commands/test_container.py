"""`run`, `ps` and what else there is for the containers of one host."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2, images_pb2, specs_pb2
from swarm.errors import KernelRefused, Missing, Refused
from swarmctl.io import sampling
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run


def says_hello(inputs: Iterator[control_pb2.StreamInput]) -> Iterator[control_pb2.StreamOutput]:
    """Ends with 3 once it has said something."""
    yield control_pb2.StreamOutput(started=control_pb2.StreamStarted())
    yield control_pb2.StreamOutput(stdout=b"hello\n")
    yield control_pb2.StreamOutput(ended=control_pb2.StreamEnded(exit_code=3))


def words_of(swarm: FakeSwarm) -> list[str]:
    """What was asked for, without looks."""
    names = [type(each).__name__ for each in swarm.requests]
    return [name for name in names if not name.startswith("Inspect")]


def test_a_program_runs_and_its_output_and_exit_code_are_ours(
    swarm: FakeSwarm, socket: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    swarm.programs = [says_hello]

    ran = run(socket, "run", "--rm", "--name", "web", "busy:1", "echo", "hello")

    assert ran.status == 3
    assert capfd.readouterr().out == "hello\n"
    assert ran.err == "Warning: beware\n"
    (created,) = swarm.asked(pb.CreateContainerRequest)
    assert list(created.spec.container.args) == ["echo", "hello"]


def test_it_is_started_once_we_listen(swarm: FakeSwarm, socket: Path) -> None:
    swarm.programs = [says_hello]

    run(socket, "run", "busy:1")

    assert words_of(swarm) == ["CreateContainerRequest", "StreamInput", "StartContainerRequest"]


def test_a_program_that_is_missing_is_127(swarm: FakeSwarm, socket: Path) -> None:
    swarm.programs = [says_hello]
    swarm.refuse("StartContainer", KernelRefused("exec", 2, message="exec: no such file"))

    ran = run(socket, "run", "busy:1", "/no/such")

    assert ran.status == 127
    assert "no such file" in ran.err


def test_a_container_that_cannot_be_made_is_125(swarm: FakeSwarm, socket: Path) -> None:
    swarm.refuse("CreateContainer", Refused("Conflict", hint="rename it"))

    ran = run(socket, "run", "busy:1")

    assert (ran.status, ran.err) == (125, "Error: Conflict\nHint: rename it\n")


def test_an_image_that_is_not_here_is_fetched(swarm: FakeSwarm, socket: Path) -> None:
    swarm.is_image_here = False
    swarm.pulls = [images_pb2.PullImageResponse(image=images_pb2.Image(digest="sha256:1"))]

    run(socket, "create", "busy:1")

    assert words_of(swarm) == [
        "CreateContainerRequest",
        "PullImageRequest",
        "CreateContainerRequest",
    ]


def test_an_image_that_may_not_be_fetched_is_missed(swarm: FakeSwarm, socket: Path) -> None:
    swarm.is_image_here = False

    ran = run(socket, "create", "--pull", "never", "busy:1")

    assert (ran.status, "No such image: busy:1" in ran.err) == (1, True)
    assert not swarm.asked(images_pb2.PullImageRequest)


def test_containers_are_listed_as_docker_lists_them(swarm: FakeSwarm, socket: Path) -> None:
    port = specs_pb2.Port(target=80, published=8080)
    swarm.add_container("web", ports=[port], labels={"a": "b"})
    swarm.add_container("old", state=pb.CONTAINER_STATE_EXITED, exit_code=3)

    listed = run(socket, "ps", "-a").out.splitlines()

    heading = "CONTAINER ID   IMAGE     COMMAND        CREATED        STATUS"
    assert listed[0].split() == [
        "CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES",
    ], heading  # fmt: skip
    assert listed[1].startswith("222222222222   busy:1")
    assert "Exited (3)" in listed[1]
    assert "0.0.0.0:8080->80/tcp" in listed[2]


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("name=we", ["web"]),
        ("status=exited", ["old"]),
        ("exited=3", ["old"]),
        ("label=a", ["web"]),
        ("label=a=c", []),
        ("ancestor=busy:1", ["old", "web"]),
        ("before=old", ["web"]),
        ("since=web", ["old"]),
        ("volume=data", ["web"]),
        ("network=back", ["web"]),
        ("publish=8080", ["web"]),
        ("expose=81", ["old"]),
        ("health=none", ["old", "web"]),
        ("is-task=true", []),
        ("id=2222", ["old"]),
    ],
)
def test_each_filter_selects(swarm: FakeSwarm, socket: Path, chosen: str, names: list[str]) -> None:
    swarm.add_container(
        "web",
        labels={"a": "b"},
        ports=[specs_pb2.Port(target=80, published=8080)],
        mounts=[pb.ContainerMount(kind=specs_pb2.MOUNT_KIND_VOLUME, volume="data", target="/d")],
        endpoints=[pb.ContainerEndpoint(network_name="back")],
    )
    old = swarm.add_container("old", state=pb.CONTAINER_STATE_EXITED, exit_code=3)
    old.spec.exposed.append("81/tcp")

    ran = run(socket, "ps", "-a", "-f", chosen, "--format", "{{.Names}}")

    assert (ran.status, ran.out.split()) == (0, names)


def test_a_state_that_there_is_not_is_refused(swarm: FakeSwarm, socket: Path) -> None:
    swarm.add_container("web")

    ran = run(socket, "ps", "-f", "status=sleeping")

    assert ran.status == 1
    assert "'sleeping' is none of created, running" in ran.err


def test_one_failure_does_not_keep_from_the_others(swarm: FakeSwarm, socket: Path) -> None:
    swarm.add_container("web")

    ran = run(socket, "stop", "nothing", "web")

    assert (ran.status, ran.out) == (1, "web\n")
    assert "No such container: nothing" in ran.err


def test_what_was_waited_for_is_told(swarm: FakeSwarm, socket: Path) -> None:
    swarm.add_container("web")

    assert run(socket, "wait", "web").out == "7\n"


def test_names_and_ports_and_changes_are_shown(swarm: FakeSwarm, socket: Path) -> None:
    swarm.add_container(
        "web",
        ports=[specs_pb2.Port(target=80, published=8080), specs_pb2.Port(target=53, published=5,
               protocol=specs_pb2.PROTOCOL_UDP, ip="::1")],
    )  # fmt: skip
    swarm.changes = [
        pb.PathChange(path="/etc", kind=pb.CHANGE_KIND_MODIFIED),
        pb.PathChange(path="/etc/new", kind=pb.CHANGE_KIND_ADDED),
        pb.PathChange(path="/etc/old", kind=pb.CHANGE_KIND_DELETED),
    ]

    assert run(socket, "port", "web").out == "80/tcp -> 0.0.0.0:8080\n53/udp -> [::1]:5\n"
    assert run(socket, "port", "web", "53/udp").out == "[::1]:5\n"
    assert "no port of this host leads to 81/tcp" in run(socket, "port", "web", "81").err
    assert run(socket, "diff", "web").out == "C /etc\nA /etc/new\nD /etc/old\n"
    assert run(socket, "rename", "web", "site").status == 0
    assert swarm.asked(pb.RenameContainerRequest)[0].name == "site"


def test_programs_run_in_a_container_of_this_host_first(swarm: FakeSwarm, socket: Path) -> None:
    swarm.add_container("web")
    swarm.programs = [says_hello, says_hello]

    run(socket, "exec", "web", "ls")
    run(socket, "exec", "web.1", "ls")

    asked = [method for method in swarm.methods if "Exec" in method]
    assert asked == ["ExecInContainer", "Exec"]


def test_without_a_swarm_there_is_no_task_to_look_for(swarm: FakeSwarm, socket: Path) -> None:
    swarm.node_id = ""

    ran = run(socket, "exec", "web.1", "ls")

    assert (ran.status, "no such container: web.1" in ran.err) == (1, True)


def test_the_processes_of_a_container_are_those_of_its_ps(swarm: FakeSwarm, socket: Path) -> None:
    swarm.add_container("web")

    ran = run(socket, "top", "web", "-o", "pid,cmd")

    assert ran.out.split() == ["PID", "CMD", "1", "sleep", "1000"]
    assert list(swarm.asked(pb.ListContainerProcessesRequest)[0].arguments) == ["-o", "pid,cmd"]


def test_one_sample_of_containers_is_printed_and_that_is_all(
    swarm: FakeSwarm, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "PERIOD_S", 0.01)
    swarm.add_container("web")
    swarm.samples = [
        pb.ContainerStats(
            id="1" * 64, name="web", at=at, is_running=True, memory_bytes=1 << 20,
            memory_limit_bytes=4 << 20, pids=2, cpu=pb.CpuSample(usage_ns=int(at * 5e8)),
        )
        for at in (1.0, 2.0)
    ]  # fmt: skip

    ran = run(socket, "container", "stats", "--no-stream", "web")

    assert ran.out.splitlines()[1].split() == [
        "111111111111", "web", "50.00%", "1MiB", "/", "4MiB", "25.00%", "0B", "/", "0B",
        "0B", "/", "0B", "2",
    ]  # fmt: skip


def packed(swarm: FakeSwarm) -> dict[str, bytes | None]:
    """What a copy has sent."""
    with tarfile.open(fileobj=io.BytesIO(swarm.written)) as tar:
        return {
            entry.name: tar.extractfile(entry).read() if entry.isreg() else None  # type: ignore[union-attr]
            for entry in tar
        }


@pytest.mark.parametrize(
    ("source", "target", "directory", "sent"),
    [
        ("file", "/dir", "/dir", {"file": b"text"}),
        ("file", "/dir/", "/dir/", {"file": b"text"}),
        ("file", "/dir/new", "/dir", {"new": b"text"}),
        ("file", "/old", "/", {"old": b"text"}),
        ("tree", "/dir", "/dir", {"tree": None, "tree/leaf": b"green"}),
        ("tree", "/dir/new", "/dir", {"new": None, "new/leaf": b"green"}),
        ("tree/.", "/dir", "/dir", {"leaf": b"green"}),
    ],
)
def test_a_copy_lands_where_dockers_would(
    swarm: FakeSwarm, socket: Path, tmp_path: Path, source: str, target: str, directory: str,
    sent: dict[str, bytes | None],
) -> None:  # fmt: skip
    swarm.add_container("web")
    swarm.files = {"/": None, "/dir": None, "/old": b"old"}
    (tmp_path / "file").write_text("text")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "leaf").write_text("green")

    ran = run(socket, "cp", f"{tmp_path}/{source}", f"web:{target}")

    assert ran.status == 0, ran.err
    assert swarm.asked(pb.WriteArchiveRequest)[0].path == directory
    assert packed(swarm) == sent


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("tree", "web:/old", "cannot copy a directory over the file /old"),
        ("file", "web:/none/", "no such directory: /none/"),
        ("none", "web:/dir", "no such file or directory"),
        ("file/", "web:/dir", "is not a directory"),
        ("file", "/elsewhere", "one of the two paths has to be of a container"),
        ("file", "nobody:/dir", "No such container: nobody"),
    ],
)
def test_a_copy_that_cannot_be_says_why(
    swarm: FakeSwarm, socket: Path, tmp_path: Path, source: str, target: str, reason: str
) -> None:
    swarm.add_container("web")
    swarm.files = {"/": None, "/dir": None, "/old": b"old"}
    (tmp_path / "file").write_text("text")
    (tmp_path / "tree").mkdir()

    ran = run(socket, "cp", f"{tmp_path}/{source}", target)

    assert ran.status == 1
    assert reason in ran.err
    assert not swarm.asked(pb.WriteArchiveRequest)


def test_files_of_a_container_are_copied_out(
    swarm: FakeSwarm, socket: Path, tmp_path: Path
) -> None:
    swarm.add_container("web")
    swarm.files = {"/www": None, "/www/index": b"x" * 5000, "/www/sub": None, "/www/sub/leaf": b"y"}

    run(socket, "cp", "web:/www", str(tmp_path / "new"))
    run(socket, "cp", "web:/www/index", str(tmp_path))
    streamed = run(socket, "cp", "web:/www/index", "-")

    assert (tmp_path / "new" / "index").read_bytes() == b"x" * 5000
    assert (tmp_path / "new" / "sub" / "leaf").read_bytes() == b"y"
    assert (tmp_path / "index").read_bytes() == b"x" * 5000
    with tarfile.open(fileobj=io.BytesIO(streamed.raw)) as tar:
        assert tar.getnames() == ["index"]


def test_a_container_gets_nothing_out_of_its_place(
    swarm: FakeSwarm, socket: Path, tmp_path: Path
) -> None:
    """What it says are its files may be anything."""
    swarm.add_container("web")
    swarm.files = {"/www": None, "/www/../../../escaped": b"out"}

    ran = run(socket, "cp", "web:/www", str(tmp_path / "new"))

    assert ran.status == 1
    assert "lead out of their place" in ran.err
    assert not list(tmp_path.rglob("escaped"))


def test_a_quiet_copy_is_as_any_other(swarm: FakeSwarm, socket: Path, tmp_path: Path) -> None:
    swarm.add_container("web")
    swarm.files = {"/www": b"page"}

    ran = run(socket, "cp", "-q", "web:/www", str(tmp_path / "page"))

    assert (ran.status, ran.out) == (0, "")
    assert (tmp_path / "page").read_bytes() == b"page"


def test_an_export_that_breaks_leaves_no_half_file(
    swarm: FakeSwarm, socket: Path, tmp_path: Path
) -> None:
    swarm.refuse("ExportContainer", Missing("No such container: web"))

    ran = run(socket, "export", "-o", str(tmp_path / "out.tar"), "web")

    assert ran.status == 1
    assert list(tmp_path.glob("out*")) == []


def test_whatever_has_the_name_is_inspected(swarm: FakeSwarm, socket: Path) -> None:
    swarm.add_container("web")
    swarm.images = [images_pb2.Image(id="sha256:" + "a" * 64)]

    assert run(socket, "inspect", "-f", "{{.Name}}", "web").out == "/web\n"
    assert run(socket, "inspect", "-f", "{{.Id}}", "busy:1").out.startswith("sha256:")
    missing = run(socket, "inspect", "--type", "node", "web")
    assert (missing.status, missing.out) == (1, "[]\n")
    assert "no such node: web" in missing.err


def test_memory_and_swap_count_together(swarm: FakeSwarm, socket: Path) -> None:
    for words, swap in (
        (("-m", "64m"), 64 << 20),
        (("-m", "64m", "--memory-swap", "64m"), 0),
        (("-m", "64m", "--memory-swap", "96m"), 32 << 20),
        (("-m", "64m", "--memory-swap", "-1"), -1),
    ):
        run(socket, "create", *words, "busy:1")
        assert swarm.asked(pb.CreateContainerRequest)[-1].spec.limits.swap_bytes == swap

    ran = run(socket, "create", "-m", "64m", "--memory-swap", "32m", "busy:1")
    assert (ran.status, "it counts both" in ran.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--rm", "--restart", "always"), "exclude each other"),
        (("--restart", "always:3"), "only on-failure counts"),
        (("--restart", "never"), "there is no policy 'never'"),
        (("--network", "host", "--network", "back"), "excludes all others"),
        (("--network", "none", "--ip", "10.0.0.9"), "gives no addresses"),
        (("--expose", "x"), "is not PORT[/PROTOCOL]"),
        (("--tmpfs", "/run:uid=3"), "cannot be had"),
        (("-v", "relative"), "must be absolute"),
        (("--userns", "mine"), "is not host"),
    ],
)
def test_what_makes_no_sense_is_refused_and_not_sent(
    swarm: FakeSwarm, socket: Path, words: tuple[str, ...], reason: str
) -> None:
    ran = run(socket, "create", *words, "busy:1")

    assert ran.status == 1
    assert reason in ran.err
    assert swarm.requests == []


def test_relative_sources_are_of_this_directory(
    swarm: FakeSwarm, socket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mount = "type=bind,source=../x,target=/x"

    run(socket, "create", "-v", "./data:/data", "-v", "/anonymous", "--mount", mount, "busy:1")

    (asked,) = swarm.asked(pb.CreateContainerRequest)
    assert list(asked.spec.binds) == [f"{tmp_path}/data:/data"]
    assert list(asked.spec.volumes) == ["/anonymous"]
    assert asked.spec.container.mounts[0].source == f"{tmp_path.parent}/x"
