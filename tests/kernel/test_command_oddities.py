"""What nobody should write: each is refused with a reason, and nothing is left."""

import json
from typing import Any

import pytest

from tests.kernel.bundles import Bundles, Config

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize(
    "odd",
    ["../x", "..", ".", "", "a/b", "two words", "new\nline", "x" * 256, "x" * 1024, "é", "a,b"],
)
@pytest.mark.parametrize("command", ["create", "start", "state", "kill", "delete"])
def test_an_odd_id_is_refused(bundles: Bundles, odd: str, command: str) -> None:
    name = bundles.bundle("true")
    flags = ("--bundle", str(bundles.path(name))) if command == "create" else ()

    done = bundles.run(command, *flags, odd, ok=False)

    assert done.returncode == 1
    assert "invalid container ID format" in done.stderr
    assert not bundles.leaks()


def test_the_longest_id_works(bundles: Bundles) -> None:
    name = bundles.bundle("sh", "-c", "exit 5", name="x" * 255)

    assert bundles.foreground(name).returncode == 5


def test_a_long_root_works(bundles: Bundles) -> None:
    bundles.root = bundles.base / ("r" * 200) / ("s" * 200)
    name = bundles.bundle("sh", "-c", "exit 5")

    assert bundles.foreground(name).returncode == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "config.json"),
        ("{", "config.json"),
        ("[]", "must be an object"),
        ("{}", "ociVersion"),
        ('{"ociVersion":"2.0.0"}', "ociVersion"),
        ('{"ociVersion":"1.0.0"}', "root: is missing"),
        ("\0\xff", "config.json"),
    ],
)
def test_a_config_that_is_none_is_refused(bundles: Bundles, text: str, said: str) -> None:
    bundles.path("odd").mkdir(parents=True)
    (bundles.path("odd") / "config.json").write_bytes(text.encode("latin-1"))

    done = bundles.create("odd", ok=False)

    assert done.returncode == 1
    assert said in done.stderr
    assert not bundles.leaks()


def test_a_bundle_without_config_is_named(bundles: Bundles) -> None:
    done = bundles.run("create", "-b", str(bundles.base), "c", ok=False)

    assert f"no config.json in {bundles.base}" in done.stderr


def test_what_names_no_program_can_be_created_and_not_started(bundles: Bundles) -> None:
    name = bundles.bundle("true", change=lambda config: config.pop("process"))

    assert "process: is missing" in bundles.foreground(name).stderr
    bundles.create(name)
    assert bundles.status(name) == "created"
    assert "process: is missing" in bundles.run("start", name, ok=False).stderr
    assert bundles.status(name) == "stopped"
    bundles.run("delete", name)


def test_all_problems_are_told_at_once(bundles: Bundles) -> None:
    def spoil(config: Config) -> None:
        config["process"]["cwd"] = "relative"
        config["process"]["rlimits"] = [{"type": "RLIMIT_FOO", "soft": 1, "hard": 1}]
        config["mounts"][0]["destination"] = "proc"

    done = bundles.create(bundles.bundle("true", change=spoil), ok=False)

    assert "process.cwd" in done.stderr
    assert "process.rlimits[0].type" in done.stderr
    assert not bundles.leaks()


def test_limits_above_the_largest_signed_number_are_limits(bundles: Bundles) -> None:
    """Found by chance: what Python cannot pass on as it is was told as a bug."""

    def limit(config: Config) -> None:
        config["process"]["rlimits"] = [
            {"type": "RLIMIT_CORE", "soft": 2**63 - 1, "hard": 2**63},
            {"type": "RLIMIT_RTTIME", "soft": 1, "hard": 2**64 - 1},
        ]

    done = bundles.foreground(bundles.bundle("cat", "/proc/self/limits", change=limit))

    found = {line.split("  ")[0]: line.split()[-3:-1] for line in done.stdout.splitlines()}
    assert found["Max core file size"] == [str(2**63 - 1), str(2**63)]
    assert found["Max realtime timeout"] == ["1", "unlimited"]


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("root", {"path": "/no/such/root"}, "/no/such/root"),
        ("root", None, "root"),
        ("linux.cgroupsPath", "system.slice:docker:c1", "linux.cgroupsPath"),
        ("linux.cgroupsPath", "/../../etc", "linux.cgroupsPath"),
        ("process.args", [], "process.args"),
        ("process.user", {"uid": -1, "gid": 0}, "process.user"),
    ],
)
def test_what_cannot_be_is_named(bundles: Bundles, part: str, value: Any, said: str) -> None:
    def spoil(config: Config) -> None:
        *parents, last = part.split(".")
        for each in parents:
            config = config[each]
        config[last] = value

    done = bundles.create(bundles.bundle("true", change=spoil), ok=False)

    assert done.returncode == 1
    assert said in done.stderr
    assert not bundles.leaks()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--preserve-fds", "-1"), "--preserve-fds"),
        (("--preserve-fds", "x"), "--preserve-fds"),
        (("--pid-file", "/no/such/dir/pid"), "--pid-file"),
        (("--frob",), "no such flag: --frob"),
    ],
)
def test_a_flag_that_cannot_be_is_named(
    bundles: Bundles, flags: tuple[str, ...], said: str
) -> None:
    done = bundles.create(bundles.bundle("true"), *flags, ok=False)

    assert done.returncode == 1
    assert said in done.stderr
    assert not bundles.leaks()


