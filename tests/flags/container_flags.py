"""Flags of `run`, `create` and the other commands for containers of one host."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2, images_pb2
from swarm.codec import from_message
from swarm.specs import (
    Device,
    Healthcheck,
    LogDriver,
    Mount,
    MountKind,
    Port,
    Protocol,
    PublishMode,
    Ulimit,
)
from swarm.standalone import (
    ContainerNetwork,
    ContainerRestart,
    Restarting,
    StandaloneSpec,
)
from swarmctl.io import streaming
from swarmctl.io.streaming import Finished, Manner
from tests.flags.asking import asks, formatted, has, is_asked, lines, listing, prints
from tests.flags.lab import Lab
from tests.flags.table import OUTPUT, REQUEST, Proof, Row, elsewhere

_Shown = Callable[[StandaloneSpec], object]


def _in(path: str) -> _Shown:
    """What the spec has there."""

    def shown(spec: StandaloneSpec) -> object:
        found: object = spec
        for name in path.split("."):
            found = getattr(found, name)
        return found

    return shown


# Flag, words (the flag's own, then others that it needs), what is shown, what it is then.
_SPEC: tuple[tuple[str, str, _Shown, object], ...] = (
    ("--name", "--name web", _in("name"), "web"),
    ("--entrypoint", "--entrypoint sh", _in("container.command"), ("sh",)),
    ("--hostname", "-h box", _in("container.hostname"), "box"),
    ("--domainname", "--domainname lan", _in("domainname"), "lan"),
    ("--user", "-u 5:6", _in("container.user"), "5:6"),
    ("--workdir", "-w /w", _in("container.workdir"), "/w"),
    ("--pid", "--pid host", _in("pid_mode"), "host"),
    ("--ipc", "--ipc container:db", _in("ipc_mode"), "container:db"),
    ("--uts", "--uts host", _in("uts_mode"), "host"),
    ("--cgroupns", "--cgroupns host", _in("cgroupns_mode"), "host"),
    ("--shm-size", "--shm-size 1m", _in("shm_bytes"), 1 << 20),
    ("--userns", "--userns host", _in("container.host_user_namespace"), True),
    ("--health-cmd", "--health-cmd true", _in("container.health.test"), ("CMD-SHELL", "true")),
    ("--health-interval", "--health-interval 3s", _in("container.health.interval_s"), 3.0),
    ("--health-retries", "--health-retries 9", _in("container.health.retries"), 9),
    (
        "--health-start-interval", "--health-start-interval 2s",
        _in("container.health.start_interval_s"), 2.0,
    ),
    (
        "--health-start-period", "--health-start-period 4s",
        _in("container.health.start_period_s"), 4.0,
    ),
    ("--health-timeout", "--health-timeout 5s", _in("container.health.timeout_s"), 5.0),
    ("--no-healthcheck", "--no-healthcheck", _in("container.health"), Healthcheck(test=("NONE",))),
    (
        "--restart", "--restart on-failure:3", _in("restart"),
        ContainerRestart(condition=Restarting.ON_FAILURE, max_retries=3),
    ),
    ("--stop-signal", "--stop-signal INT", _in("container.stop_signal"), "INT"),
    ("--stop-timeout", "--stop-timeout 3", _in("container.stop_grace_s"), 3.0),
    ("--log-driver", "--log-driver none", _in("log_driver"), LogDriver(name="none")),
    ("--log-opt", "--log-opt max-file=2", _in("log_driver.options"), {"max-file": "2"}),
    ("--blkio-weight", "--blkio-weight 300", _in("shares.blkio_weight"), 300),
    ("--cpu-period", "--cpu-period 50000", _in("shares.cpu_period_us"), 50000),
    ("--cpu-quota", "--cpu-quota 25000", _in("shares.cpu_quota_us"), 25000),
    ("--cpu-shares", "-c 512", _in("shares.cpu_shares"), 512),
    ("--cpus", "--cpus 1.5", _in("limits.cpu_millis"), 1500),
    ("--cpuset-cpus", "--cpuset-cpus 0-1", _in("shares.cpuset_cpus"), "0-1"),
    ("--cpuset-mems", "--cpuset-mems 0", _in("shares.cpuset_mems"), "0"),
    ("--memory", "-m 64m", _in("limits.memory_bytes"), 64 << 20),
    (
        "--memory-reservation", "--memory-reservation 32m",
        _in("shares.memory_reservation_bytes"), 32 << 20,
    ),
    ("--memory-swap", "--memory-swap 96m -m 64m", _in("limits.swap_bytes"), 32 << 20),
    ("--memory-swappiness", "--memory-swappiness 7", _in("limits.swappiness"), 7),
    ("--oom-kill-disable", "--oom-kill-disable", _in("shares.oom_kill_disable"), True),
    ("--oom-score-adj", "--oom-score-adj 5", _in("container.oom_score_adj"), 5),
    ("--pids-limit", "--pids-limit 20", _in("limits.pids"), 20),
    ("--env", "-e A=1", _in("container.env"), ("A=1",)),
    ("--label", "-l a=b", _in("container.labels"), {"a": "b"}),
    ("--annotation", "--annotation a=b", _in("annotations"), {"a": "b"}),
    ("--group-add", "--group-add 9", _in("container.groups"), ("9",)),
    ("--sysctl", "--sysctl net.core.x=1", _in("container.sysctls"), {"net.core.x": "1"}),
    (
        "--ulimit", "--ulimit nofile=1:2", _in("container.ulimits"),
        (Ulimit(name="nofile", soft=1, hard=2),),
    ),
    ("--volume", "-v data:/data:ro", _in("binds"), ("data:/data:ro",)),
    (
        "--mount", "--mount type=volume,source=data,target=/data", _in("container.mounts"),
        (Mount(kind=MountKind.VOLUME, source="data", target="/data"),),
    ),
    (
        "--tmpfs", "--tmpfs /run:size=1m,mode=700", _in("container.mounts"),
        (Mount(kind=MountKind.TMPFS, target="/run", tmpfs_size_bytes=1 << 20, tmpfs_mode=0o700),),
    ),
    ("--volumes-from", "--volumes-from db:ro", _in("volumes_from"), ("db:ro",)),
    ("--network", "--network host", _in("network_mode"), "host"),
    (
        "--network-alias", "--network-alias db --network back", _in("networks"),
        (ContainerNetwork(network="back", aliases=("db",)),),
    ),
    (
        "--ip", "--ip 172.30.0.9 --network back", _in("networks"),
        (ContainerNetwork(network="back", ipv4_address="172.30.0.9"),),
    ),
    (
        "--ip6", "--ip6 fd00::9 --network back", _in("networks"),
        (ContainerNetwork(network="back", ipv6_address="fd00::9"),),
    ),
    ("--mac-address", "--mac-address 02:42:0a:00:00:09", _in("mac_address"), "02:42:0a:00:00:09"),
    (
        "--publish", "-p 127.0.0.1:8080:80/udp", _in("ports"),
        (Port(target=80, published=8080, protocol=Protocol.UDP, mode=PublishMode.HOST,
              ip="127.0.0.1"),),
    ),
    ("--publish-all", "-P", _in("publish_all"), True),
    ("--expose", "--expose 80-81/udp", _in("exposed"), ("80/udp", "81/udp")),
    ("--link", "--link db:data", _in("links"), ("db:data",)),
    ("--add-host", "--add-host db:10.0.0.9", _in("container.hosts"), ("db:10.0.0.9",)),
    ("--dns", "--dns 9.9.9.9", _in("container.dns_servers"), ("9.9.9.9",)),
    ("--dns-option", "--dns-option ndots:2", _in("container.dns_options"), ("ndots:2",)),
    ("--dns-search", "--dns-search lan", _in("container.dns_search"), ("lan",)),
    ("--cap-add", "--cap-add NET_ADMIN", _in("container.cap_add"), ("CAP_NET_ADMIN",)),
    ("--cap-drop", "--cap-drop ALL", _in("container.cap_drop"), ("ALL",)),
    (
        "--device", "--device /dev/fuse:/dev/f:r", _in("container.devices"),
        (Device(source="/dev/fuse", target="/dev/f", access="r"),),
    ),
    (
        "--security-opt", "--security-opt no-new-privileges",
        _in("container.allow_new_privileges"), False,
    ),
    ("--init", "--init", _in("container.init"), True),
    ("--interactive", "-i", _in("container.open_stdin"), True),
    ("--tty", "-t", _in("container.tty"), True),
    ("--read-only", "--read-only", _in("container.read_only"), True),
    ("--rm", "--rm", _in("auto_remove"), True),
    ("--privileged", "--privileged", _in("container.privileged"), True),
)  # fmt: skip


def _made(lab: Lab, command: str, *words: str) -> StandaloneSpec:
    detached = ("-d",) if command == "run" else ()
    ran = lab.run(command, *detached, *words, "busy:1")
    assert ran.status == 0, ran.err
    return from_message(StandaloneSpec, lab.sent_of(pb.CreateContainerRequest).spec)


def _spec_row(
    command: str, flag: str, words: str | tuple[str, ...], shown: _Shown, expected: object
) -> Row:
    """With the flag the spec has it, without its words (but with others') it has not."""
    given = tuple(words.split()) if isinstance(words, str) else words

    def look(lab: Lab, _: str) -> None:
        others = given[2:] if flag in ("--memory-swap", "--network-alias", "--ip", "--ip6") else ()
        seen, unlike = shown(_made(lab, command, *given)), shown(_made(lab, command, *others))
        assert seen == expected, f"with it {seen!r}, expected {expected!r}"
        assert unlike != expected, f"without it {unlike!r} as well"

    return Row(command, flag, Proof(REQUEST, look))


def _rule(command: str) -> Row:
    return _spec_row(
        command, "--device-cgroup-rule", ("--device-cgroup-rule", "c 42:* rmw"),
        _in("device_cgroup_rules"), ("c 42:* rmw",),
    )  # fmt: skip


def _files(command: str, flag: str, shown: _Shown, expected: object) -> Row:
    """What is read from a file comes before what is typed."""

    def look(lab: Lab, _: str) -> None:
        file = lab.file("entries", "A=file\nB=file\n")
        typed = ("-e", "A=flag") if flag == "--env-file" else ("-l", "A=flag")
        assert shown(_made(lab, command, flag, file, *typed)) == expected
        assert shown(_made(lab, command, *typed)) != expected

    return Row(command, flag, Proof(REQUEST, look))


def _cidfile(command: str) -> Row:
    def look(lab: Lab, flag: str) -> None:
        path = lab.directory / f"cid-{command}"
        _made(lab, command, flag, str(path))
        made = path.read_text()
        assert len(made) == 64
        path.unlink()
        _made(lab, command)
        assert not path.exists()

    return Row(command, "--cidfile", Proof(OUTPUT, look))


def _pull(command: str) -> Row:
    """Always, and never for an image that is not here."""

    def look(lab: Lab, flag: str) -> None:
        lab.swarm.pulls = [images_pb2.PullImageResponse(image=images_pb2.Image())]
        _made(lab, command, flag, "always")
        assert lab.swarm.asked(images_pb2.PullImageRequest)
        _made(lab, command)
        assert not lab.swarm.asked(images_pb2.PullImageRequest)

    return Row(command, "--pull", Proof(REQUEST, look))


def _quiet(command: str) -> Row:
    def look(lab: Lab, flag: str) -> None:
        lab.swarm.pulls = [images_pb2.PullImageResponse(image=images_pb2.Image())]
        words = ("-d", "--pull", "always") if command == "run" else ("--pull", "always")
        assert "Unable to find" not in lab.run(command, *words, flag, "busy:1").err
        assert "Unable to find" in lab.run(command, *words, "busy:1").err

    return Row(command, "--quiet", Proof(OUTPUT, look))


def _specs(command: str) -> tuple[Row, ...]:
    both = ("A=flag", "B=file")
    return (
        *(_spec_row(command, *each) for each in _SPEC),
        _rule(command),
        _files(command, "--env-file", _in("container.env"), both),
        _files(command, "--label-file", _in("container.labels"), {"A": "flag", "B": "file"}),
        _cidfile(command),
        _pull(command),
        _quiet(command),
    )


def _manner(lab: Lab, *words: str) -> tuple[control_pb2.StreamInput, Manner]:
    said: list[tuple[control_pb2.StreamInput, Manner]] = []

    def converse(
        path: str,
        method: str,
        begin: control_pb2.StreamInput,
        manner: Manner,
        begun: Callable[[], None],
    ) -> Finished:
        del path, method
        begun()
        said.append((begin, manner))
        return Finished(0)

    with patch.object(streaming, "converse", converse):
        ran = lab.run(*words)
    assert ran.status == 0, ran.err
    [found] = said
    return found


def _keys(command: str, *words: str) -> Row:
    def look(lab: Lab, flag: str) -> None:
        lab.swarm.add_container("web")
        assert _manner(lab, command, flag, "ctrl-x,y", *words)[1].keys == b"\x18y"
        assert _manner(lab, command, *words)[1].keys == b"\x10\x11"

    return Row(command, "--detach-keys", Proof(OUTPUT, look))


def _proxy(lab: Lab, flag: str) -> None:
    assert not _manner(lab, "run", flag.replace("--sig", "--no-sig"), "busy:1")[1].passes_signals
    assert not _manner(lab, "run", f"{flag}=false", "busy:1")[1].passes_signals
    assert _manner(lab, "run", "busy:1")[1].passes_signals


def _detached(lab: Lab, flag: str) -> None:
    ran = lab.run("run", flag, "busy:1")
    assert (ran.status, len(ran.out)) == (0, 65)
    assert lab.swarm.asked(pb.StartContainerRequest)
    assert not lab.swarm.asked(control_pb2.StreamInput)
    assert _manner(lab, "run", "busy:1")


RUN: tuple[Row, ...] = (
    *_specs("run"),
    *_specs("create"),
    _keys("run", "-t", "busy:1"),
    Row("run", "--sig-proxy", Proof(REQUEST, _proxy)),
    Row("run", "--detach", Proof(REQUEST, _detached)),
)


# -- containers that there are ---------------------------------------------------------------


def _containers(lab: Lab) -> None:
    """One that runs, one that has ended, and one that somebody gave a label."""
    lab.swarm.containers.clear()
    lab.swarm.add_container("web", pid=9)
    lab.swarm.add_container("old", state=pb.CONTAINER_STATE_EXITED, exit_code=3)
    lab.swarm.add_container("labelled", labels={"a": "b"}, args=["x" * 40])


def _on(
    command: str, flag: str, words: str, kind: type[Any], shown: Callable[[Any], object],
    expected: object, *, rest: str = "web",
) -> Row:  # fmt: skip
    return asks(command, flag, words, kind, shown, expected, rest=rest, given=_containers)


def _unasked(command: str, kind: type[Any]) -> Row:
    """Without it somebody has to say yes."""

    def look(lab: Lab, flag: str) -> None:
        _containers(lab)
        assert lab.run(*command.split(), flag).status == 0
        assert lab.swarm.asked(kind)
        ran = lab.run(*command.split(), stdin=b"n\n")
        assert "Are you sure" in ran.err
        assert not lab.swarm.asked(kind)

    return Row(command, "--force", Proof(REQUEST, look))


def _attached(lab: Lab, flag: str) -> None:
    _containers(lab)
    begin, _ = _manner(lab, "start", flag, "old")
    assert begin.attach.open_stdin == (flag == "--interactive")
    assert lab.swarm.asked(pb.StartContainerRequest)
    assert lab.run("start", "old").out == "old\n"
    assert not lab.swarm.asked(control_pb2.StreamInput)


def _written(command: str, rest: str) -> Row:
    """What would go to standard output goes to a file."""

    def look(lab: Lab, flag: str) -> None:
        _containers(lab)
        path = lab.directory / "out.tar"
        assert lab.run(*command.split(), flag, str(path), rest).raw == b""
        assert path.read_bytes()
        path.unlink()
        assert lab.run(*command.split(), rest).raw
        assert not path.exists()

    return Row(command, "--output", Proof(OUTPUT, look))


def _ended(flag: str, command: str, kind: type[Any]) -> Row:
    if flag == "--signal":
        return _on(command, flag, "-s INT", kind, lambda r: r.signal, "INT")
    return _on(
        command, flag, "-t 3", kind, lambda r: r.grace_s if r.HasField("grace_s") else None, 3.0
    )


_UPDATES: tuple[tuple[str, str, Callable[[Any], object], object], ...] = (
    ("--blkio-weight", "--blkio-weight 300", lambda r: r.shares.blkio_weight, 300),
    ("--cpu-period", "--cpu-period 50000", lambda r: r.shares.cpu_period_us, 50000),
    ("--cpu-quota", "--cpu-quota 25000", lambda r: r.shares.cpu_quota_us, 25000),
    ("--cpu-shares", "-c 512", lambda r: r.shares.cpu_shares, 512),
    ("--cpus", "--cpus 1.5", lambda r: r.limits.cpu_millis, 1500),
    ("--cpuset-cpus", "--cpuset-cpus 0", lambda r: r.shares.cpuset_cpus, "0"),
    ("--cpuset-mems", "--cpuset-mems 0", lambda r: r.shares.cpuset_mems, "0"),
    ("--memory", "-m 64m", lambda r: r.limits.memory_bytes, 64 << 20),
    (
        "--memory-reservation", "--memory-reservation 32m",
        lambda r: r.shares.memory_reservation_bytes, 32 << 20,
    ),
    ("--memory-swap", "--memory-swap -1", lambda r: r.limits.swap_bytes, -1),
    ("--pids-limit", "--pids-limit 20", lambda r: r.limits.pids, 20),
    ("--restart", "--restart always", lambda r: r.restart.condition, pb.RESTARTING_ALWAYS),
)  # fmt: skip


def _updated(flag: str, words: str, shown: Callable[[Any], object], expected: object) -> Row:
    """Beside another flag, since an update of nothing is refused."""
    beside = "--restart no" if flag != "--restart" else "--cpus 1"
    return _on(
        "container update", flag, words, pb.UpdateContainerRequest, shown, expected,
        rest=f"{beside} web",
    )  # fmt: skip


def _log(flag: str, words: str, shown: Callable[[Any], object], expected: object) -> Row:
    return _on("logs", flag, words, pb.ReadContainerLogsRequest, shown, expected)


def _stamped(lab: Lab) -> None:
    _containers(lab)
    line = control_pb2.LogLine(at=1.7e9, data=b"hello\n")
    lab.swarm.container_logs = [control_pb2.LogBatch(lines=[line])]


def _copy(flag: str, words: str, shown: Callable[[Any], object], expected: object) -> Row:
    def given(lab: Lab) -> None:
        _containers(lab)
        lab.swarm.files = {"/tmp": None}

    return asks(
        "cp", flag, words, pb.WriteArchiveRequest, shown, expected,
        rest="/etc/hostname web:/tmp", given=given,
    )  # fmt: skip


def _followed(lab: Lab, flag: str) -> None:
    """With it what a link leads to is packed, and not the link."""
    _containers(lab)
    lab.swarm.files = {"/tmp": None}
    (lab.directory / "real").write_text("content of it")
    link = lab.directory / "link"
    link.symlink_to("real")
    assert lab.run("cp", flag, str(link), "web:/tmp").status == 0
    assert b"content of it" in lab.swarm.written
    assert lab.run("cp", str(link), "web:/tmp").status == 0
    assert b"content of it" not in lab.swarm.written


def _sampled(lab: Lab) -> None:
    _containers(lab)
    lab.swarm.node_id = ""
    lab.swarm.samples = [
        pb.ContainerStats(id=str(at) * 64, name="web", is_running=True) for at in (1, 2, 3) * 4
    ]


_STATS = "tests/swarmctl/commands/test_container.py"
CONTAINERS: tuple[Row, ...] = (
    *listing("ps", "name=web", 1, given=_containers),
    prints("ps", "--all", "-a", has("old"), True, given=_containers),
    prints("ps", "--last", "-n 1", lambda ran: len(lines(ran)), 2, given=_containers),
    prints("ps", "--latest", "-l", lambda ran: len(lines(ran)), 2, given=_containers),
    prints("ps", "--no-trunc", "--no-trunc", has("x" * 40), True, given=_containers),
    asks(
        "ps", "--size", "-s", pb.ListContainersRequest, lambda r: r.sizes, True, given=_containers
    ),
    Row("start", "--attach", Proof(REQUEST, _attached)),
    Row("start", "--interactive", Proof(REQUEST, _attached)),
    _keys("start", "-a", "web"),
    *(_ended(flag, "stop", pb.StopContainerRequest) for flag in ("--signal", "--timeout")),
    *(_ended(flag, "restart", pb.RestartContainerRequest) for flag in ("--signal", "--timeout")),
    _on("kill", "--signal", "-s HUP", pb.KillContainerRequest, lambda r: r.signal, "HUP"),
    _on("rm", "--force", "-f", pb.RemoveContainerRequest, lambda r: r.force, True),
    _on("rm", "--volumes", "-v", pb.RemoveContainerRequest, lambda r: r.volumes, True),
    *(_updated(*each) for each in _UPDATES),
    _unasked("container prune", pb.PruneContainersRequest),
    _on(
        "container prune", "--filter", "--filter label=none", pb.PruneContainersRequest,
        lambda r: len(r.containers), 0, rest="-f",
    ),
    _log("--follow", "-f", lambda r: r.follow, True),
    _log("--since", "--since 1700000000", lambda r: r.since, 1.7e9),
    _log("--until", "--until 1700000000", lambda r: r.until, 1.7e9),
    _log("--tail", "-n 5", lambda r: r.tail, 5),
    prints("logs", "--timestamps", "-t", has("2023-11-14T22:13:20"), True, rest="web",
           given=_stamped),
    prints("logs", "--details", "--details", has("task.id"), True, rest="web"),
    _copy("--archive", "-a", lambda r: r.copy_uid_gid, True),
    Row("cp", "--follow-link", Proof(REQUEST, _followed)),
    elsewhere("cp", "--quiet", OUTPUT, f"{_STATS}::test_a_quiet_copy_is_as_any_other"),
    _written("export", "web"),
    _on("commit", "--author", "-a me", pb.CommitContainerRequest, lambda r: r.author, "me"),
    _on("commit", "--message", "-m why", pb.CommitContainerRequest, lambda r: r.message, "why"),
    _on(
        "commit", "--change", "-c USER=x", pb.CommitContainerRequest,
        lambda r: list(r.changes), ["USER=x"],
    ),
    _on(
        "commit", "--pause", "--no-pause", pb.CommitContainerRequest, lambda r: r.pause, False,
    ),
    prints(
        "container stats", "--all", "-a", lambda ran: len(lines(ran)), 4,
        rest="--no-stream", given=_sampled,
    ),
    formatted("container stats", "--format x{{.Name}}", "--no-stream web", given=_sampled),
    prints(
        "container stats", "--no-trunc", "--no-trunc", has("2" * 64), True,
        rest="--no-stream web", given=_sampled,
    ),
    elsewhere(
        "container stats", "--no-stream", OUTPUT,
        f"{_STATS}::test_one_sample_of_containers_is_printed_and_that_is_all",
    ),
    formatted("container inspect", "-f x{{.Id}}", "web", given=_containers),
    _on("container inspect", "--size", "-s", pb.InspectContainerRequest, lambda r: r.size, True),
    formatted("inspect", "-f x{{.Id}}", "web", given=_containers),
    _on("inspect", "--size", "-s", pb.InspectContainerRequest, lambda r: r.size, True),
    asks(
        "inspect", "--type", "--type service", pb.InspectContainerRequest, is_asked, False,
        rest="web", given=_containers,
    ),
)  # fmt: skip

ROWS: tuple[Row, ...] = (*RUN, *CONTAINERS)
