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


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with laboratory(tmp_path) as made:
        yield made


# Preemption is on its way: the strict mark fails as soon as it is there.
UNTIL_PREEMPTION = pytest.mark.xfail(strict=True, reason="lower priorities do not give way yet")


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.id, marks=UNTIL_PREEMPTION if row.flag == "--priority" else ())
        for row in ROWS
    ],
)
def test_a_flag_does_what_it_says(row: Row, lab: Lab) -> None:
    row.proof.look(lab, row.flag)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_has_a_proof(name: str) -> None:
    proven = {row.flag for row in ROWS if row.command == name}

    assert flags(name) == proven


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
