"""What a task, its image and this node make together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assignments import Wanted
from agent.containers import PATH, Container, Node, container, environment
from agent.templates import Host
from agent.volumes import Source, Volume
from runtime.spec import Log, MountKind, Propagation
from swarm import specs
from swarm.errors import Invalid
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.images.config import ImageConfig
from swarm.objects import Attachment, Task
from swarm.specs import (
    ContainerSpec,
    Device,
    Healthcheck,
    Limits,
    LogDriver,
    Mount,
    TaskSpec,
    Ulimit,
)
from tests.networks import attached

NODE = Node(
    host=Host(node_id=NodeId("n1"), hostname="alpha", arch="x86_64"),
    containers="/d/containers",
    volumes="/d/volumes",
    cgroup_parent="swarmd",
    hosts="10.0.0.1 gateway",
    resolv="nameserver 10.0.0.2\n",
)
IMAGE = ImageConfig(entrypoint=("/entry",), cmd=("serve",), env=("A=1", "B=2"))


def made(
    image: ImageConfig = IMAGE,
    *,
    networks: tuple[specs.NetworkAttachment, ...] = (),
    limits: Limits | None = None,
    slot: int = 3,
    log_driver: LogDriver | None = None,
    service_labels: dict[str, str] | None = None,
    attachments: tuple[Attachment, ...] = (),
    **asked: object,
) -> Container:
    task = Task(
        id=TaskId("0123456789abcdefghijklmno"),
        service_id=ServiceId("s1"),
        service_name="web",
        slot=slot,
        node_id=NodeId("n1"),
    )
    spec = TaskSpec(
        container=ContainerSpec(image="web:1", **asked),  # type: ignore[arg-type]
        networks=networks,
        limits=limits or Limits(),
        log_driver=log_driver or LogDriver(),
    )
    wanted = Wanted(task=task, spec=spec, revision=1, labels=service_labels or {})
    return container(wanted, image, ("/l2", "/l1"), NODE, attachments)


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ((), (), ("/entry", "serve")),
        ((), ("other",), ("/entry", "other")),
        (("/own",), (), ("/own",)),
        (("/own", "-x"), ("y",), ("/own", "-x", "y")),
    ],
)
def test_command_replaces_the_entrypoint_and_args_the_command(
    command: tuple[str, ...], args: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert made(command=command, args=args).spec.args == expected


def test_labels_are_kept_with_the_container_beside_whose_it_is() -> None:
    found = made(labels={"team": "red", "swarm.task.id": "forged"}).spec.annotations

    assert found == {
        "team": "red",
        "swarm.service.id": "s1",
        "swarm.service.name": "web",
        "swarm.task.id": "0123456789abcdefghijklmno",
        "swarm.task.name": "web.3.0123456789abcdefghijklmno",
        "swarm.node.id": "n1",
    }


def test_nothing_to_run_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match=r"container\.command"):
        made(ImageConfig())


def test_the_layer_and_the_log_lie_in_the_tasks_own_directory() -> None:
    spec = made().spec

    own = "/d/containers/0123456789abcdefghijklmno"
    assert spec.rootfs.lower_dirs == ("/l2", "/l1")
    assert (spec.rootfs.upper_dir, spec.rootfs.work_dir) == (f"{own}/upper", f"{own}/work")
    assert spec.log.path == f"{own}/output.log"


def test_the_environment_is_merged_name_by_name() -> None:
    env = made(env=("B=3", "C=4", "PATH=/x")).spec.env

    assert env == ("PATH=/x", "HOSTNAME=0123456789ab", "A=1", "B=3", "C=4")


def test_without_a_path_the_usual_one_is_there() -> None:
    assert PATH in made().spec.env


def test_an_isolated_container_is_named_after_its_task() -> None:
    spec = made(hosts=("db:10.1.1.1",)).spec

    files = {each.path: each.content for each in spec.files}
    assert spec.hostname == "0123456789ab"
    assert not spec.host_network
    assert files["/etc/hostname"] == "0123456789ab\n"
    assert "127.0.0.1\tlocalhost\n" in files["/etc/hosts"]
    assert files["/etc/hosts"].endswith("127.0.1.1\t0123456789ab\n10.1.1.1\tdb\n")
    assert "nameserver" not in files["/etc/resolv.conf"]


def test_a_container_with_interfaces_waits_for_them_and_is_known_by_its_addresses() -> None:
    given = (
        Attachment(network_id=NetworkId("n1"), addresses=("10.255.0.5",)),
        Attachment(network_id=NetworkId("n2"), addresses=("10.0.1.5", "fd00::5")),
    )

    spec = made(hostname="web", attachments=given).spec

    files = {each.path: each.content for each in spec.files}
    assert spec.awaits_network
    assert not spec.host_network
    assert files["/etc/hosts"].endswith("10.255.0.5\tweb\n10.0.1.5\tweb\nfd00::5\tweb\n")
    assert not made().spec.awaits_network


def test_the_hosts_network_brings_the_hosts_name_and_resolver() -> None:
    spec = made(networks=attached("host"), hosts=("db:10.1.1.1",)).spec

    files = {each.path: each.content for each in spec.files}
    assert spec.host_network
    assert spec.hostname == "alpha"
    assert files["/etc/hosts"] == "10.0.0.1 gateway\n10.1.1.1\tdb\n"
    assert files["/etc/resolv.conf"] == NODE.resolv


def test_a_mounted_file_of_the_operator_is_not_written_over() -> None:
    mount = Mount(kind=specs.MountKind.BIND, source="/my/hosts", target="/etc/hosts")

    paths = {each.path for each in made(mounts=(mount,)).spec.files}

    assert paths == {"/etc/hostname", "/etc/resolv.conf"}


def test_templates_are_filled_in_wherever_they_may_be() -> None:
    mount = Mount(source="data-{{.Task.Slot}}", target="/data/{{ .Node.Hostname }}")

    spec = made(
        hostname="{{.Service.Name}}-{{.Task.Slot}}",
        env=("WHO={{.Task.Name}}", "WHERE={{.Node.ID}}"),
        mounts=(mount,),
    ).spec

    assert spec.hostname == "web-3"
    assert "WHO=web.3.0123456789abcdefghijklmno" in spec.env
    assert "WHERE=n1" in spec.env
    assert spec.mounts[0].source == "/d/volumes/data-3/_data"
    assert spec.mounts[0].target == "/data/alpha"


def test_a_template_may_name_a_label_of_its_service() -> None:
    env = made(
        service_labels={"zone": "east", "com.example.tier": "gold"},
        env=(
            "ZONE={{.Service.Labels.zone}}",
            'TIER={{ index .Service.Labels "com.example.tier" }}',
        ),
    ).spec.env

    assert env[-2:] == ("ZONE=east", "TIER=gold")


def test_a_label_that_the_service_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(Invalid, match=r"there is no {{\.Service\.Labels\.zoen}}") as caught:
        made(service_labels={"zone": "east"}, env=("ZONE={{.Service.Labels.zoen}}",))

    assert ".Service.Labels.zone" in caught.value.hint


def test_a_task_of_a_global_service_is_named_after_its_node() -> None:
    spec = made(slot=0, env=("WHO={{.Task.Name}}",)).spec

    assert "WHO=web.n1.0123456789abcdefghijklmno" in spec.env


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"hostname": "{{.Task.Sloth}}"}, r"container\.hostname: there is no {{\.Task\.Sloth}}"),
        ({"env": ("A={{.Secret}}",)}, r"container\.env\[0\]"),
        (
            {"mounts": (Mount(source="a {{.Task.Slot}}", target="/x"),)},
            r"container\.mounts\[0\]\.source: 'a 3' is not the name of a volume",
        ),
        (
            {"mounts": (Mount(source="a", target="{{.Service.Name}}"),)},
            r"container\.mounts\[0\]\.target: 'web' must be absolute",
        ),
        ({"stop_signal": "SIGNOPE"}, "SIGNOPE"),
    ],
)
def test_what_cannot_be_met_is_refused_with_its_path(asked: dict[str, object], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        made(**asked)


def test_volumes_binds_and_memory_are_placed() -> None:
    mounts = (
        Mount(source="data", target="/data", labels={"a": "b"}),
        Mount(target="/scratch", nocopy=True),
        Mount(kind=specs.MountKind.BIND, source="/srv/", target="/srv", propagation="rslave"),
        Mount(kind=specs.MountKind.TMPFS, target="/mem", tmpfs_size_bytes=1024, tmpfs_mode=0o700),
    )

    placed = {each.mount.target: each for each in made(mounts=mounts).mounts}

    own = "/d/containers/0123456789abcdefghijklmno"
    assert placed["/data"].needs == Volume(
        path="/d/volumes/data/_data", name="data", labels={"a": "b"}
    )
    assert placed["/data"].mount.copy_up
    assert placed["/scratch"].needs == Volume(path=f"{own}/volumes/1")
    assert not placed["/scratch"].mount.copy_up
    assert placed["/srv"].needs == Source(path="/srv", field="container.mounts[2].source")
    assert placed["/srv"].mount.propagation is Propagation.RSLAVE
    assert not placed["/srv"].mount.copy_up
    assert placed["/mem"].mount.kind is MountKind.TMPFS
    assert (placed["/mem"].mount.size_bytes, placed["/mem"].mount.mode) == (1024, 0o700)


def test_volumes_of_the_image_are_mounted_unless_the_spec_mounts_there() -> None:
    image = ImageConfig(cmd=("x",), volumes=("/data/", "/cache"))

    spec = made(image, mounts=(Mount(source="mine", target="/data"),)).spec

    assert [(each.target, each.source.rsplit("/", 2)[-2]) for each in spec.mounts] == [
        ("/data", "mine"),
        ("/cache", "volumes"),
    ]


def test_parents_are_mounted_before_what_lies_in_them() -> None:
    mounts = tuple(Mount(source="v", target=path) for path in ("/a/b/c", "/a", "/a/b"))

    assert [each.target for each in made(mounts=mounts).spec.mounts] == ["/a", "/a/b", "/a/b/c"]


def test_limits_user_and_the_rest_reach_the_runtime() -> None:
    spec = made(
        limits=Limits(cpu_millis=500, memory_bytes=1 << 26, pids=7),
        user="app:app",
        groups=("audio",),
        workdir="/srv",
        read_only=True,
        init=True,
        sysctls={"net.core.somaxconn": "10"},
        ulimits=(Ulimit(name="nofile", soft=1, hard=2),),
        oom_score_adj=5,
    ).spec

    assert (spec.resources.cpu_millis, spec.resources.memory_bytes) == (500, 1 << 26)
    assert spec.resources.pids_limit == 7
    assert (spec.user, spec.additional_groups, spec.workdir) == ("app:app", ("audio",), "/srv")
    assert spec.read_only_rootfs
    assert spec.init
    assert spec.sysctls == {"net.core.somaxconn": "10"}
    assert (spec.rlimits[0].name, spec.rlimits[0].soft, spec.rlimits[0].hard) == ("nofile", 1, 2)
    assert spec.oom_score_adj == 5


def test_the_image_says_what_the_spec_leaves_open() -> None:
    image = ImageConfig(cmd=("x",), user="web", workdir="srv", stop_signal="SIGQUIT")

    assert (made(image).spec.user, made(image).spec.workdir) == ("web", "/srv")
    assert made(image).stop_signal == 3
    assert made(image, stop_signal="9").stop_signal == 9
    assert made().stop_signal == 15


PAIRS = st.lists(st.tuples(st.sampled_from("ABC"), st.text("xyz=", max_size=3)), max_size=6)


@given(PAIRS, PAIRS)
def test_law_each_name_is_set_once_and_the_spec_wins(
    asked: list[tuple[str, str]], image: list[tuple[str, str]]
) -> None:
    merged = environment(
        tuple(f"{k}={v}" for k, v in asked), tuple(f"{k}={v}" for k, v in image), "h"
    )

    found = dict(each.split("=", 1) for each in merged)
    assert len(found) == len(merged)
    assert {k: found[k] for k in found if k in "ABC"} == dict(image) | dict(asked)


def test_a_bare_name_takes_away_what_the_image_says_of_it() -> None:
    merged = environment(("A", "HOSTNAME", "C=3"), ("A=1", "B=2"), "h")

    assert merged[1:] == ("B=2", "C=3")


def test_rights_and_health_reach_the_runtime() -> None:
    found = made(
        cap_drop=("ALL",),
        privileged=False,
        seccomp="unconfined",
        devices=(Device(source="/dev/fuse", target="/dev/fuse"),),
        tty=True,
        open_stdin=True,
        health=Healthcheck(test=("CMD", "true"), retries=1),
    ).spec

    assert found.capabilities == ()
    assert found.seccomp == "unconfined"
    assert found.devices[0].source == "/dev/fuse"
    assert (found.tty, found.open_stdin) == (True, True)
    assert found.health is not None
    assert found.health.retries == 1


def test_a_node_that_cannot_give_a_right_refuses_the_container() -> None:
    with pytest.raises(Invalid, match=r"container\.apparmor"):
        made(apparmor="mine")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(memory_bytes=1 << 30), 0),
        (Limits(memory_bytes=1 << 30, swap_bytes=5), (1 << 30) + 5),
        (Limits(memory_bytes=1 << 30, swap_bytes=-1), -1),
    ],
)
def test_swap_comes_on_top_of_memory(limits: Limits, expected: int) -> None:
    assert made(limits=limits).spec.resources.memory_swap_bytes == expected


LOG = "/d/containers/0123456789abcdefghijklmno/output.log"


def test_a_log_driver_says_how_output_is_kept() -> None:
    sized = LogDriver(name="json-file", options={"max-size": "1m", "max-file": "7"})

    assert made().spec.log == Log(path=LOG)
    assert made(log_driver=sized).spec.log == Log(path=LOG, max_bytes=1 << 20, max_files=7)
    assert made(log_driver=LogDriver(name="none")).spec.log.max_files == 0


def test_with_interfaces_the_resolver_is_the_name_service() -> None:
    given = (Attachment(network_id=NetworkId("n"), addresses=("10.0.0.5",)),)

    files = made(attachments=given, dns_servers=("9.9.9.9",), dns_search=("x",)).spec.files

    (content,) = (each.content for each in files if each.path == "/etc/resolv.conf")
    assert content == "nameserver 127.0.0.11\nsearch x\noptions ndots:0\n"


def test_the_resolver_is_the_nodes_but_for_what_is_asked() -> None:
    def file(**asked: object) -> str:
        files = {each.path: each.content for each in made(**asked).spec.files}
        return files["/etc/resolv.conf"]

    assert file(dns_servers=("9.9.9.9",)) == "nameserver 9.9.9.9\n"
    assert file(networks=attached("host"), dns_search=("x",)) == f"{NODE.resolv}search x\n"
