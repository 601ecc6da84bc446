"""Whatever clients send of containers becomes what the agent can judge, or words of refusal."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from agent.standalone import checking
from engine import refusals, replies
from engine.builds.reading import read_build
from engine.containers import creating, inspection, resources
from engine.execs import describing
from engine.queries import Query
from engine.versions import LATEST
from engine.wire.containers import ConfigJson, CreateJson, ExecJson, ExecStartJson, ResourcesJson
from engine.wire.decoding import decode
from engine.wire.system import LoginJson
from swarm.api.v1 import containers_pb2 as pb
from swarm.codec import from_message, to_message
from swarm.errors import SwarmError
from swarm.specs import Limits
from swarm.standalone import Shares, StandaloneSpec
from tests.engine.hostile import documents

RUNNING = pb.ContainerView(id="a" * 64, state=pb.CONTAINER_STATE_RUNNING)


def create(asked: CreateJson) -> None:
    spec = creating.read_spec(asked, name="x", version=LATEST)
    message = to_message(spec)
    assert from_message(StandaloneSpec, message) == spec
    replies.encode(inspection.write_host_config(spec))
    view = pb.ContainerView(id="a" * 64, name="x", spec=message)
    found = pb.InspectContainerResponse(container=view)
    replies.encode(inspection.write_inspection(found, version=LATEST))
    checking.check(spec)


def change(asked: ResourcesJson) -> None:
    limits = resources.change_limits(Limits(), Shares(), asked)
    shares = resources.change_shares(Shares(), asked)
    to_message(limits)
    to_message(shares)
    to_message(creating.read_restart(asked.restart_policy))
    checking.check_limits(limits, shares)


def execute(asked: ExecJson) -> None:
    instance = describing.describe("e" * 64, asked, RUNNING)
    describing.start_of(instance, ExecStartJson()).SerializeToString()


READERS: dict[type[Struct], Callable[[Any], None]] = {
    CreateJson: create,
    ResourcesJson: change,
    ExecJson: execute,
    ConfigJson: lambda _: None,
    LoginJson: lambda asked: replies.encode(asked.registry) and None,
}


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_law_whatever_is_sent_is_judged_or_refused(kind: type[Struct], data: st.DataObject) -> None:
    body = msgspec.json.encode(data.draw(documents(kind)))

    refusal = outcome(lambda: READERS[kind](decode(kind, body)))

    assert refusal is None or refusals.status_of(refusal) < 500
    assert refusal is None or refusals.words_of(refusal)


PARAMETERS = (
    "dockerfile",
    "t",
    "extrahosts",
    "remote",
    "q",
    "nocache",
    "cachefrom",
    "pull",
    "rm",
    "forcerm",
    "memory",
    "memswap",
    "cpushares",
    "cpusetcpus",
    "cpuperiod",
    "cpuquota",
    "buildargs",
    "shmsize",
    "squash",
    "labels",
    "networkmode",
    "platform",
    "target",
    "outputs",
    "version",
    "ulimits",
)
ODD = st.text(max_size=6) | st.sampled_from(
    ["1", "-1", "9" * 30, "null", "[]", "{}", '{"a":null}', '{"a":1}', '["x",null]', "\0", "a:b"]
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(PARAMETERS), ODD, max_size=4), ODD)
def test_law_parameters_of_a_build_are_judged_or_refused(
    given_: dict[str, str], header: str
) -> None:
    from urllib.parse import urlencode

    query = Query(urlencode(given_, errors="replace"))

    refusal = outcome(lambda: read_build(query, header).SerializeToString() and None)

    assert refusal is None or refusals.status_of(refusal) == 400


def outcome(read: Callable[[], None]) -> SwarmError | None:
    try:
        read()
    except SwarmError as err:
        return err
    return None
