"""Every flag does what it says, or is refused with a reason; and none is forgotten."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from swarm.specs import ServiceSpec
from tests.flags.lab import Lab, laboratory
from tests.flags.page import command_of, flag_of
from tests.flags.rows import COMMANDS, ROWS
from tests.flags.table import Flag, Row, holds

# What Docker has, by docker/cli 29.
BOTH = """
    cap-add cap-drop credential-spec detach endpoint-mode entrypoint health-cmd health-interval
    health-retries health-start-interval health-start-period health-timeout hostname init isolation
    limit-cpu limit-memory limit-pids log-driver log-opt max-concurrent memory-swap
    memory-swappiness no-healthcheck no-resolve-image oom-score-adj quiet read-only replicas
    replicas-max-per-node reserve-cpu reserve-memory restart-condition restart-delay
    restart-max-attempts restart-window rollback-delay rollback-failure-action
    rollback-max-failure-ratio rollback-monitor rollback-order rollback-parallelism
    stop-grace-period stop-signal tty update-delay update-failure-action update-max-failure-ratio
    update-monitor update-order update-parallelism user with-registry-auth workdir
"""
LISTS = """
    config constraint container-label dns dns-option dns-search env generic-resource group host
    label mount network placement-pref publish secret sysctl ulimit
"""
ON_CREATE = f"{BOTH} {LISTS} env-file mode name".split()
ON_UPDATE = f"{BOTH} args force image rollback".split() + [
    f"{name}-{verb}" for name in LISTS.split() for verb in ("add", "rm")
]
SHORT = {"-d", "-e", "-l", "-p", "-q", "-t", "-u", "-w"}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with laboratory(tmp_path) as made:
        yield made


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_flag_does_what_it_says(row: Row, lab: Lab) -> None:
    row.proof.look(lab, row.flag)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_has_a_proof(name: str) -> None:
    proven = {row.flag for row in ROWS if row.command == name}

    assert flags(name) == proven


@pytest.mark.parametrize(
    ("name", "known"), [("service create", ON_CREATE), ("service update", ON_UPDATE)]
)
def test_every_flag_of_docker_is_there(name: str, known: list[str]) -> None:
    assert {f"--{each}" for each in known} <= flags(name)


def test_create_has_dockers_letters() -> None:
    letters = {opt for param in command_of("service create").params for opt in param.opts}

    assert letters >= SHORT


def test_a_proof_that_holds_without_its_flag_is_none() -> None:
    """The table cannot lie: what is expected must not be so anyway."""
    flag = Flag("--x", (), "plan", lambda spec: spec.name, "web")

    with pytest.raises(AssertionError, match="without it 'web' as well"):
        holds(flag, ServiceSpec(name="web"), ServiceSpec(name="web"))
    with pytest.raises(AssertionError, match="with it 'api', expected 'web'"):
        holds(flag, ServiceSpec(name="api"), ServiceSpec(name="db"))


def test_no_flag_is_proven_twice() -> None:
    ids = [row.id for row in ROWS]

    assert len(ids) == len(set(ids))


def flags(name: str) -> set[str]:
    options = [each for each in command_of(name).params if isinstance(each, click.Option)]
    return {flag_of(each) for each in options}
