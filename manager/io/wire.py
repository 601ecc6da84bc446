"""Put values on the wire and take them off it, message by message."""

from typing import Any

from msgspec import Struct

from swarm.api.v1 import dispatch_pb2
from swarm.codec import from_message, to_message
from swarm.dispatch import (
    CallBack,
    CallOff,
    Diff,
    FromAgent,
    FromManager,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    Hello,
    LogSubscription,
    LogUnsubscription,
    Preflight,
    PreflightResult,
    Snapshot,
    StatusAck,
    StatusBatch,
    Welcome,
)
from swarm.errors import Invalid
from swarm.objects import NodeDescription

_FROM_AGENT: dict[str, type[FromAgent]] = {
    "hello": Hello,
    "heartbeat": Heartbeat,
    "statuses": StatusBatch,
    "description": NodeDescription,
    "preflight_result": PreflightResult,
    "goodbye": Goodbye,
}
_TO_AGENT: dict[type[Struct], str] = {
    Welcome: "welcome",
    Snapshot: "snapshot",
    Diff: "diff",
    HeartbeatAck: "heartbeat_ack",
    StatusAck: "status_ack",
    LogSubscription: "log_subscription",
    LogUnsubscription: "log_unsubscription",
    Preflight: "preflight",
    CallBack: "call_back",
    CallOff: "call_off",
}


def read_agent(message: dispatch_pb2.AgentMessage) -> FromAgent:
    """What an agent says; `Invalid` when it says nothing that we understand."""
    chosen = message.WhichOneof("message")
    if chosen is None:
        raise Invalid("message: empty, or of a kind that this manager does not know")
    return from_message(_FROM_AGENT[chosen], getattr(message, chosen))


def write_agent(value: FromManager) -> dispatch_pb2.ManagerMessage:
    """The message that tells an agent `value`."""
    message: Any = to_message(value)
    return dispatch_pb2.ManagerMessage(**{_TO_AGENT[type(value)]: message})


def kind_of(value: FromManager) -> str:
    """The message's name, as metrics label it."""
    return _TO_AGENT[type(value)]
