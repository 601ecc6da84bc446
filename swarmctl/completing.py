"""Complete the names of services and nodes from the running swarm.

A shell that waits for an answer must not show an error, so a swarm that does not answer
simply has no names.
"""

import click

from swarm.errors import SwarmError
from swarmctl.io.session import Session


def services(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of services."""
    del param
    try:
        views = _session(ctx).control.services()
    except SwarmError:
        return []
    names = (view.service.spec.name for view in views)
    return sorted(name for name in names if name.startswith(incomplete))


def stacks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of stacks."""
    from swarmctl.stacks.rows import stack_rows

    del param
    try:
        views = _session(ctx).control.services()
    except SwarmError:
        return []
    return [row["Name"] for row in stack_rows(views) if row["Name"].startswith(incomplete)]


def nodes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Host names of nodes."""
    del param
    try:
        views = _session(ctx).control.nodes()
    except SwarmError:
        return []
    names = (view.node.description.hostname for view in views)
    return sorted(name for name in names if name.startswith(incomplete))


def secrets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of secrets."""
    del param
    try:
        found = _session(ctx).control.secrets()
    except SwarmError:
        return []
    return sorted(each.spec.name for each in found if each.spec.name.startswith(incomplete))


def configs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of configs."""
    del param
    try:
        found = _session(ctx).control.configs()
    except SwarmError:
        return []
    return sorted(each.spec.name for each in found if each.spec.name.startswith(incomplete))


def networks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of networks, also of those that every node has."""
    from swarm.checking.networks import BUILT_IN

    del param
    try:
        found = _session(ctx).networks.list()
    except SwarmError:
        found = []
    names = {*BUILT_IN, *(view.network.spec.name for view in found)}
    return sorted(name for name in names if name.startswith(incomplete))


def tasks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of running tasks, such as `web.1`."""
    from swarm.api.v1 import control_pb2, objects_pb2
    from swarmctl.rows import task_name

    del param
    try:
        views = _session(ctx).control.tasks(control_pb2.ListTasksRequest())
    except SwarmError:
        return []
    running = objects_pb2.TASK_STATE_RUNNING
    names = {task_name(view.task) for view in views if view.observation.state == running}
    return sorted(name for name in names if name.startswith(incomplete))


def images(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of this host's images."""
    from swarmctl.rows import Detail, image_name

    del param
    try:
        found = _session(ctx).images.list()
    except SwarmError:
        return []
    names = {image_name(name, Detail()) for image in found for name in image.references}
    return sorted(name for name in names if name.startswith(incomplete))


def volumes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of this host's volumes."""
    del param
    try:
        found = _session(ctx).volumes.list()
    except SwarmError:
        return []
    return sorted(each.name for each in found if each.name.startswith(incomplete))


def containers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of this host's containers."""
    del param
    try:
        found = _session(ctx).containers.list()
    except SwarmError:
        return []
    return sorted(each.name for each in found if each.name.startswith(incomplete))


def programs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of this host's containers and of running tasks."""
    return containers(ctx, param, incomplete) + tasks(ctx, param, incomplete)


def writers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of all that has logs: containers, services and tasks."""
    return programs(ctx, param, incomplete) + services(ctx, param, incomplete)


def _session(ctx: click.Context) -> Session:
    found = ctx.find_object(Session)
    return found or Session(ctx.find_root().params.get("host"))