def test_descriptors_that_are_not_there_are_not_handed_on(bundles: Bundles) -> None:
    name = bundles.bundle("true")

    done = bundles.foreground(name, "--preserve-fds", "5")

    assert done.returncode == 1
    assert "--preserve-fds" in done.stderr
    assert not bundles.leaks()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("kill", "c1", "FOO"), 'unknown signal \\"FOO\\"'),
        (("exec", "c1"), "process args cannot be empty"),
        (("exec", "--process", "/no/such", "c1"), "--process: cannot read /no/such"),
        (("exec", "-u", "nobody", "c1", "true"), "--user"),
        (("update", "c1"), "nothing to update"),
        (("update", "-r", "/no/such", "c1"), "--resources: cannot read /no/such"),
        (("events", "--interval", "soon", "c1"), "--interval"),
        (("ps", "c1", "-o", "comm"), "no column PID"),
        (("create", "c1"), "no config.json"),
    ],
)
def test_a_request_that_makes_no_sense_changes_nothing(
    bundles: Bundles, words: tuple[str, ...], said: str
) -> None:
    bundles.launch("sleep", "1000", name="c1")

    done = bundles.run(*words, ok=False, cwd=bundles.base)

    assert done.returncode == (255 if words[0] == "exec" else 1)
    assert said in done.stderr
    assert bundles.status("c1") == "running"


def test_commands_on_stopped_and_missing_containers_say_so(bundles: Bundles) -> None:
    name = bundles.bundle("true")
    bundles.foreground(name, "--keep")
    wanted = {
        ("kill", name): "container not running",
        ("start", name): "cannot start a container that has stopped",
        ("exec", name, "true"): "cannot exec in a stopped container",
        ("pause", name): "container not running",
        ("resume", name): "container not paused",
        ("update", "--memory", "9000000", name): "container not running",
        ("events", "--stats", name): "not running",
        ("delete", "nobody"): "container does not exist",
        ("exec", "nobody", "true"): "container does not exist",
    }

    for words, said in wanted.items():
        assert said in bundles.run(*words, ok=False).stderr, words

    assert bundles.run("kill", "--all", name, "KILL").returncode == 0
    assert bundles.run("delete", "--force", "nobody").returncode == 0
    assert json.loads(bundles.run("ps", "-f", "json", name).stdout) == []


def test_a_running_container_is_not_deleted_by_mistake(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000")

    done = bundles.run("delete", name, ok=False)

    assert f"cannot delete container {name} that is not stopped: running" in done.stderr
    assert bundles.status(name) == "running"


def test_an_id_in_use_is_refused(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000")

    done = bundles.create(name, ok=False)

    assert "container with given ID already exists" in done.stderr
    assert bundles.status(name) == "running"


def test_a_group_in_use_is_refused_and_left_alone(bundles: Bundles) -> None:
    first = bundles.launch("sleep", "1000")

    def share(config: Config) -> None:
        config["linux"]["cgroupsPath"] = f"/{bundles.parent}/{first}"

    second = bundles.bundle("true", change=share)
    done = bundles.create(second, ok=False)

    assert done.returncode == 1
    assert first in done.stderr
    assert bundles.status(first) == "running"
    assert "does not exist" in bundles.run("state", second, ok=False).stderr
