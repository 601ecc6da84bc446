"""`swarmctl builder ls|prune`: what the builder of this host remembers."""

from collections.abc import Sequence

import click

from swarmctl import options
from swarmctl.io.session import Session
from swarmctl.lazy import Command

_LEAST = 1e-6  # 0 is no bound, and not 1970


@click.command("ls", cls=Command)
@options.form
@click.option("--no-trunc", is_flag=True, help="Print ids and steps in full")
@click.option("-q", "--quiet", is_flag=True, help="Print ids only")
@click.pass_obj
def ls(session: Session, /, *, form: str, no_trunc: bool, quiet: bool) -> None:
    """List what the builder remembers, the latest used first."""
    from swarmctl.caches import CACHE, cache_rows
    from swarmctl.io.caches import Caches
    from swarmctl.rows import Detail
    from swarmctl.tables import listed

    rows = list(cache_rows(Caches(session.channel).list(), Detail(full=no_trunc)))
    session.write(listed(rows, CACHE, form=form, quiet=quiet))


@click.command("prune", cls=Command)
@click.option("-a", "--all", "everything", is_flag=True, help="What images consist of, too")
@click.option("-f", "--force", is_flag=True, help="Do not ask")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="until=…")
@click.option("--keep-storage", default="0", metavar="BYTES", help="What may stay")
@click.pass_obj
def prune(
    session: Session, /, *, everything: bool, force: bool, filters: Sequence[str], keep_storage: str
) -> None:
    """Have the builder forget what it remembers."""
    from swarm.api.v1 import builds_pb2 as pb
    from swarm.quantities import format_size, parse_bytes
    from swarmctl.filters import parse_filters
    from swarmctl.io.asking import agreed
    from swarmctl.io.caches import Caches
    from swarmctl.times import parse_since

    until = parse_filters(filters, known=("until",)).get("until", ())
    moments = [parse_since(each, now=session.now()) for each in until]
    request = pb.PruneBuildCacheRequest(
        all=everything,
        keep_bytes=parse_bytes(keep_storage),
        unused_since=max(min(moments), _LEAST) if moments else 0.0,
    )
    which = "all build cache" if everything else "all dangling build cache"
    if not force and not agreed(
        f"WARNING! This will remove {which}.\nAre you sure you want to continue?"
    ):
        return
    answer = Caches(session.channel).prune(request)
    if answer.removed:
        session.say("Deleted build cache objects:")
        for each in answer.removed:
            session.say(each)
        session.say("")
    session.say(f"Total reclaimed space: {format_size(answer.reclaimed_bytes)}")
