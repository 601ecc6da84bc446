"""Say what an agent and a manager tell each other, without the wire.

Every class mirrors the message of the same name in `proto/swarm/api/v1/dispatch.proto`, so
`swarm.codec` translates it. The pure halves of both sides speak in these values: that is
what lets a simulation join them without a network.
"""

from msgspec import Struct

from swarm.ids import TaskId
from swarm.objects import NodeDescription, Observation, SpecVersion, Task
from swarm.specs import Port, TaskSpec
from swarm.states import TaskState
from swarm.topology import Topology


class Hello(Struct, frozen=True, kw_only=True):
    """Open a session; `digest` covers the assignments that the agent holds."""

    description: NodeDescription = NodeDescription()
    digest: str = ""
    statuses: tuple[Observation, ...] = ()


class Heartbeat(Struct, frozen=True, kw_only=True):
    """The agent lives."""


class Goodbye(Struct, frozen=True, kw_only=True):
    """The node leaves the swarm, and its containers have ended. Nothing follows."""


class StatusBatch(Struct, frozen=True, kw_only=True):
    """What happened to tasks; repeated until `StatusAck(sequence)` says it is committed."""

    sequence: int = 0
    statuses: tuple[Observation, ...] = ()


class PreflightResult(Struct, frozen=True, kw_only=True):
    """Why the node could not run a task; no problem means that it could."""

    preflight_id: str = ""
    problems: tuple[str, ...] = ()


class Welcome(Struct, frozen=True, kw_only=True):
    """The session stands. `in_sync`: the digests agreed, so no snapshot follows."""

    session_id: str = ""
    heartbeat_s: float = 1.0
    managers: tuple[str, ...] = ()
    in_sync: bool = False


class Assignment(Struct, frozen=True, kw_only=True):
    """A task of this node, the revision of its last change, and what the node last said of it."""

    task: Task
    revision: int = 0
    observed: TaskState = TaskState.NEW


class Content(Struct, frozen=True, kw_only=True):
    """A secret or a config in clear, for a node that runs a task with it."""

    id: str = ""
    version: int = 0
    data: bytes = b""
    templated: bool = False

    def __repr__(self) -> str:
        return f"Content({self.id}, version {self.version})"


class Snapshot(Struct, frozen=True, kw_only=True):
    """All that the node should hold; whatever else it holds is to be stopped."""

    sequence: int = 0
    assignments: tuple[Assignment, ...] = ()
    specs: tuple[SpecVersion, ...] = ()
    contents: tuple[Content, ...] = ()
    topology: Topology = Topology()


class Diff(Struct, frozen=True, kw_only=True):
    """What changed since the message with the sequence number before this one."""

    sequence: int = 0
    changed: tuple[Assignment, ...] = ()
    removed: tuple[TaskId, ...] = ()
    specs: tuple[SpecVersion, ...] = ()
    contents: tuple[Content, ...] = ()
    topology: Topology = Topology()


class HeartbeatAck(Struct, frozen=True, kw_only=True):
    """The manager lives."""


class StatusAck(Struct, frozen=True, kw_only=True):
    """All statuses up to the batch with this number are committed."""

    sequence: int = 0


class LogSubscription(Struct, frozen=True, kw_only=True):
    """Publish these tasks' logs; `tail` is lines per task, negative for all of them."""

    subscription_id: str = ""
    task_ids: tuple[TaskId, ...] = ()
    follow: bool = False
    tail: int = -1
    since: float = 0.0
    stdout: bool = True
    stderr: bool = True


class LogUnsubscription(Struct, frozen=True, kw_only=True):
    """Nobody reads any more."""

    subscription_id: str = ""


class Preflight(Struct, frozen=True, kw_only=True):
    """Would this node be able to run `task`, which is not asked if it has no image?

    Is each of `ports` free on the host, and does none of `subnets` (CIDR) hit what the host itself
    reaches or has? Problems begin with `ports[2]` and `subnets[0]`, by their place here.
    """

    preflight_id: str = ""
    task: TaskSpec = TaskSpec()
    ports: tuple[Port, ...] = ()
    subnets: tuple[str, ...] = ()


class CallBack(Struct, frozen=True, kw_only=True):
    """There is something to talk about: open a `Converse` stream with this id."""

    call_id: str = ""


class CallOff(Struct, frozen=True, kw_only=True):
    """Nobody talks there any more."""

    call_id: str = ""


FromAgent = Hello | Heartbeat | StatusBatch | NodeDescription | PreflightResult | Goodbye
FromManager = (
    Welcome
    | Snapshot
    | Diff
    | HeartbeatAck
    | StatusAck
    | LogSubscription
    | LogUnsubscription
    | Preflight
    | CallBack
    | CallOff
)
