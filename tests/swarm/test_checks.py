"""A spec is checked whole, and every problem says where it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from swarm.checks import check_service, signal_number
from swarm.errors import Invalid
from swarm.specs import (
    Autoscale,
    ContainerSpec,
    Global,
    Limits,
    Mount,
    MountKind,
    Placement,
    Replicated,
    ReplicatedJob,
    Resources,
    RestartPolicy,
    ServiceSpec,
    TaskSpec,
    Ulimit,
    UpdatePolicy,
)
from tests.networks import attached

GOOD = ContainerSpec(
    image="busybox:1.36@sha256:" + "0" * 64,
    command=("sh",),
    args=("-c", "sleep 1000"),
    env=("A=1", "B=x=y", "EMPTY="),
    workdir="/srv",
    user="www-data:33",
    groups=("audio", "12"),
    hostname="{{.Node.Hostname}}-{{.Task.Slot}}",
    labels={"org.example.tier": "front"},
    mounts=(
        Mount(kind=MountKind.BIND, source="/srv/a", target="/a", propagation="rslave"),
        Mount(kind=MountKind.VOLUME, source="cache", target="/b", nocopy=True),
        Mount(kind=MountKind.VOLUME, target="/c"),
        Mount(kind=MountKind.TMPFS, target="/d", tmpfs_size_bytes=1 << 20, tmpfs_mode=0o1777),
    ),
    stop_signal="SIGRTMIN+3",
    sysctls={"net.core.somaxconn": "1024", "kernel.shmmax": "1"},
    ulimits=(Ulimit(name="nofile", soft=1024, hard=2048), Ulimit(name="core", soft=-1, hard=-1)),
    hosts=("db:10.0.0.1", "six:fe80::1"),
    oom_score_adj=-500,
)


THREE = Replicated(replicas=3)


def service(*, mode: Replicated | Global = THREE, **task: object) -> ServiceSpec:
    """A sound service with some fields of its task replaced."""
    return ServiceSpec(name="web", mode=mode, task=replace(TaskSpec(container=GOOD), **task))


def container(**fields: object) -> ServiceSpec:
    return service(container=replace(GOOD, **fields))


def test_a_sound_service_has_no_problems() -> None:
    assert check_service(service()) == ()


def test_all_problems_are_told_at_once() -> None:
    spec = ServiceSpec(name="", mode=Replicated(replicas=-1), task=TaskSpec())

    assert [each.partition(":")[0] for each in check_service(spec)] == [
        "name",
        "replicated.replicas",
        "task.container.image",
    ]


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        (container(cap_add=("CAP_FLY",)), "task.container.cap_add[0]", "no capability"),
        (service(limits=Limits(swap_bytes=1)), "task.limits.swap_bytes", "limit of memory"),
        (
            service(limits=Limits(memory_bytes=1 << 30, swap_bytes=-2)),
            "task.limits.swap_bytes",
            "negative",
        ),
        (replace(service(), name="a" * 64), "name", "63"),
        (replace(service(), name="-web"), "name", "start and end"),
        (replace(service(), name="we b"), "name", "letters"),
        (replace(service(), labels={"a b": ""}), "labels[a b]", "space"),
        (replace(service(), labels={"": ""}), "labels[]", "empty"),
        (replace(service(), update=UpdatePolicy(parallelism=-1)), "update.parallelism", "negative"),
        (replace(service(), update=UpdatePolicy(delay_s=-1)), "update.delay_s", "negative"),
        (service(mode=Replicated(replicas=100_001)), "replicated.replicas", "several services"),
        (service(mode=ReplicatedJob(total=2**31 - 1)), "replicated_job.total", "more than 100000"),
        (
            replace(service(), autoscale=Autoscale(least=1, most=2**20, cpu_percent=50.0)),
            "autoscale.most",
            "more than 100000",
        ),
        (
            service(mode=Global(), placement=Placement(max_replicas_per_node=2)),
            "task.placement.max_replicas_per_node",
            "global",
        ),
        (container(image=""), "task.container.image", "empty"),
        (container(image="Busybox"), "task.container.image", "lower"),
        (container(args=("a\0b",)), "task.container.args[0]", "NUL"),
        (container(env=("A=1", "FO O=1")), "task.container.env[1]", "NAME=VALUE"),
        (container(env=("A=1", "A=2")), "task.container.env[1]", "already set"),
        (container(env=("=1",)), "task.container.env[0]", "NAME=VALUE"),
        (container(env=("A=\0",)), "task.container.env[0]", "NUL"),
        (container(workdir="srv"), "task.container.workdir", "absolute"),
        (container(user="a:b:c"), "task.container.user", "name|uid"),
        (container(user="a b"), "task.container.user", "name|uid"),
        (container(user="4294967295"), "task.container.user", "ids go up to 4294967294"),
        (container(user="0:" + "9" * 5000), "task.container.user", "ids go up to"),
        (container(groups=("99999999999",)), "task.container.groups[0]", "ids go up to"),
        (container(env=("A B=1",)), "task.container.env[0]", "a name has no spaces"),
        (container(groups=("a", "")), "task.container.groups[1]", "group"),
        (container(hostname="-x"), "task.container.hostname", "host name"),
        (container(workdir="/a/../b"), "task.container.workdir", "must not contain `..`"),
        (container(hostname=".".join(["x" * 40] * 2)), "task.container.hostname", "longer than 64"),
        (container(hostname="{{.Task.Slot"), "task.container.hostname", "host name"),
        (container(labels={"a=b": "c"}), "task.container.labels[a=b]", "="),
        (container(stop_signal="SIGNOPE"), "task.container.stop_signal", "SIGTERM"),
        (container(stop_signal="65"), "task.container.stop_signal", "no signal"),
        (container(stop_grace_s=-1.0), "task.container.stop_grace_s", "negative"),
        (container(stop_grace_s=float("nan")), "task.container.stop_grace_s", "negative"),
        (container(oom_score_adj=2000), "task.container.oom_score_adj", "1000"),
        (container(sysctls={"kernel.panic": "1"}), "task.container.sysctls[kernel.panic]", "own"),
        (container(sysctls={"vm.swappiness": "1"}), "task.container.sysctls[vm.swappiness]", "own"),
        (container(hosts=("db",)), "task.container.hosts[0]", "NAME:IP"),
        (container(hosts=("db:10.0.0",)), "task.container.hosts[0]", "NAME:IP"),
        (container(hosts=("d b:10.0.0.1",)), "task.container.hosts[0]", "host name"),
        (container(ulimits=(Ulimit(name="files"),)), "task.container.ulimits[0].name", "files"),
        (
            container(ulimits=(Ulimit(name="core"), Ulimit(name="core"))),
            "task.container.ulimits[1].name",
            "twice",
        ),
        (
            container(ulimits=(Ulimit(name="core", soft=2, hard=1),)),
            "task.container.ulimits[0].soft",
            "hard limit",
        ),
        (
            container(ulimits=(Ulimit(name="core", soft=-1, hard=1),)),
            "task.container.ulimits[0].soft",
            "hard limit",
        ),
        (
            container(ulimits=(Ulimit(name="core", soft=-2, hard=1),)),
            "task.container.ulimits[0]",
            "negative",
        ),
        (service(limits=Limits(pids=-1)), "task.limits.pids", "negative"),
        (service(limits=Limits(memory_bytes=(6 << 20) - 1)), "task.limits.memory_bytes", "6MiB"),
        (service(limits=Limits(cpu_millis=9)), "task.limits.cpu_millis", "less than 0.01"),
        (
            service(
                limits=Limits(memory_bytes=8 << 20), reservations=Resources(memory_bytes=16 << 20)
            ),
            "task.limits.memory_bytes",
            "below the reservation",
        ),
        (
            service(limits=Limits(cpu_millis=100), reservations=Resources(cpu_millis=200)),
            "task.limits.cpu_millis",
            "below the reservation",
        ),
        (service(restart=RestartPolicy(delay_s=-1)), "task.restart.delay_s", "negative"),
        (service(restart=RestartPolicy(window_s=-1)), "task.restart.window_s", "negative"),
        (service(restart=RestartPolicy(max_attempts=-1)), "task.restart.max_attempts", "negative"),
        (
            service(placement=Placement(constraints=("node.role==manager", "node.role"))),
            "task.placement.constraints[1]",
            "neither",
        ),
        (service(networks=attached("web", "web")), "task.networks[1]", "given twice"),
        (
            service(networks=attached("none", "host"), container=replace(GOOD, sysctls={})),
            "task.networks",
            "exclude",
        ),
        (
            service(networks=attached("host")),
            "task.container.sysctls[net.core.somaxconn]",
            "change the host",
        ),
    ],
)
def test_a_problem_has_its_path_and_says_what_is_wrong(
    spec: ServiceSpec, path: str, words: str
) -> None:
    problems = check_service(spec)

    assert len(problems) == 1, problems
    assert problems[0].startswith(f"{path}: ")
    assert words in problems[0]


BIND = Mount(kind=MountKind.BIND, source="/x", target="/y")
VOLUME = Mount(kind=MountKind.VOLUME, source="x", target="/y")
TMPFS = Mount(kind=MountKind.TMPFS, target="/y")


@pytest.mark.parametrize(
    ("mount", "name", "words"),
    [
        (replace(BIND, target=""), "target", "empty"),
        (replace(BIND, target="y"), "target", "absolute"),
        (replace(BIND, target="/y/.."), "target", "root"),
        (replace(BIND, source=""), "source", "empty"),
        (replace(BIND, source="x"), "source", "absolute"),
        (replace(BIND, propagation="sideways"), "propagation", "sideways"),
        (replace(BIND, nocopy=True), "nocopy", "volume"),
        (replace(BIND, tmpfs_size_bytes=1), "tmpfs_size_bytes", "tmpfs"),
        (replace(VOLUME, source="/x"), "source", "volume"),
        (replace(VOLUME, source="../x"), "source", "volume"),
        (replace(VOLUME, propagation="rshared"), "propagation", "bind"),
        (replace(TMPFS, source="x"), "source", "empty"),
        (replace(TMPFS, tmpfs_size_bytes=-1), "tmpfs_size_bytes", "negative"),
        (replace(TMPFS, tmpfs_mode=0o10000), "tmpfs_mode", "mode"),
        (replace(TMPFS, labels={"a": "b"}), "labels", "volume"),
    ],
)
def test_a_mount_is_judged_by_its_kind(mount: Mount, name: str, words: str) -> None:
    problems = check_service(container(mounts=(mount,)))

    assert len(problems) == 1, problems
    assert problems[0].startswith(f"task.container.mounts[0].{name}: ")
    assert words in problems[0]


def test_two_mounts_cannot_share_a_target_however_it_is_spelled() -> None:
    problems = check_service(container(mounts=(BIND, replace(VOLUME, target="/y/"))))

    assert problems == ("task.container.mounts[1].target: /y/ is already the target of mounts[0]",)


@pytest.mark.parametrize(("text", "number"), [("SIGTERM", 15), ("term", 15), ("9", 9)])
def test_signals_are_known_by_name_and_number(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ["", "0", "-1", "65", "SIG", "TERMINATE", "9" * 5000])
def test_a_signal_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        signal_number(text)


@given(
    st.builds(
        ContainerSpec,
        image=st.text(),
        env=st.lists(st.text()).map(tuple),
        user=st.text(),
        hostname=st.text(),
        hosts=st.lists(st.text()).map(tuple),
        stop_signal=st.text(),
        stop_grace_s=st.floats(),
        mounts=st.lists(
            st.builds(
                Mount, kind=st.sampled_from(list(MountKind)), source=st.text(), target=st.text()
            )
        ).map(tuple),
    ),
    st.lists(st.text()).map(tuple),
)
def test_law_whatever_is_asked_the_check_answers(
    asked: ContainerSpec, constraints: tuple[str, ...]
) -> None:
    task = TaskSpec(container=asked, placement=Placement(constraints=constraints))

    problems = check_service(ServiceSpec(name="web", task=task))

    assert all(each.startswith("task.") and ": " in each for each in problems)
    assert len(problems) >= len(set(constraints) - {c for c in constraints if "=" in c})
