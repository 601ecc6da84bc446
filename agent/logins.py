"""Decide who a task's image is fetched as, and say what to do when that is not enough.

The managers give a node the logins of a service only, each for the registry that it was given
for. They are in memory as secrets are, and forgotten with them.
"""

from swarm.dispatch import Content
from swarm.errors import Refused
from swarm.images.credentials import Credentials
from swarm.images.logins import parse_logins
from swarm.images.reference import parse_reference
from swarm.objects import Task


def login_for(image: str, content: Content) -> Credentials | None:
    """The login for the registry of `image`, if the service has one for it."""
    return parse_logins(content.data).get(parse_reference(image).registry)


def refused(err: Refused, task: Task, login: Credentials | None) -> Refused:
    """What a registry said that did not want us, with what to do, for `service ps` to show."""
    name = task.service_name
    said = f"service {name} has no login for it" if login is None else "its login does not do"
    return Refused(f"{err.message}; {said}: swarmctl service update --with-registry-auth {name}")
