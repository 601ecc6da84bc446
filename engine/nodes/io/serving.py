"""Serve nodes: show, change and remove them."""

from engine import replies
from engine.cluster.io.managing import managing, status
from engine.io.exchange import Exchange, Handler
from engine.nodes.showing import choose, node_json
from engine.nodes.specs import read_node
from engine.replies import Reply
from engine.routing import Route
from engine.services.io.serving import out_of_sequence, version_of
from engine.wire.nodes import NodeSpecJson
from swarm.api.v1 import control_pb2
from swarm.codec import from_message, to_message
from swarm.errors import Conflict
from swarm.specs import NodeSpec


async def list_nodes(ask: Exchange) -> Reply:
    """GET /nodes"""
    filters = ask.query.filters()
    async with managing(ask) as control:
        found = await control.ListNodes(control_pb2.ListNodesRequest())
    chosen = choose(found.nodes, filters)
    root = await _root(ask)
    return replies.json([node_json(each, root) for each in chosen])


async def inspect_node(ask: Exchange) -> Reply:
    """GET /nodes/{id}"""
    view = await _find(ask, ask.params["id"])
    return replies.json(node_json(view, await _root(ask)))


async def update_node(ask: Exchange) -> Reply:
    """POST /nodes/{id}/update"""
    asked, version = await ask.decoded(NodeSpecJson), version_of(ask, "node")
    view = await _find(ask, ask.params["id"])
    spec = read_node(asked, from_message(NodeSpec, view.node.spec))
    async with managing(ask) as control:
        try:
            await control.UpdateNode(
                control_pb2.UpdateNodeRequest(
                    node_id=view.node.id, version=version, spec=to_message(spec)
                )
            )
        except Conflict as err:
            raise out_of_sequence(err) from err
    return replies.nothing(200)


async def remove_node(ask: Exchange) -> Reply:
    """DELETE /nodes/{id}"""
    request = control_pb2.RemoveNodeRequest(node_id=ask.params["id"], force=ask.query.flag("force"))
    async with managing(ask) as control:
        await control.RemoveNode(request)
    return replies.nothing(200)


async def _find(ask: Exchange, text: str) -> control_pb2.NodeView:
    if text == "self":
        text = (await status(ask)).node_id or text
    async with managing(ask) as control:
        found = await control.ListNodes(control_pb2.ListNodesRequest(nodes=[text]))
    return found.nodes[0]


async def _root(ask: Exchange) -> bytes:
    async with managing(ask) as control:
        found = await control.GetCluster(control_pb2.GetClusterRequest())
    return found.cluster.root_certificate


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/nodes", list_nodes),
    Route("GET", "/nodes/{id}", inspect_node),
    Route("POST", "/nodes/{id}/update", update_node),
    Route("DELETE", "/nodes/{id}", remove_node),
)
