"""Whatever clients send becomes a message that managers can judge, or is refused with words."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from engine import refusals
from engine.cluster.specs import read_cluster, read_init
from engine.contents.specs import read_config, read_data, read_secret
from engine.networks.specs import read_network, scope_of
from engine.nodes.specs import read_node
from engine.services.specs import read_spec, write_spec
from engine.wire.cluster import ClusterSpecJson, InitJson
from engine.wire.contents import ContentSpecJson
from engine.wire.decoding import decode
from engine.wire.networks import NetworkJson
from engine.wire.nodes import NodeSpecJson
from engine.wire.services import ServiceSpecJson
from swarm.checking.networks import check_network
from swarm.checking.nodes import check_cluster, check_node
from swarm.checks import check_service
from swarm.codec import to_message
from swarm.errors import SwarmError
from swarm.specs import ClusterSpec, NodeSpec
from tests.engine.hostile import documents


def service(asked: ServiceSpecJson) -> None:
    spec = read_spec(asked)
    to_message(spec)
    check_service(spec)
    msgspec.json.encode(write_spec(spec))


def node(asked: NodeSpecJson) -> None:
    spec = read_node(asked, NodeSpec())
    to_message(spec)
    check_node(spec)


def cluster(asked: ClusterSpecJson) -> None:
    spec = read_cluster(asked, ClusterSpec())
    to_message(spec)
    check_cluster(spec)


def founding(asked: InitJson) -> None:
    spec = read_init(asked).spec
    to_message(spec)
    check_cluster(spec)


def network(asked: NetworkJson) -> None:
    scope_of(asked)
    spec = read_network(asked)
    to_message(spec)
    check_network(spec)


def content(asked: ContentSpecJson) -> None:
    read_secret(asked)
    read_config(asked)
    read_data(asked)


READERS: dict[type[Struct], Callable[[Any], None]] = {
    ServiceSpecJson: service,
    NodeSpecJson: node,
    ClusterSpecJson: cluster,
    InitJson: founding,
    NetworkJson: network,
    ContentSpecJson: content,
}


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_law_whatever_is_sent_is_judged_or_refused(kind: type[Struct], data: st.DataObject) -> None:
    body = msgspec.json.encode(data.draw(documents(kind)))

    refusal = outcome(kind, body)

    assert refusal is None or refusals.status_of(refusal) < 500
    assert refusal is None or refusals.words_of(refusal)


def outcome(kind: type[Struct], body: bytes) -> SwarmError | None:
    try:
        READERS[kind](decode(kind, body))
    except SwarmError as err:
        return err
    return None
