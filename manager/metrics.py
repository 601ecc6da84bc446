"""Name what a manager counts: one table, from which the reference page is rendered.

Numbers of objects are taken from the view when they are asked for, so that they cannot
drift from it; everything else is counted where it happens. Labels come from closed sets.
"""

from collections import Counter as Count
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from manager.view import ClusterView
from swarm.metrics import Making, Row
from swarm.states import NodeState

SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)

TABLE = (
    Row("gauge", "swarm_manager_leader", "Whether this manager leads the swarm."),
    Row("gauge", "swarm_manager_sessions", "Agents connected to this manager."),
    Row("view", "swarm_manager_services", "Services in the swarm."),
    Row("view", "swarm_manager_nodes", "Nodes by what is believed of them.", ("state",)),
    Row("view", "swarm_manager_tasks", "Tasks by observed state.", ("state",)),
    Row("counter", "swarm_manager_placements_total", "Tasks that were given a node."),
    Row("counter", "swarm_manager_commits_total", "Commits by how they ended.", ("result",)),
    Row("histogram", "swarm_manager_commit_seconds", "Time that a commit took in the store."),
    Row("histogram", "swarm_manager_plan_seconds", "Time that planning one service took."),
    Row(
        "counter",
        "swarm_manager_dispatch_messages_total",
        "Messages to and from agents by kind.",
        ("direction", "kind"),
    ),
    Row(
        "histogram",
        "swarm_manager_status_batch_size",
        "Statuses that were committed together.",
        buckets=SIZES,
    ),
    Row("counter", "swarm_manager_sessions_expired_total", "Sessions that fell silent."),
    Row("histogram", "swarm_manager_rpc_seconds", "Time that calls took.", ("method",)),
    Row("counter", "swarm_manager_rpcs_total", "Calls by status code.", ("method", "code")),
)


class Metrics:
    """The metrics of one manager process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        make = Making(TABLE, prefix="swarm_manager_", registry=self.registry)
        self.leader = make.gauge("leader")
        self.sessions = make.gauge("sessions")
        self.placements = make.counter("placements_total")
        self.commits = make.counter("commits_total")
        self.commit_seconds = make.histogram("commit_seconds")
        self.plan_seconds = make.histogram("plan_seconds")
        self.messages = make.counter("dispatch_messages_total")
        self.batch_size = make.histogram("status_batch_size")
        self.expired = make.counter("sessions_expired_total")
        self.rpc_seconds = make.histogram("rpc_seconds")
        self.rpcs = make.counter("rpcs_total")

    def follow(self, view: Callable[[], ClusterView]) -> None:
        """Have the numbers of objects taken from the view at each scrape."""
        self.registry.register(_Objects(view))


class _Objects(Collector):
    """Counts by service are kept by the view already; a scrape only adds them up."""

    def __init__(self, view: Callable[[], ClusterView]) -> None:
        self._view = view

    def collect(self) -> Iterator[GaugeMetricFamily]:
        view = self._view()
        found = {
            "swarm_manager_services": {"": len(view.services)},
            "swarm_manager_nodes": _nodes(view),
            "swarm_manager_tasks": _tasks(view),
        }
        for row in TABLE:
            if row.kind == "view":
                family = GaugeMetricFamily(row.name, row.help, labels=row.labels)
                for label, count in sorted(found[row.name].items()):
                    family.add_metric([label] if row.labels else [], count)
                yield family


def _nodes(view: ClusterView) -> dict[str, int]:
    counts = Count(view.node_state(node_id).word for node_id in list(view.nodes))
    return {state.word: counts[state.word] for state in NodeState}


def _tasks(view: ClusterView) -> dict[str, int]:
    counts: Count[str] = Count()
    for service_id in {task.service_id for task in list(view.tasks.values())}:
        for (_, _, state), count in list(view.tally(service_id).items()):
            counts[state.word] += count
    return dict(counts)
