"""Secrets, configs and volumes on four real hosts: who has them, and where they stay."""

import json
import os
import stat
import time
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.conftest import SERVE, Swarm
from tests.cluster.hosts import Host, wait_for
from tests.images import docker_archive
from tests.swarm.io.real_registry import PASSWORD, USER

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

PLAIN = "correct horse battery staple 7261"
CHANGED = "tr0ub4dor and three 9914"
LABEL = "kept-in-clear-4471"


def create(swarm: Swarm, *flags: str) -> None:
    """Create a service whose tasks are replaced all at once, and hardly watched."""
    swarm.manager.ctl(
        "service", "create", "-q", "--restart-delay", "0s", "--update-parallelism", "0",
        "--update-monitor", "100ms", *flags,
    )  # fmt: skip


def remove(swarm: Swarm, name: str) -> None:
    swarm.manager.ctl("service", "rm", name)
    wait_for("its tasks are gone", lambda: not swarm.running(name), within_s=60)


def roots(swarm: Swarm, service: str) -> dict[str, Path]:
    """The root directory of each running task's container, by task."""
    pids = swarm.container_pids()
    return {
        each["id"]: Path(f"/proc/{pids[each['id']]}/root")
        for each in swarm.running(service)
        if each["id"] in pids
    }


def reads(swarm: Swarm, service: str, path: str, count: int) -> set[str]:
    """What the tasks of a service find in a file, once all `count` run."""
    swarm.wait_running(service, count, within_s=60)
    found = wait_for("containers", lambda: _all(roots(swarm, service), count), within_s=30)
    return {(root / path).read_text() for root in found.values()}


def _all(found: dict[str, Path], count: int) -> dict[str, Path] | None:
    return found if len(found) == count else None


def memories(host: Host) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if f"{host.run_root}/contents/" in line]


def traces(host: Host, *plain: str) -> list[Path]:
    """The files of a host that hold any of `plain`: data, logs, and what swarmd runs on.

    Not those in memory, and no network namespaces, which are no files to read.
    """
    found = []
    others = (f"{host.run_root}/contents/", f"{host.run_root}/netns/")
    for base in (host.data_root, host.run_root, host.log):
        for path in [base] if base.is_file() else _files(base):
            if path.is_file() and not str(path).startswith(others):
                content = _content(path)
                found += [path for each in plain if each.encode() in content]
    return found


