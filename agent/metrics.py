"""Declare every metric of the agent, in one table.

Counters end in `_total`; labels come from closed sets and never hold ids.
"""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from swarm.states import TaskState

_START_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

_SHOWN = tuple(each for each in TaskState if TaskState.ACCEPTED <= each <= TaskState.REJECTED)


class Metrics:
    """The agent's metrics, on a registry of their own."""

    def __init__(self) -> None:
        at = self.registry = CollectorRegistry()
        self.tasks = Gauge(
            "swarm_agent_tasks", "Tasks of this node by state", ["state"], registry=at
        )
        self.starts = Counter("swarm_agent_container_starts", "Containers started", registry=at)
        self.start_seconds = Histogram(
            "swarm_agent_container_start_seconds",
            "From the order to start until the program runs",
            buckets=_START_BUCKETS_S,
            registry=at,
        )
        self.start_failures = Counter(
            "swarm_agent_container_start_failures", "Containers that did not start", registry=at
        )
        self.rejections = Counter(
            "swarm_agent_task_rejections", "Tasks that this node could not prepare", registry=at
        )
        self.exits = Counter("swarm_agent_container_exits", "Containers that ended", registry=at)
        self.oom_kills = Counter(
            "swarm_agent_container_oom_kills", "Containers killed at their limit", registry=at
        )
        self.pulls = Counter("swarm_agent_image_pulls", "Images pulled", ["outcome"], registry=at)
        for outcome in ("done", "failed"):
            self.pulls.labels(outcome)
        self.pulled_bytes = Counter(
            "swarm_agent_image_pulled_bytes", "Bytes fetched from registries", registry=at
        )
        self.connected = Gauge(
            "swarm_agent_session_connected", "1 while a manager is heard", registry=at
        )
        self.reconnects = Counter(
            "swarm_agent_session_reconnects", "Sessions that stood and broke", registry=at
        )
        self.heartbeats = Counter("swarm_agent_heartbeats", "Heartbeats sent", registry=at)
        self.batches = Counter(
            "swarm_agent_report_batches", "Batches of statuses sent", registry=at
        )
        self.reports = Counter("swarm_agent_reports", "Statuses sent", registry=at)
        self.cpu = Gauge("swarm_agent_node_cpu_cores", "Cores of this node", registry=at)
        self.memory = Gauge("swarm_agent_node_memory_bytes", "Memory of this node", registry=at)

    def count_tasks(self, states: Callable[[], Mapping[TaskState, int]]) -> None:
        """Have `states` asked when somebody scrapes; a state without tasks is 0, not absent."""
        for state in _SHOWN:

            def count(state: TaskState = state) -> float:
                return states().get(state, 0)

            self.tasks.labels(state.word).set_function(count)
