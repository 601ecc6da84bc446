"""A stack on real hosts, from its first deploy to the last task of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import Swarm
from tests.cluster.hosts import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

FILE = """
services:
  db:
    image: {image}
    networks: [none]
    secrets: [{{source: key, target: db-key, mode: 0400}}]
    volumes: ["data:/data"]
    deploy:
      update_config: {{order: start-first, monitor: 300ms}}
  web:
    image: {image}
    networks: [none]
    depends_on: [db]
    environment: {{GREETING: "${{GREETING:-hello}}"}}
    configs: [{{source: site, target: /etc/site}}]
    deploy:
      replicas: 2
      update_config: {{parallelism: 2, monitor: 300ms}}
volumes:
  data:
secrets:
  key: {{file: ./key.txt}}
configs:
  site: {{content: "for $$everybody"}}
"""
OLD = """
services:
  old:
    image: {image}
    networks: [none]
"""


def inspected(swarm: Swarm, name: str) -> Any:
    (found,) = json.loads(swarm.manager.ctl("service", "inspect", name).stdout)
    return found


def read(swarm: Swarm, service: str, path: str) -> set[str]:
    """What the running tasks of a service find in a file."""

    def found() -> set[str] | None:
        pids = swarm.container_pids()
        tasks = [each["id"] for each in swarm.running(service)]
        if not tasks or not set(tasks) <= set(pids):
            return None
        return {Path(f"/proc/{pids[each]}/root{path}").read_text() for each in tasks}

    return wait_for("containers", found, within_s=30)


@pytest.fixture
def deploy(swarm: Swarm, tmp_path: Path) -> Callable[..., str]:
    """Deploy the stack; what was said."""
    (tmp_path / "key.txt").write_text("a key")
    (tmp_path / "stack.yml").write_text(FILE.format(image=swarm.image))
    (tmp_path / "old.yml").write_text(OLD.format(image=swarm.image))

    def run(*flags: str, files: tuple[str, ...] = ("stack.yml",), check: bool = True) -> str:
        named = (word for each in files for word in ("-c", str(tmp_path / each)))
        done = swarm.manager.ctl("stack", "up", *named, *flags, "shop", check=check)
        return done.stdout if check else done.stderr

    return run


def test_a_stack_is_deployed_changed_pruned_and_removed(
    swarm: Swarm, deploy: Callable[..., str], tmp_path: Path
) -> None:
    """A stack's whole life.

    1. A dry run tells of everything and makes nothing.
    2. The deploy makes it: files, volumes, services, and waits until all run.
    3. Deployed again nothing changes, not even a revision or a task.
    4. Another file changes one service, and `--prune` removes what the file has no more.
    5. Another key under the same name is refused before anything else happens.
    6. The removal leaves nothing but the volume.
    """
    told = deploy("--dry-run", files=("stack.yml", "old.yml"))
    assert "+ secret shop_key" in told
    assert "+ service shop_web" in told
    assert "shop_web.2" in told
    assert not swarm.manager.ctl("service", "ls", "-q").stdout
    assert not swarm.manager.ctl("secret", "ls", "-q").stdout

    told = deploy(files=("stack.yml", "old.yml"))
    for line in (
        "Creating secret shop_key",
        "Creating config shop_site",
        "Creating service shop_db",
        "Creating service shop_web",
        "verify: Service shop_web converged",
    ):
        assert line in told.splitlines()
    assert len(swarm.running("shop_web")) == 2
    assert read(swarm, "shop_db", "/run/secrets/db-key") == {"a key"}
    assert read(swarm, "shop_web", "/etc/site") == {"for $everybody"}
    assert swarm.manager.ctl("stack", "ls").stdout.split() == ["NAME", "SERVICES", "shop", "3"]
    spec = inspected(swarm, "shop_db")["Spec"]
    assert spec["UpdateConfig"]["Order"] == "start-first"
    assert spec["TaskTemplate"]["ContainerSpec"]["Mounts"][0]["Source"] == "shop_data"
    assert spec["Labels"]["com.docker.stack.image"] == swarm.image

    before = [inspected(swarm, each) for each in ("shop_db", "shop_web", "shop_old")]
    tasks = sorted(swarm.manager.ctl("stack", "ps", "-q", "shop").stdout.split())
    told = deploy(files=("stack.yml", "old.yml"))
    assert told.splitlines() == [
        f"Service shop_{each} is unchanged" for each in ("db", "web", "old")
    ]
    assert [inspected(swarm, each) for each in ("shop_db", "shop_web", "shop_old")] == before
    assert sorted(swarm.manager.ctl("stack", "ps", "-q", "shop").stdout.split()) == tasks

    text = (tmp_path / "stack.yml").read_text()
    (tmp_path / "stack.yml").write_text(text.replace(":-hello", ":-good morning"))
    told = deploy("--prune")
    assert "Removing service shop_old" in told
    assert "Service shop_db is unchanged" in told
    assert "Updating service shop_web" in told
    env = inspected(swarm, "shop_web")["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"]
    assert env == ["GREETING=good morning"]
    names = swarm.manager.ctl("stack", "services", "--format", "{{.Name}}", "shop").stdout
    assert names.split() == ["shop_db", "shop_web"]

    (tmp_path / "key.txt").write_text("another key")
    assert "secret shop_key exists with other data" in deploy(check=False)

    done = swarm.manager.ctl("stack", "rm", "shop")
    assert "Removing secret shop_key" in done.stdout
    assert not swarm.container_pids()
    for kind in ("service", "secret", "config"):
        assert not swarm.manager.ctl(kind, "ls", "-q").stdout
    volumes = [each.ctl("volume", "ls", "-q").stdout.split() for each in swarm.lan.hosts]
    assert sorted(filter(None, volumes)) == [["shop_data"]]
