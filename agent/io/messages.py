"""Put what agents and managers say on the wire, and read it."""

from swarm import codec
from swarm.api.v1 import dispatch_pb2
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
from swarm.objects import NodeDescription

_OUT = {
    Hello: "hello",
    Heartbeat: "heartbeat",
    StatusBatch: "statuses",
    NodeDescription: "description",
    PreflightResult: "preflight_result",
    Goodbye: "goodbye",
}
_IN: dict[str, type[FromManager]] = {
    "welcome": Welcome,
    "snapshot": Snapshot,
    "diff": Diff,
    "heartbeat_ack": HeartbeatAck,
    "status_ack": StatusAck,
    "log_subscription": LogSubscription,
    "log_unsubscription": LogUnsubscription,
    "preflight": Preflight,
    "call_back": CallBack,
    "call_off": CallOff,
}


def encode(value: FromAgent) -> dispatch_pb2.AgentMessage:
    """The wire's form of what we say."""
    message = dispatch_pb2.AgentMessage()
    part = getattr(message, _OUT[type(value)])
    part.CopyFrom(codec.to_message(value))
    part.SetInParent()
    return message


def decode(message: dispatch_pb2.ManagerMessage) -> FromManager | None:
    """What a manager says; None for what only a newer manager says."""
    kind = message.WhichOneof("message")
    if kind is None:
        return None
    return codec.from_message(_IN[kind], getattr(message, kind))
