"""Keep what nodes fetch a service's images with.

A login is for the registry of the image that it was given with. Another one for that registry
takes its place, those for other registries stay: a rollback to an image of one of them finds
its own. It is stored in the same transaction as the service, whose key every such commit
compares, and goes with it. No call returns it; tasks that wait for it have `registry_login`.
"""

from random import Random

from msgspec import structs

from manager import layout
from manager.store import Commit, Put
from manager.view import ClusterView
from swarm.codec import pack
from swarm.dispatch import Content
from swarm.errors import Invalid
from swarm.ids import ServiceId
from swarm.images.credentials import Credentials
from swarm.images.logins import pack_logins, parse_logins
from swarm.images.reference import parse_reference
from swarm.objects import Login
from swarm.sealing import DataKey, seal, unseal
from swarm.specs import ServiceSpec

MOST_BYTES = 64 << 10


def purpose(service_id: ServiceId) -> str:
    """What its data is sealed for: nothing else opens it."""
    return f"login/{service_id}"


def marked(
    view: ClusterView, service_id: ServiceId | None, spec: ServiceSpec, *, given: bool
) -> ServiceSpec:
    """`spec`, whose tasks wait for a login if the service has one, or is `given` one."""
    waits = given or service_id in view.logins
    return structs.replace(spec, task=structs.replace(spec.task, registry_login=waits))


def known(view: ClusterView, key: DataKey, service_id: ServiceId, image: str) -> Credentials | None:
    """The login that a service has for the registry of `image`. `Refused` for another key."""
    content = opened(view, key, service_id)
    return _of(content).get(parse_reference(image).registry)


def changed(
    view: ClusterView,
    key: DataKey,
    service_id: ServiceId,
    image: str,
    given: Credentials | None,
    *,
    random: Random,
) -> Login | None:
    """What to store when a service is `given` a login for `image`; None when nothing changes."""
    if given is None:
        return None
    stored, content = view.logins.get(service_id), opened(view, key, service_id)
    data = pack_logins({**_of(content), parse_reference(image).registry: given})
    if content is not None and content.data == data:
        return None
    if len(data) > MOST_BYTES:
        raise Invalid(
            f"registry_auth: {len(data)} bytes with the logins that the service has are more "
            f"than {MOST_BYTES}",
            hint="create the service anew, with no other login than it needs",
        )
    sealed = seal(key, data, purpose=purpose(service_id), random=random)
    version = stored.version + 1 if stored is not None else 1
    return Login(service_id=service_id, data=sealed, version=version)


def storing(commit: Commit, login: Login | None) -> Commit:
    """`commit` of a service, with its login."""
    if login is None:
        return commit
    put = Put(layout.login_key(login.service_id), pack(login))
    return Commit(commit.compares, (*commit.operations, put))


def opened(view: ClusterView, key: DataKey, service_id: ServiceId) -> Content | None:
    """What a node is given; None when there is none. `Refused` for another key."""
    login = view.logins.get(service_id)
    if login is None:
        return None
    data = unseal(key, login.data, purpose=purpose(service_id))
    return Content(id=service_id, version=login.version, data=data)


def _of(content: Content | None) -> dict[str, Credentials]:
    return parse_logins(content.data) if content is not None else {}
