"""Take the ports that a service publishes on every node, and give up those that it had.

A port is taken by a key that bears its name, in the same commit as the service: two services never
have one. A port on all addresses and the same port on one of them exclude each other as well,
although their names differ: whoever takes it on one writes a mark, and whoever takes it on all
compares that mark. Ports that a spec leaves open are chosen, and taken, by the leader.
"""

from collections.abc import Iterable, Iterator

from manager import layout
from manager.networks.attaching import publishes_everywhere
from manager.networks.reaching import data_path_ports
from manager.store import Absent, Commit, Compare, Delete, Operation, Put, Unchanged
from manager.view import ClusterView
from swarm.errors import Refused
from swarm.ids import ServiceId
from swarm.specs import Port, Protocol, PublishMode, ServiceSpec

MARKS = "port-mark"


def check_ports(view: ClusterView, service_id: ServiceId | None, spec: ServiceSpec) -> None:
    """`Refused` with who has these ports already: other services, or the nodes among themselves."""
    _check_data_path(view, spec)
    problems = list(_problems(view, service_id, spec))
    if not problems:
        return
    first, holder = problems[0]
    more = f" (and {len(problems) - 1} more ports are taken)" if len(problems) > 1 else ""
    raise Refused(
        first + more,
        hint=f"pick another port, or take it from the other one: swarmctl service update "
        f"--publish-rm … {holder}",
    )


def taking(
    view: ClusterView,
    commit: Commit,
    service_id: ServiceId,
    before: ServiceSpec | None,
    after: ServiceSpec | None,
) -> Commit:
    """`commit`, which makes a service what `after` says, with the ports that change hands."""
    wanted = {layout.port_name(each): each for each in _fixed(after)}
    had = {layout.port_name(each): each for each in _fixed(before)}
    compares, operations = list[Compare](), list[Operation]()
    for name, port in wanted.items():
        if not _is_own(view, name, service_id):
            compares += [_known(view, layout.PORT_NAMES, name), *_guards(view, port)]
            operations.append(_put(layout.PORT_NAMES, name, service_id))
            if port.ip:
                operations.append(_put(MARKS, _bare(port), service_id))
    for name in had:
        if name not in wanted and _is_own(view, name, service_id):
            compares.append(_known(view, layout.PORT_NAMES, name))
            operations.append(Delete(layout.name_key(layout.PORT_NAMES, name)))
    return Commit(
        (*commit.compares, *dict.fromkeys(compares)),
        (*commit.operations, *dict.fromkeys(operations)),
    )


def added_ports(
    before: ServiceSpec | None, after: ServiceSpec
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The places of the ports that nodes do not hold for the service yet.

    First those that every node is to have, then those of the nodes that run a task.
    """
    known = set(before.endpoint.ports) if before is not None else set[Port]()
    asked = [
        (index, port.mode)
        for index, port in enumerate(after.endpoint.ports)
        if port.published and port not in known
    ]
    everywhere = tuple(index for index, mode in asked if mode is PublishMode.INGRESS)
    return everywhere, tuple(index for index, mode in asked if mode is PublishMode.HOST)


def _check_data_path(view: ClusterView, spec: ServiceSpec) -> None:
    own = data_path_ports(view)
    for index, port in enumerate(spec.endpoint.ports):
        if port.protocol is Protocol.UDP and port.published in own:
            raise Refused(
                f"endpoint.ports[{index}].published: {port.published}/udp carries what nodes send "
                "each other for containers",
                hint="publish another port; the nodes' is chosen by: swarmctl init "
                "--data-path-port",
            )


def _problems(
    view: ClusterView, service_id: ServiceId | None, spec: ServiceSpec
) -> Iterator[tuple[str, str]]:
    for index, port in _everywhere(spec):
        for address, holder in sorted(view.port_holders(port.protocol, port.published).items()):
            if holder != service_id and (not port.ip or address in ("", port.ip)):
                service = view.services.get(holder)
                name = service.spec.name if service is not None else holder
                where = f" on {address}" if address else ""
                yield (
                    f"endpoint.ports[{index}].published: {port.published}/{port.protocol.word} is "
                    f"already published{where} by service {name}",
                    name,
                )
                break


def _everywhere(spec: ServiceSpec | None) -> Iterator[tuple[int, Port]]:
    """The ports with a number that every node is to have, with their places."""
    if spec is None or not publishes_everywhere(spec.task, spec.endpoint.ports):
        return
    for index, port in enumerate(spec.endpoint.ports):
        if port.mode is PublishMode.INGRESS and port.published:
            yield index, port


def _fixed(spec: ServiceSpec | None) -> Iterable[Port]:
    return (port for _, port in _everywhere(spec))


def _guards(view: ClusterView, port: Port) -> Iterator[Compare]:
    """That nobody takes it in the other way meanwhile."""
    if port.ip:
        yield _known(view, layout.PORT_NAMES, _bare(port))
    else:
        yield _known(view, MARKS, _bare(port))


def _bare(port: Port) -> str:
    """The name of the same port on all addresses."""
    return f"{port.protocol.word}-{port.published}"


def _known(view: ClusterView, kind: str, name: str) -> Compare:
    key = layout.name_key(kind, name)
    version = view.version(key)
    return Unchanged(key, version) if version else Absent(key)


def _put(kind: str, name: str, service_id: ServiceId) -> Put:
    return Put(layout.name_key(kind, name), service_id.encode())


def _is_own(view: ClusterView, name: str, service_id: ServiceId) -> bool:
    return view.names.get((layout.PORT_NAMES, name)) == service_id
