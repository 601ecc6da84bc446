"""Show nodes as Docker's API does, and choose those that a filter selects."""

from collections.abc import Callable, Iterable, Mapping

from engine.cluster.trust import trust_json
from engine.filters import Filters, check, has_labels
from engine.nodes.specs import write_node
from engine.replies import JsonObject
from engine.services.resources import write_amounts
from engine.services.words import ordered, words_of
from engine.stored import described, nonzero, present
from swarm import log_drivers
from swarm.api.v1 import control_pb2
from swarm.codec import from_message
from swarm.errors import Invalid
from swarm.objects import Node
from swarm.specs import BRIDGE, HOST, NetworkDriver, Role
from swarm.states import NodeState
from swarm.volumes import LOCAL

KNOWN = frozenset(("id", "label", "membership", "name", "node.label", "role"))
_MEMBERSHIPS = ("accepted", "pending")

# What every node of this version has.
PLUGINS: Mapping[str, tuple[str, ...]] = {
    "Log": (*filter(None, log_drivers.FILES), log_drivers.NOTHING),
    "Network": (BRIDGE, HOST, "null", NetworkDriver.OVERLAY.word),
    "Volume": (LOCAL,),
}


def node_json(view: control_pb2.NodeView, root_certificate: bytes) -> JsonObject:
    """A node of the swarm that has this root."""
    node = from_message(Node, view.node)
    told = node.description
    return described(
        node.id, version=view.version, created_at=node.created_at, updated_at=node.updated_at
    ) | present(
        Spec=write_node(node.spec),
        Description={
            "Hostname": told.hostname,
            "Platform": {"Architecture": told.arch, "OS": told.os},
            "Resources": write_amounts(told.resources),
            "Engine": {
                "EngineVersion": told.engine_version,
                **nonzero(Labels=ordered(told.engine_labels)),
                "Plugins": [
                    {"Type": kind, "Name": name}
                    for kind in sorted(PLUGINS)
                    for name in PLUGINS[kind]
                ],
            },
            "TLSInfo": trust_json(root_certificate),
        },
        Status={
            "State": NodeState(view.state).word,
            **nonzero(Message=view.message),
            "Addr": told.addr,
        },
        ManagerStatus=_manager_status(view) if node.spec.role is Role.MANAGER else None,
    )


def choose(views: Iterable[control_pb2.NodeView], filters: Filters) -> list[control_pb2.NodeView]:
    """The nodes that pass all `filters`."""
    check(filters, KNOWN)
    for value in filters.get("membership", ()):
        if value.lower() not in _MEMBERSHIPS:
            raise Invalid(f"Invalid membership filter: '{value}'")
    for value in filters.get("role", ()):
        if value.lower() not in words_of(Role):
            raise Invalid(f"Invalid role filter: '{value}'")
    return [
        view
        for view in views
        if has_labels(view.node.description.engine_labels, filters)
        and has_labels(view.node.spec.labels, filters, "node.label")
        and all(
            any(_TESTS[key](view, value) for value in values)
            for key, values in filters.items()
            if values and key in _TESTS
        )
    ]


def _manager_status(view: control_pb2.NodeView) -> JsonObject:
    is_reachable = view.is_leader or NodeState(view.state) is NodeState.READY
    return {
        **nonzero(Leader=view.is_leader),
        "Reachability": "reachable" if is_reachable else "unreachable",
        "Addr": view.manager_addr,
    }


_TESTS: Mapping[str, Callable[[control_pb2.NodeView, str], bool]] = {
    "id": lambda view, text: view.node.id.startswith(text),
    "name": lambda view, text: (
        view.node.description.hostname.startswith(text)
        or (bool(view.node.spec.name) and view.node.spec.name.startswith(text))
    ),
    "role": lambda view, text: Role(view.node.spec.role).word == text.lower(),
    "membership": lambda _, text: text.lower() == "accepted",  # nobody waits to be let in
}
