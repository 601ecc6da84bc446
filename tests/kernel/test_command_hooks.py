"""Hooks: each at its moment, with the state of that moment, and what a failure does."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.bundles import Bundles, Config

pytestmark = pytest.mark.kernel

OUTSIDE = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")


def hook(bundles: Bundles, kind: str, *, then: str = "") -> Config:
    """Note the state that was given and who is root here, then do `then`."""
    log = bundles.base / "hooks.log"
    script = f'state=$(cat); echo "{kind} $state" >> {log}; {then}'
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}


def noted(bundles: Bundles) -> list[tuple[str, dict[str, Any]]]:
    log = bundles.base / "hooks.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(line.split(" ", 1)[0], json.loads(line.split(" ", 1)[1])) for line in lines]


def kinds(bundles: Bundles) -> list[str]:
    return [kind for kind, _ in noted(bundles)]


def with_all(bundles: Bundles, **then: str) -> str:
    inside = "state=$(cat); echo startContainer $state >> /noted; " + then.get("startContainer", "")

    def change(config: Config) -> None:
        config["annotations"] = {"owner": "tests"}
        config["hooks"] = {
            kind: [hook(bundles, kind, then=then.get(kind, ""))] for kind in OUTSIDE
        } | {
            "startContainer": [
                {"path": "/bin/sh", "args": ["sh", "-c", inside], "env": ["PATH=/bin"]}
            ]
        }

    return bundles.bundle("sleep", "1000", change=change)


def test_hooks_run_in_order_with_the_state_of_their_moment(bundles: Bundles) -> None:
    name = with_all(bundles)

    bundles.create(name)
    after_create = kinds(bundles)
    pid = bundles.state(name)["pid"]
    assert not (bundles.rootfs / "noted").exists()
    bundles.run("start", name)
    after_start = kinds(bundles)
    bundles.run("kill", name, "KILL")
    bundles.wait_for_status(name, "stopped")
    bundles.run("delete", name)

    assert after_create == ["prestart", "createRuntime", "createContainer"]
    assert after_start == [*after_create, "poststart"]
    assert kinds(bundles) == [*after_start, "poststop"]
    told = dict(noted(bundles))
    inside = json.loads((bundles.rootfs / "noted").read_text().split(" ", 1)[1])
    assert [told[kind]["status"] for kind in OUTSIDE] == [
        "created", "creating", "creating", "running", "stopped",
    ]  # fmt: skip
    assert inside["status"] == "created"
    for kind in ("prestart", "createRuntime", "poststart"):
        assert told[kind]["pid"] == pid
    for state in (*told.values(), inside):
        assert state["id"] == name
        assert state["ociVersion"] == "1.2.1"
        assert state["bundle"] == str(bundles.path(name))
        assert state["annotations"] == {"owner": "tests"}


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_a_hook_that_fails_ends_the_creation(bundles: Bundles, kind: str) -> None:
    name = with_all(bundles, **{kind: "echo not today >&2; exit 1"})

    done = bundles.create(name, ok=False)

    assert done.returncode == 1
    assert f"{kind} hook /bin/sh: exit code 1: not today" in done.stderr
    assert kinds(bundles)[-1] == "poststop"
    assert "does not exist" in bundles.run("state", name, ok=False).stderr
    assert not bundles.leaks()


def test_a_hook_that_takes_too_long_ends_the_creation(bundles: Bundles) -> None:
    def change(config: Config) -> None:
        config["hooks"] = {
            "prestart": [hook(bundles, "prestart", then="sleep 100") | {"timeout": 1}]
        }

    name = bundles.bundle("true", change=change)

    done = bundles.create(name, ok=False)

    assert "prestart hook /bin/sh: still running after 1 s" in done.stderr
    assert not bundles.leaks()


def test_a_start_container_hook_that_fails_keeps_the_program_from_running(bundles: Bundles) -> None:
    name = with_all(bundles, startContainer="exit 1")
    bundles.create(name)

    done = bundles.run("start", name, ok=False)

    assert done.returncode == 1
    assert "startContainer hook /bin/sh: exit code 1" in done.stderr
    assert "poststart" not in kinds(bundles)
    bundles.wait_for_status(name, "stopped")


@pytest.mark.parametrize("kind", ["poststart", "poststop"])
def test_a_late_hook_that_fails_is_a_warning(bundles: Bundles, kind: str) -> None:
    name = with_all(bundles, **{kind: "exit 1"})

    bundles.create(name)
    started = bundles.run("start", name)
    deleted = bundles.run("delete", "--force", name)

    warned = started if kind == "poststart" else deleted
    assert f'level=warning msg="{kind} hook /bin/sh: exit code 1' in warned.stderr
    assert not bundles.leaks()


def test_create_runtime_hooks_see_the_containers_namespaces(bundles: Bundles) -> None:
    out = bundles.base / "namespaces"
    script = (
        f"pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); readlink /proc/$pid/ns/net > {out};"
        f" readlink /proc/self/ns/net >> {out}"
    )

    def change(config: Config) -> None:
        made = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}
        config["hooks"] = {"createRuntime": [made]}

    name = bundles.bundle("true", change=change)
    bundles.create(name)

    theirs, ours = out.read_text().split()
    assert theirs != ours
    assert ours == str(Path("/proc/self/ns/net").readlink())


def test_a_hook_may_ask_for_the_state(bundles: Bundles) -> None:
    out = bundles.base / "asked"

    def change(config: Config) -> None:
        words = " ".join(bundles.words("state", "c1"))
        made = {"path": "/bin/sh", "args": ["sh", "-c", f"{words} > {out}"]}
        config["hooks"] = {"prestart": [made | {"env": ["PATH=/bin:/usr/bin"]}]}

    bundles.create(bundles.bundle("true", name="c1", change=change))

    assert json.loads(out.read_text())["status"] == "creating"
