"""`swarmctl inspect`: whatever has that name, on this host or in the swarm."""

from collections.abc import Callable, Mapping, Sequence

import click

from swarm.errors import Missing, Refused, SwarmError
from swarmctl import completing, options
from swarmctl.io.session import Session
from swarmctl.lazy import Command
from swarmctl.spec_details import Object

KINDS = ("container", "image", "volume", "network", "service", "task", "node", "secret", "config")


@click.command("inspect", cls=Command)
@click.argument(
    "names", nargs=-1, required=True, metavar="NAME...", shell_complete=completing.writers
)
@options.inspect_flags
@click.option("-s", "--size", is_flag=True, help="Also how much disk a container takes")
@click.option("--type", "kind", type=click.Choice(KINDS), help="Look among these only")
@click.pass_obj
def inspect(
    session: Session, /, *, names: Sequence[str], form: str, size: bool, kind: str | None
) -> None:
    """Show in full whatever has these names or ids.

    Looked for are containers, images and volumes of this host, and then networks, services, tasks,
    nodes, secrets and configs of the swarm, in this order.
    """
    from swarmctl.commands.service import show_found
    from swarmctl.details import NODE_OPTIONAL, SERVICE_OPTIONAL, TASK_OPTIONAL
    from swarmctl.inspecting import inspected

    finders = _finders(session, with_size=size)
    kinds = (kind,) if kind else KINDS
    show_found(
        session,
        names,
        lambda some: [_found(name, kinds, finders) for name in some],
        lambda found: session.write(
            inspected(found, form=form, optional=SERVICE_OPTIONAL + NODE_OPTIONAL + TASK_OPTIONAL)
        ),
    )


@click.command("inspect", cls=Command)
@click.argument(
    "names", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=completing.containers
)
@options.inspect_flags
@click.option("-s", "--size", is_flag=True, help="Also how much disk it takes")
@click.pass_context
def container(ctx: click.Context, /, *, names: Sequence[str], form: str, size: bool) -> None:
    """Show containers of this host in full."""
    ctx.invoke(inspect, names=names, form=form, size=size, kind="container")


Find = Callable[[str], Object]


def _finders(session: Session, *, with_size: bool) -> Mapping[str, Find]:
    from swarmctl import details
    from swarmctl.containers.details import container_detail
    from swarmctl.contents import content_detail
    from swarmctl.networks import network_detail
    from swarmctl.volumes import volume_detail

    def a_container(name: str) -> Object:
        answer = session.containers.inspect(name, size=with_size)
        return container_detail(answer, with_size=with_size)

    def only(found: Sequence[Object], what: str) -> Object:
        if not found:
            raise Missing(f"no such {what}")
        return found[0]

    return {
        "container": a_container,
        "image": lambda name: details.image_detail(session.images.inspect(name)),
        "volume": lambda name: volume_detail(session.volumes.inspect(name)),
        "network": lambda name: network_detail(session.networks.inspect(name)),
        "service": lambda name: details.service_detail(session.control.service(name)),
        "task": lambda name: details.inspected_task(session.control.inspect_task(name)),
        "node": lambda name: details.node_detail(session.control.node(name)),
        "secret": lambda name: only(
            [content_detail(each) for each in session.control.secrets([name])], "secret"
        ),
        "config": lambda name: only(
            [content_detail(each) for each in session.control.configs([name])], "config"
        ),
    }


def _found(name: str, kinds: Sequence[str], finders: Mapping[str, Find]) -> Object:
    """The first that there is; a swarm that there is not has nothing."""
    for kind in kinds:
        try:
            return finders[kind](name)
        except Missing:
            continue
        except (Refused, SwarmError):
            if len(kinds) == 1:
                raise
    word = kinds[0] if len(kinds) == 1 else "object"
    raise Missing(f"no such {word}: {name}", hint="`swarmctl ps -a` lists this host's containers")
