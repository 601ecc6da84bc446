"""What waits starts by itself as soon as there is room for it, on real hosts.

Every story is the same. A service is created for which there is no place; `service ps` and
`swarmctl why` say why, and what each host lacks. Then a place comes to be, by what happens
elsewhere. Nobody touches the service, and it runs.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.growing import Growing
from tests.cluster.hosts import Lan, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

SOON_S = 30.0
"""Far more than it takes, which is printed: this machine may have other work."""
WORKERS = ("host2", "host3")
GPUS = ("--node-generic-resource", "gpu=one", "--node-generic-resource", "gpu=two")
PORT = ("--publish", "mode=host,target=18080,published=18080")
# Ends well once somebody makes a file, in a directory that all tasks share.
UNTIL_TOLD = ("sh", "-c", "until test -e /end/now; do sleep 0.1; done")


@pytest.fixture(scope="module")
def four() -> Iterator[Growing]:
    """A manager that takes no tasks, two workers, and a host that has not joined."""
    lan = Lan(Path(tempfile.mkdtemp(prefix="swarm-capacity-")), hosts=4)
    try:
        yield Growing(lan, workers=2, own={"host3": GPUS})
    finally:
        lan.close()


@pytest.fixture(scope="module")
def full(four: Growing) -> dict[str, tuple[str, str]]:
    """The flags with which a task reserves a whole worker; all of them are alike."""
    [node] = four.manager.json("node", "inspect", "host2")
    has = node["Description"]["Resources"]
    return {
        "cpu": ("--reserve-cpu", f"{has['NanoCPUs'] / 1e9:g}"),
        "memory": ("--reserve-memory", str(has["MemoryBytes"])),
    }


@contextmanager
def service(four: Growing, name: str, *flags: str, cmd: tuple[str, ...] = ()) -> Iterator[None]:
    """A service of this name for a while. Nobody waits for it to run."""
    four.create(name, "-d", "--network", "host", "--restart-delay", "0s", *flags, four.image, *cmd)
    try:
        yield
    finally:
        mine = {task["ID"] for task in four.tasks(name)}
        four.manager.ctl("service", "rm", name, check=False)  # some tests do it themselves
        wait_for("its containers are gone", lambda: not mine & containers(four), within_s=60)


def containers(four: Growing) -> set[str]:
    """The tasks whose containers run, as the kernels see it."""
    return {task for host in four.lan.hosts for task in host.containers()}


def wait_running(four: Growing, name: str, *hosts: str) -> None:
    """Wait until the service runs on these hosts and no others."""
    expected = sorted(hosts)
    wait_for(
        f"{name} runs on {expected}",
        lambda: sorted(four.running(name)) == expected,
        within_s=SOON_S,
    )


def wait_waiting(four: Growing, name: str, because: str, **lacks: str) -> None:
    """Wait until its first task is pending, and both commands tell the same about it."""

    def reason() -> str:
        lines = {task["Name"]: task for task in four.tasks(name)}
        line = lines.get(f"{name}.1", {"CurrentState": "", "Error": ""})
        is_pending = line["CurrentState"].startswith("Pending") and because in line["Error"]
        return line["Error"].strip('"') if is_pending else ""

    listed = wait_for(f"{name} waits: {because}", reason, within_s=SOON_S)
    told = four.manager.ctl("why", f"{name}.1").stdout
    assert told.splitlines()[0] == f"{name}.1 is pending: {listed}"
    assert because in four.manager.ctl("why", name).stdout
    said = dict(line.split(" ", 1) for line in told.splitlines() if line.startswith("host"))
    for host, phrase in lacks.items():
        assert phrase in said[host]


@contextmanager
def soon_running(four: Growing, name: str, *hosts: str) -> Iterator[None]:
    """What is done meanwhile lets the waiting service run: on these hosts, and by itself."""
    before = four.manager.json("service", "inspect", name)
    assert four.running(name) == []
    start = time.monotonic()
    yield
    wait_running(four, name, *hosts)
    print(f"{name} runs after {time.monotonic() - start:.2f} s")
    [old], [new] = before, four.manager.json("service", "inspect", name)
    assert old["Version"] == new["Version"]
    assert {task["ID"] for task in four.tasks(name)} <= containers(four)


# -- what others reserve -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "deed"),
    [
        ("cpu", ("scale", "-d", "hog=1")),
        ("memory", ("rm", "hog")),
        ("cpu", ("update", "-d", "--reserve-cpu", "0", "--update-monitor", "0s", "hog")),
    ],
    ids=("scaled-down", "removed", "content-with-less"),
)
def test_what_another_service_gives_back_is_taken(
    four: Growing, full: dict[str, tuple[str, str]], what: str, deed: tuple[str, ...]
) -> None:
    with service(four, "hog", "--replicas", "2", *full[what]):
        wait_running(four, "hog", *WORKERS)
        [last] = [task["Node"] for task in four.tasks("hog") if task["Name"] == "hog.2"]
        with service(four, "hungry", "--constraint", f"node.hostname=={last}", *full[what]):
            because = f"insufficient {what} on 1 node"
            wait_waiting(four, "hungry", because, **{last: f"{what}: wants "})

            with soon_running(four, "hungry", last):
                four.manager.ctl("service", *deed)


def test_what_a_job_gives_back_while_nobody_leads_is_taken(
    four: Growing, full: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    """The manager is killed, and hears of the end of the job from an agent that comes back.

    1. A job has both workers to itself, and a service waits for room on each of them.
    2. The only manager dies, and the tasks of the job come to their ends.
    3. Its successor starts the service on both.
    """
    mount = ("--mount", f"type=bind,source={tmp_path},target=/end,readonly")
    job = ("--mode", "replicated-job", "--replicas", "2", *mount, *full["cpu"])
    with (
        service(four, "job", *job, cmd=UNTIL_TOLD),
        service(four, "global", "--mode", "global", *full["cpu"]),
    ):
        wait_running(four, "job", *WORKERS)
        full_up = {f"no suitable node (insufficient cpu on node {host})" for host in WORKERS}
        wait_for("both wait", lambda: errors(four, "global") == full_up, within_s=SOON_S)
        told = four.manager.ctl("why", "global").stdout
        assert all(reason in told for reason in full_up)
        for task in four.tasks("global"):
            told = four.manager.ctl("why", task["Name"]).stdout.splitlines()[0]
            assert told == f"{task['Name']} is pending: {task['Error'].strip(chr(34))}"

        with soon_running(four, "global", *WORKERS):
            four.manager.kill("manager.main")
            (tmp_path / "now").touch()


def errors(four: Growing, name: str) -> set[str]:
    return {task["Error"].strip('"') for task in four.tasks(name)}


def test_a_generic_resource_that_becomes_free_is_taken(four: Growing) -> None:
    with service(four, "learner", "--replicas", "2", "--generic-resource", "gpu=1"):
        wait_running(four, "learner", "host3", "host3")
        with service(
            four, "player", "--generic-resource", "gpu=1",
            cmd=("sh", "-c", "echo has $DOCKER_RESOURCE_GPU; sleep 1000"),
        ):  # fmt: skip
            wait_waiting(
                four, "player", "insufficient gpu on 2 nodes",
                host2="generic: wants 1 of gpu, 0 of 0 are free",
                host3="generic: wants 1 of gpu, 0 of 2 are free",
            )  # fmt: skip

            with soon_running(four, "player", "host3"):
                four.manager.ctl("service", "scale", "-d", "learner=1")

            [kept], [taken] = claimed(four, "learner"), claimed(four, "player")
            assert {kept, taken} == {"one", "two"}
            logs = ("service", "logs", "--raw", "player")
            wait_for(
                "it has what it claims",
                lambda: four.manager.ctl(*logs).stdout == f"has {taken}\n",
                within_s=SOON_S,
            )


def claimed(four: Growing, name: str) -> list[str]:
    """The names of the GPUs that its running tasks have for their own."""
    ids = [task["ID"] for task in four.tasks(name) if task["CurrentState"].startswith("Running")]
    return [
        claim["NamedResourceSpec"]["Value"]
        for task in four.manager.json("task", "inspect", *ids)
        for claim in task["AssignedGenericResources"]
    ]


def test_a_host_port_that_is_given_back_is_taken(four: Growing) -> None:
    with service(four, "first", "--mode", "global", *PORT):
        wait_running(four, "first", *WORKERS)
        with service(four, "second", *PORT):
            holds = "port: wants port 18080/tcp of the host, which service first holds"
            wait_waiting(four, "second", "host port 18080/tcp in use on 2 nodes",
                         host2=holds, host3=holds)  # fmt: skip

            with soon_running(four, "second", "host3"):
                constraint = ("--constraint-add", "node.hostname!=host3")
                four.manager.ctl("service", "update", "-d", *constraint, "first")


# -- what nodes are ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "before", "because", "lacks", "deed", "undo"),
    [
        pytest.param(
            ("--constraint", "node.labels.disk==fast"),
            ("--label-add", "disk=slow"),
            "constraint node.labels.disk==fast not satisfied on 2 nodes",
            "constraint: has node.labels.disk 'slow', and node.labels.disk==fast is asked for",
            ("--label-add", "disk=fast"),
            ("--label-rm", "disk"),
            id="labelled",
        ),
        pytest.param(
            ("--toleration", "team=blue"),
            ("--taint-add", "team=red:no-schedule"),
            "taints not tolerated on 2 nodes",
            "taint: has the taint team=red:no-schedule, which is not tolerated",
            ("--taint-add", "team=blue:no-schedule"),
            ("--taint-rm", "team"),
            id="tainted",
        ),
        pytest.param(
            (),
            ("--availability", "pause"),
            "3 nodes paused or drained",
            "active: has availability pause",
            ("--availability", "active"),
            ("--availability", "active"),
            id="paused",
        ),
        pytest.param(
            (),
            ("--availability", "drain"),
            "3 nodes paused or drained",
            "active: has availability drain",
            ("--availability", "active"),
            ("--availability", "active"),
            id="drained",
        ),
    ],
)
def test_a_node_that_is_changed_to_fit_gets_what_waits(
    four: Growing, wish: tuple[str, ...], before: tuple[str, ...], because: str, lacks: str,
    deed: tuple[str, ...], undo: tuple[str, ...],
) -> None:  # fmt: skip
    with changed(four, before, undo), service(four, "picky", "--replicas", "2", *wish):
        wait_waiting(four, "picky", because, host2=lacks, host3=lacks)

        with soon_running(four, "picky", "host3", "host3"):
            four.manager.ctl("node", "update", *deed, "host3")


@contextmanager
def changed(four: Growing, flags: tuple[str, ...], undo: tuple[str, ...]) -> Iterator[None]:
    """Both workers changed for a while."""
    for host in four.workers:
        four.manager.ctl("node", "update", *flags, host.name)
    try:
        yield
    finally:
        for host in four.workers:
            four.manager.ctl("node", "update", *undo, host.name)


# -- nodes that come ---------------------------------------------------------------------


def test_a_node_that_is_heard_of_again_gets_what_waits(four: Growing) -> None:
    """A host is cut off: a new service wants just that host, another has its data there.

    The latter's container runs there all the while, which nobody can know, so there is a task
    that waits to replace it. As soon as the host is heard of it need not.
    """
    with service(four, "keeper", "--mount", "type=volume,source=precious,target=/keep"):
        [name] = wait_for("it runs", lambda: four.running("keeper"), within_s=SOON_S)
        [host] = [each for each in four.workers if each.name == name]
        other = next(each.name for each in four.workers if each is not host)
        before = host.containers()
        host.cut()
        try:
            four.wait_ready(2)
            with service(four, "picky", "--constraint", f"node.hostname=={name}"):
                wait_waiting(four, "picky", "1 node not ready", **{name: "ready: is down"})
                lacks = f"volume: does not have volume precious, which lives on {name}"
                because = f"volume precious lives on {name}, which is down"
                wait_waiting(four, "keeper", because, **{name: "ready: is down", other: lacks})

                with soon_running(four, "picky", name):
                    host.mend()
                wait_running(four, "keeper", name)
                assert before.items() <= host.containers().items()
        finally:
            host.mend()
            four.wait_ready(3)


def test_a_node_that_joins_gets_what_waits_and_then_its_share(
    four: Growing, full: dict[str, tuple[str, str]]
) -> None:
    """The swarm was told to move tasks to nodes that join.

    1. Two tasks take all that may be reserved on the workers, and a third waits.
    2. Six others reserve nothing: three run on each worker.
    3. A host joins. What waits starts there at once, because there is room for it.
    4. Some seconds later two of the six move there, and at no moment fewer than six run.
    """
    web = ("--replicas", "6", "--update-order", "start-first", "--update-parallelism", "2",
           "--update-monitor", "0s")  # fmt: skip
    with (
        rebalancing(four),
        service(four, "hog", "--replicas", "3", *full["memory"]),
        service(four, "web", *web),
    ):
        wait_running(four, "hog", *WORKERS)
        wait_running(four, "web", *WORKERS * 3)
        last = next(task["Name"] for task in four.tasks("hog") if not task["Node"])
        told = four.manager.ctl("why", last).stdout.splitlines()[0]
        because = "no suitable node (1 node paused or drained; insufficient memory on 2 nodes)"
        assert told == f"{last} is pending: {because}"
        assert because in errors(four, "hog")

        start = time.monotonic()
        with four.joined(four.late):
            wait_running(four, "hog", *WORKERS, "host4")
            print(f"hog runs {time.monotonic() - start:.2f} s after the node began to join")
            least = 6

            def is_spread() -> bool:
                nonlocal least
                running = four.running("web")
                least = min(least, len(running))
                return Counter(running) == {"host2": 2, "host3": 2, "host4": 2}

            wait_for("web is spread", is_spread, within_s=60)
            print(f"web is spread after {time.monotonic() - start:.2f} s")
            assert least == 6
            assert "host4" not in four.manager.ctl("rebalance", "--dry-run").stdout


@contextmanager
def rebalancing(four: Growing) -> Iterator[None]:
    """A swarm that moves tasks to nodes that join, for a while."""
    four.manager.ctl("update", "--rebalance-on-join")
    try:
        yield
    finally:
        four.manager.ctl("update", "--no-rebalance-on-join")
