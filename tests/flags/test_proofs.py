"""No proof holds of a flag that does nothing: the table cannot lie."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import click
import pytest
from click.core import ParameterSource

from swarm.specs import ServiceSpec
from tests.flags.commands import ITSELF
from tests.flags.lab import Lab
from tests.flags.rows import ROWS
from tests.flags.table import Flag, Row, holds, says

HERE = [row for row in ROWS if not row.proof.elsewhere]


@contextmanager
def ignored(row: Row) -> Iterator[None]:
    """Have the command take the flag and forget it."""
    consume = click.Option.consume_value

    def forget(option: click.Option, ctx: click.Context, given: Any) -> Any:
        is_meant = max(option.opts, key=len) == row.flag
        if is_meant and (ctx.parent is None) == (row.command == ITSELF):
            return option.get_default(ctx), ParameterSource.DEFAULT
        return consume(option, ctx, given)

    with patch.object(click.Option, "consume_value", forget):
        yield


@pytest.mark.parametrize("row", HERE, ids=lambda row: row.id)
def test_a_flag_that_does_nothing_has_no_proof(row: Row, lab: Lab) -> None:
    with ignored(row), pytest.raises((Exception, pytest.fail.Exception)):
        row.proof.look(lab, row.flag)


def test_a_proof_that_holds_without_its_flag_is_none() -> None:
    """The table cannot lie: what is expected must not be so anyway."""
    flag = Flag("--x", (), "plan", lambda spec: spec.name, "web")

    with pytest.raises(AssertionError, match="without it 'web' as well"):
        holds(flag, ServiceSpec(name="web"), ServiceSpec(name="web"))
    with pytest.raises(AssertionError, match="with it 'api', expected 'web'"):
        holds(flag, ServiceSpec(name="api"), ServiceSpec(name="db"))


def test_a_proof_elsewhere_has_to_be_there_and_say_the_flag() -> None:
    path = "tests/swarmctl/commands/test_program.py"

    says(f"{path}::test_a_terminal_is_raw_while_the_program_has_it", "exec", ("-t", "--tty"))
    says(f"{path}::test_attach_without_a_proxy_leaves_at_a_signal", "attach", ("--sig-proxy",))
    with pytest.raises(AssertionError, match="there is no"):
        says(f"{path}::test_nothing_of_the_kind", "exec", ("-i",))
    with pytest.raises(AssertionError, match="does not run attach"):
        says(f"{path}::test_without_i_nothing_is_read", "attach", ("-i",))
    with pytest.raises(AssertionError, match="does not say"):
        says(f"{path}::test_without_i_nothing_is_read", "exec", ("-i", "--interactive"))
