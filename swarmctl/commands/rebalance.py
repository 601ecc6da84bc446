"""`swarmctl rebalance`."""

import click

from swarmctl import options
from swarmctl.io.session import Session
from swarmctl.kinds import COUNT
from swarmctl.lazy import Command


@click.command("rebalance", cls=Command)
@click.option("--max-moves", type=COUNT, default=0, help="Move so many tasks at most (0: all)")
@click.option("--dry-run", is_flag=True, help="Show what would be moved, and move nothing")
@options.detach
@click.pass_obj
def rebalance(session: Session, /, *, max_moves: int, dry_run: bool, detach: bool) -> None:
    """Move tasks from full nodes to empty ones, as they would be placed today.

    Tasks move in waves, so that no service has more of them down at once than its
    --max-unavailable or update parallelism allows. Those that are replaced start-first are
    moved without being down. Detached, only the first wave is made.
    """
    from swarmctl.io.rebalancing import Waves

    waves = Waves(session, max_moves=max_moves)
    if dry_run:
        waves.show()
    elif detach:
        waves.make_one()
    else:
        waves.make_all()
