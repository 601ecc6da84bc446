"""Show why a task is where it is, or is nowhere: a sentence, then every node."""

from swarm.api.v1 import control_pb2
from swarmctl.tables import Listing

VERDICTS = Listing(
    columns=("Node", "Fits", "Tasks", "Room", "Why"),
    headings={
        "ID": "ID",
        "Node": "NODE",
        "Fits": "FITS",
        "Filter": "FILTER",
        "Tasks": "TASKS",
        "Room": "ROOM",
        "Why": "WHY",
    },
)


def verdict_row(verdict: control_pb2.NodeVerdict) -> dict[str, str]:
    """One line: what a node says."""
    return {
        "ID": verdict.node_id,
        "Node": verdict.hostname,
        "Fits": "yes" if verdict.admits else "no",
        "Filter": verdict.filter,
        "Tasks": str(verdict.tasks),
        "Room": "any" if verdict.room < 0 else str(verdict.room),
        "Why": f"{verdict.filter}: {verdict.detail}" if verdict.filter else verdict.detail,
    }