def _files(base: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(base):
        yield from (Path(directory, name) for name in names)


def _content(path: Path) -> bytes:
    """What a file holds; nothing once it has made way for its successor."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


@pytest.fixture
def secret(swarm: Swarm) -> Iterator[str]:
    """A secret, and nothing that uses it any more afterwards."""
    swarm.manager.ctl("secret", "create", "-l", f"note={LABEL}", "db", "-", stdin=PLAIN.encode())
    yield "db"
    swarm.manager.ctl("secret", "rm", "db")


def test_a_secret_is_only_where_it_is_needed_and_new_data_rolls(swarm: Swarm, secret: str) -> None:
    create(
        swarm, "--name", "keeper", "--replicas", "2", "--replicas-max-per-node", "1",
        "--constraint", "node.role==worker",
        "--secret", f"source={secret},target=key,uid=33,mode=0400", swarm.image,
    )  # fmt: skip
    try:
        assert reads(swarm, "keeper", "run/secrets/key", 2) == {PLAIN}
        (one, other) = roots(swarm, "keeper").values()
        status = (one / "run/secrets/key").stat()
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (33, 0o400)
        holders = {each["node"] for each in swarm.running("keeper")}
        assert {host.name for host in swarm.lan.hosts if memories(host)} == holders
        assert (
            "in use by the following service: keeper"
            in swarm.manager.ctl("secret", "rm", secret, check=False).stderr
        )

        before = set(roots(swarm, "keeper"))
        swarm.manager.ctl("secret", "update", secret, "-", stdin=b"not for those that run")
        assert {(root / "run/secrets/key").read_text() for root in (one, other)} == {PLAIN}
        done = swarm.manager.ctl("secret", "update", "--roll", secret, "-", stdin=CHANGED.encode())
        assert "rolling service keeper" in done.stderr
        wait_for(
            "other tasks run",
            lambda: len(found := set(roots(swarm, "keeper"))) == 2 and not found & before,
            within_s=60,
        )
        assert reads(swarm, "keeper", "run/secrets/key", 2) == {CHANGED}

        for host in swarm.lan.hosts:
            assert traces(host, PLAIN, CHANGED) == []
        assert traces(swarm.manager, LABEL)  # so we do look where etcd writes
        shown = swarm.manager.ctl("secret", "inspect", secret).stdout
        shown += swarm.manager.ctl("service", "inspect", "keeper").stdout
        assert PLAIN not in shown
        assert CHANGED not in shown
    finally:
        remove(swarm, "keeper")
    wait_for("no memory is left", lambda: not any(map(memories, swarm.lan.hosts)), within_s=30)


def test_nodes_pull_with_the_login_that_a_service_was_given(
    swarm: Swarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service of an image that only who is known may have.

    1. Without a login its tasks say which registry wants one, and how it gets one.
    2. With a stale one they say that it does not do.
    3. With the right one a worker pulls the image, and the service runs.
    4. Nothing of the password is in any file, log or answer.
    """
    registry = swarm.lan.start_registry(login=True)
    archive = docker_archive(tmp_path / "mine.tar", f"{registry}/mine:1", cmd=(*SERVE, "mine"))
    image = swarm.lan.push(archive, "mine:1", login=True)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def log_in(password: str) -> str:
        auth = b64encode(f"{USER}:{password}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
        return auth

    def errors() -> str:
        return swarm.manager.ctl("service", "ps", "--no-trunc", "mine").stdout

    create(swarm, "-d", "--name", "mine", "--no-resolve-image", image)
    try:
        remedy = "swarmctl service update --with-registry-auth mine"
        unknown = f"registry {registry} wants a user and a password for mine"
        wait_for(
            "the way out", lambda: f"{unknown}; " in (e := errors()) and remedy in e, within_s=30
        )
        log_in("stale-4711")
        swarm.manager.ctl("service", "update", "-d", "--with-registry-auth", "mine")
        stale = f"registry {registry} denies access to mine"
        wait_for(
            "another word", lambda: stale in (e := errors()) and "does not do" in e, within_s=30
        )
        auth = log_in(PASSWORD)
        swarm.manager.ctl("service", "update", "-d", "--with-registry-auth", "mine")
        swarm.wait_running("mine", 1, within_s=60)

        shown = errors() + swarm.manager.ctl("service", "inspect", "mine").stdout
        for told in (PASSWORD, "stale-4711", auth):
            assert told not in shown
            assert not [each for host in swarm.lan.hosts for each in traces(host, told)]
    finally:
        remove(swarm, "mine")


def test_agents_and_managers_that_are_killed_lose_no_secret(swarm: Swarm, secret: str) -> None:
    """Agents have contents in memory only, so they are given them anew after every start."""
    create(swarm, "-d", "--name", "tough", "--mode", "global", "--secret", secret, swarm.image)
    try:
        for host in swarm.lan.hosts:
            host.kill("agent.main", "manager.main")
        assert reads(swarm, "tough", "run/secrets/db", 4) == {PLAIN}

        (before,) = {tuple(sorted(roots(swarm, "tough")))}
        victim = swarm.workers[0]
        victim.kill("agent.main")
        swarm.manager.ctl("service", "update", "-q", "--force", "tough", timeout=120)

        assert reads(swarm, "tough", "run/secrets/db", 4) == {PLAIN}
        assert not set(before) & set(roots(swarm, "tough"))
        wait_for(
            "each host has the memory of one task",
            lambda: [len(memories(each)) for each in swarm.lan.hosts] == [1, 1, 1, 1],
            within_s=30,
        )
    finally:
        remove(swarm, "tough")


def test_a_config_is_filled_in_for_each_task(swarm: Swarm, secret: str, tmp_path: Path) -> None:
    (tmp_path / "site").write_text(
        '{{.Service.Name}} {{.Task.Slot}} {{.Node.Hostname}} {{env "MODE"}} {{secret "db"}}\n'
    )
    swarm.manager.ctl(
        "config", "create", "--template-driver", "golang", "-l", "team=red", "site",
        str(tmp_path / "site"),
    )  # fmt: skip
    create(
        swarm, "--name", "filled", "--replicas", "2", "--env", "MODE=fast", "--secret", secret,
        "--config", "source=site,target=/etc/site.conf", swarm.image,
    )  # fmt: skip
    try:
        swarm.wait_running("filled", 2, within_s=60)
        nodes = {each["id"]: each["node"] for each in swarm.running("filled")}

        texts = {
            task: (root / "etc/site.conf").read_text().split(" ", 4)
            for task, root in roots(swarm, "filled").items()
        }
        assert sorted(slot for _, slot, *_ in texts.values()) == ["1", "2"]
        for task, (service, _, node, mode, password) in texts.items():
            assert (service, node, mode, password) == (
                "filled", nodes[task], "fast", f"{PLAIN}\n",
            )  # fmt: skip
        pretty = swarm.manager.ctl("service", "inspect", "--pretty", "filled").stdout
        assert "/etc/site.conf" in pretty
    finally:
        remove(swarm, "filled")
        swarm.manager.ctl("config", "rm", "site")


def test_volumes_by_slot_are_followed_and_survive(swarm: Swarm) -> None:
    """What a slot wrote is there for its next task, and where that is."""
    create(
        swarm, "--name", "stateful", "--replicas", "3",
        "--mount", "src=state-{{.Task.Slot}},dst=/state,volume-label=of=stateful", swarm.image,
    )  # fmt: skip
    try:
        swarm.wait_running("stateful", 3, within_s=60)
        homes = {}
        for task, root in wait_for(
            "containers", lambda: _all(roots(swarm, "stateful"), 3), within_s=30
        ).items():
            slot = _slot(swarm, task)
            (root / "state/slot").write_text(slot)
            homes[slot] = _node(swarm, task)

        for _ in range(2):
            before = set(roots(swarm, "stateful"))
            swarm.manager.ctl("service", "update", "-q", "--force", "stateful")
            wait_for(
                "other tasks run",
                lambda before=before: (
                    len(found := set(roots(swarm, "stateful"))) == 3 and not found & before
                ),
                within_s=60,
            )
        for task, root in roots(swarm, "stateful").items():
            slot = _slot(swarm, task)
            assert (root / "state/slot").read_text() == slot
            assert _node(swarm, task) == homes[slot]
        holder = swarm.host(homes["1"])
        refused = holder.ctl("volume", "rm", "state-1", check=False).stderr
        assert "volume is in use: state-1 is used by task stateful.1." in refused
    finally:
        remove(swarm, "stateful")
    wait_for(
        "nobody uses it",
        lambda: holder.ctl("volume", "rm", "state-1", check=False).returncode == 0,
        within_s=30,
    )
    assert "state-1" not in holder.ctl("volume", "ls", "-q").stdout
    for host in swarm.lan.hosts:
        wait_for(f"{host.name} has none", partial(_pruned, host), within_s=30)


def _pruned(host: Host) -> bool:
    """Whether no volume is left: one goes once its container has ended."""
    host.ctl("volume", "prune", "-a", "-f", "--filter", "label=of=stateful")
    return "state-" not in host.ctl("volume", "ls", "-q").stdout


def test_what_is_unknown_is_refused_before_anything_is_made(swarm: Swarm) -> None:
    began = time.monotonic()
    for flags, complaint in (
        (["--secret", "none"], "no such secret: none"),
        (["--config", "none"], "none"),
        (["--mount", "src=a,dst=/x,volume-driver=rexray"], "there is no driver 'rexray'"),
        (["--mount", "src=a,dst=/x,volume-opt=type=nfs"], "device"),
    ):
        done = swarm.manager.ctl(
            "service", "create", "--name", "refused", *flags, swarm.image, check=False
        )
        assert done.returncode
        assert complaint in done.stderr
    assert "refused" not in swarm.manager.ctl("service", "ls").stdout
    assert time.monotonic() - began < 60


def _slot(swarm: Swarm, task: str) -> str:
    return swarm.manager.ctl("task", "inspect", "-f", "{{.Slot}}", task).stdout.strip()


def _node(swarm: Swarm, task: str) -> str:
    return next(each["node"] for each in swarm.running("stateful") if each["id"] == task)
