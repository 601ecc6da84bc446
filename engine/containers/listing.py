"""List containers: a line of each, and which of them a filter selects.

Names and ids are patterns, as they always were with Docker. Without `all` only those are listed
that are up, unless a filter asks how they are.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from engine.containers import endpoints, inspection, ports, states
from engine.filters import Filters, check, has_labels, truth
from engine.replies import JsonObject
from engine.versions import Version
from swarm.api.v1 import containers_pb2 as pb
from swarm.errors import Invalid, Missing
from swarm.images.reference import parse_reference
from swarm.specs import BRIDGE
from swarm.standalone import ContainerState

KNOWN = (
    *("ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation"),
    *("label", "name", "network", "publish", "since", "status", "volume"),
)
_STATES = tuple(each.word for each in ContainerState)
_HEALTHS = ("none", "starting", "healthy", "unhealthy")
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?")

Views = Sequence[pb.ContainerView]
Test = Callable[[pb.ContainerView, str], bool]


class Listing(Struct, frozen=True, kw_only=True):
    """What is to be listed; `limit` 0 is no bound."""

    filters: Filters
    every: bool = False
    limit: int = 0


def choose(views: Views, asked: Listing, *, ancestors: Mapping[str, frozenset[str]]) -> Views:
    """Those of `views` (the newest first) that are asked for.

    `ancestors` are the ids of images that descend from each value of `ancestor`.
    """
    filters = asked.filters
    check(filters, KNOWN)
    tests = _tests(views, filters, ancestors)
    every = asked.every or asked.limit > 0 or any(filters.get(k) for k in ("status", "exited"))
    found = [
        view
        for view in views
        if (every or states.is_up(view))
        and has_labels(view.labels, filters)
        and all(any(test(view, value) for value in filters[key]) for key, test in tests)
    ]
    return found[: asked.limit] if asked.limit > 0 else found


def find(views: Views, text: str) -> pb.ContainerView:
    """The container that an id, the beginning of one or a name means."""
    for view in views:
        if text in (view.id, view.name) or text == f"/{view.name}":
            return view
    begin = [view for view in views if text and view.id.startswith(text)]
    if len(begin) != 1:
        raise Missing(f"No such container: {text}")
    return begin[0]


def write_line(
    view: pb.ContainerView,
    *,
    image: str,
    also: Iterable[str] = (),
    sized: bool,
    now: float,
    version: Version,
) -> JsonObject:
    """One container as lists have it.

    `image` is what its image is called now, and `also` what others call the container.
    """
    shown: JsonObject = {
        "Id": view.id,
        "Names": list(dict.fromkeys((f"/{view.name}", *also))),
        "Image": image,
        "ImageID": view.image_id,
        "Command": _command(view.args),
        "Created": int(view.created_at),
        "Ports": ports.write_list(view.exposed, endpoints.published(view))
        if states.is_up(view)
        else [],
        "Labels": dict(view.labels),
        "State": states.state_of(view).word,
        "Status": states.status(view, now=now),
        "HostConfig": {"NetworkMode": view.spec.network_mode or BRIDGE},
        "NetworkSettings": {"Networks": endpoints.write_networks(view, version)},
        "Mounts": [inspection.write_mount_point(each) for each in view.mounts],
    }
    if view.spec.annotations:
        shown["HostConfig"]["Annotations"] = dict(view.spec.annotations)
    if sized:
        shown["SizeRw"] = view.written_bytes
        shown["SizeRootFs"] = view.root_bytes
    return shown


def image_name(view: pb.ContainerView, ids: Mapping[str, str] | None) -> str:
    """What a container's image is called: by its id, once its name means another one, or none.

    `ids` are what familiar names mean now; None where that is not known.
    """
    asked = view.spec.container.image
    if ids is None:
        return asked
    try:
        reference = parse_reference(asked).with_default_tag()
    except Invalid:
        return asked
    prefix = asked.removeprefix("sha256:")
    if reference.digest or not view.image_id or view.image_id[7:].startswith(prefix):
        return asked
    return asked if ids.get(reference.familiar) == view.image_id else view.image_id


def _command(args: Iterable[str]) -> str:
    first, *rest = tuple(args) or ("",)
    return " ".join((first, *(f"'{each}'" if " " in each else each for each in rest)))


def _tests(
    views: Views, filters: Filters, ancestors: Mapping[str, frozenset[str]]
) -> list[tuple[str, Test]]:
    marks = (*filters.get("before", ()), *filters.get("since", ()))
    moments = {text: find(views, text).created_at for text in marks}
    tests: dict[str, Test] = {
        "ancestor": lambda view, text: view.image_id in ancestors.get(text, frozenset()),
        "before": lambda view, text: view.created_at < moments[text],
        "exited": _has_exited,
        "expose": lambda view, text: _has_port(view.exposed, text),
        "health": lambda view, text: states.health_of(view) == text,
        "id": lambda view, text: _matches(view.id, text),
        "isolation": lambda _, text: text in ("", "default"),
        "name": lambda view, text: _matches(f"/{view.name}", text) or _matches(view.name, text),
        "network": _is_in,
        "publish": lambda view, text: _has_port(
            (f"{each.target}/{('tcp', 'udp', 'sctp')[each.protocol]}" for each in view.ports), text
        ),
        "since": lambda view, text: view.created_at > moments[text],
        "status": lambda view, text: states.state_of(view).word == text,
        "volume": _has_volume,
    }
    _check_words(filters, "status", _STATES)
    _check_words(filters, "health", _HEALTHS)
    chosen = [(key, tests[key]) for key, values in filters.items() if values and key in tests]
    of_tasks = truth(filters, "is-task")
    if of_tasks is not None:
        chosen.append(("is-task", lambda view, _: bool(view.task_id) is of_tasks))
    return chosen


def _check_words(filters: Filters, key: str, known: tuple[str, ...]) -> None:
    for value in filters.get(key, ()):
        if value not in known:
            raise Invalid(f"invalid filter '{key}={value}'", hint=f"there are {', '.join(known)}")


def _matches(text: str, pattern: str) -> bool:
    if text == pattern:
        return True
    try:
        return re.search(pattern, text) is not None
    except (re.error, RecursionError, OverflowError):
        return False


def _has_exited(view: pb.ContainerView, text: str) -> bool:
    try:
        code = int(text)
    except ValueError as err:
        raise Invalid(f"invalid filter 'exited={text}'", hint="write an exit code") from err
    is_over = states.state_of(view) in (ContainerState.EXITED, ContainerState.DEAD)
    return is_over and view.exit_code == code


def _is_in(view: pb.ContainerView, text: str) -> bool:
    return any(
        text in (each.network_name, each.network_id)
        or (len(text) >= 12 and each.network_id.startswith(text))
        for each in view.endpoints
    )


def _has_volume(view: pb.ContainerView, text: str) -> bool:
    return any(text in (each.volume, each.target, each.source) for each in view.mounts)


def _has_port(ports_: Iterable[str], text: str) -> bool:
    found = _PORT.fullmatch(text)
    if found is None:
        raise Invalid(f"invalid filter port '{text}'", hint="write it like 80, 80-90 or 53/udp")
    first, last, protocol = int(found[1]), int(found[2] or found[1]), found[3] or "tcp"
    return any(
        first <= int(number) <= last and kind == protocol
        for number, _, kind in (each.partition("/") for each in ports_)
    )
