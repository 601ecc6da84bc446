"""Name what an agent counts: one table, from which the reference page is rendered.

The tasks of each state are counted at the moment of a scrape, from what the agent holds; all
else is counted where it happens.
"""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry

from swarm.metrics import Making, Row
from swarm.states import TaskState

START_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

TABLE = (
    Row("gauge", "swarm_agent_tasks", "Tasks of this node by state.", ("state",)),
    Row("counter", "swarm_agent_container_starts_total", "Containers started."),
    Row(
        "histogram",
        "swarm_agent_container_start_seconds",
        "Time from the order to start until the program ran.",
        buckets=START_S,
    ),
    Row("counter", "swarm_agent_container_start_failures_total", "Containers that did not start."),
    Row("counter", "swarm_agent_task_rejections_total", "Tasks that this node could not prepare."),
    Row("counter", "swarm_agent_container_exits_total", "Containers that ended."),
    Row(
        "counter",
        "swarm_agent_container_oom_kills_total",
        "Containers that were killed at their memory limit.",
    ),
    Row(
        "counter",
        "swarm_agent_container_unhealthy_total",
        "Containers that their health check gave up.",
    ),
    Row("counter", "swarm_agent_image_pulls_total", "Images pulled by how it ended.", ("outcome",)),
    Row("counter", "swarm_agent_image_pulled_bytes_total", "Bytes fetched from registries."),
    Row("gauge", "swarm_agent_session_connected", "1 while a manager is heard."),
    Row("counter", "swarm_agent_session_reconnects_total", "Sessions that stood and broke."),
    Row("counter", "swarm_agent_heartbeats_total", "Heartbeats sent."),
    Row("counter", "swarm_agent_report_batches_total", "Batches of statuses sent."),
    Row("counter", "swarm_agent_reports_total", "Statuses sent."),
    Row(
        "histogram",
        "swarm_agent_network_follow_seconds",
        "Time from hearing of changed networks until the kernel has followed.",
        buckets=START_S,
    ),
    Row("gauge", "swarm_agent_node_cpu_cores", "Cores of this node."),
    Row("gauge", "swarm_agent_node_memory_bytes", "Memory of this node."),
)

_SHOWN = tuple(each for each in TaskState if TaskState.ACCEPTED <= each <= TaskState.REJECTED)


class Metrics:
    """The agent's metrics, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        make = Making(TABLE, prefix="swarm_agent_", registry=self.registry)
        self.tasks = make.gauge("tasks")
        self.starts = make.counter("container_starts_total")
        self.start_seconds = make.histogram("container_start_seconds")
        self.start_failures = make.counter("container_start_failures_total")
        self.rejections = make.counter("task_rejections_total")
        self.exits = make.counter("container_exits_total")
        self.oom_kills = make.counter("container_oom_kills_total")
        self.unhealthy = make.counter("container_unhealthy_total")
        self.pulls = make.counter("image_pulls_total")
        for outcome in ("done", "failed"):
            self.pulls.labels(outcome)
        self.pulled_bytes = make.counter("image_pulled_bytes_total")
        self.connected = make.gauge("session_connected")
        self.reconnects = make.counter("session_reconnects_total")
        self.heartbeats = make.counter("heartbeats_total")
        self.batches = make.counter("report_batches_total")
        self.reports = make.counter("reports_total")
        self.network_follow_seconds = make.histogram("network_follow_seconds")
        self.cpu = make.gauge("node_cpu_cores")
        self.memory = make.gauge("node_memory_bytes")

    def count_tasks(self, states: Callable[[], Mapping[TaskState, int]]) -> None:
        """Have `states` asked when somebody scrapes; a state without tasks is 0, not absent."""
        for state in _SHOWN:

            def count(state: TaskState = state) -> float:
                return states().get(state, 0)

            self.tasks.labels(state.word).set_function(count)
