"""Print what nodes found of each other in a network, and say whether all is well."""

from collections.abc import Iterable

from swarm.api.v1 import control_pb2
from swarmctl.pipes import Value
from swarmctl.spec_details import Object
from swarmctl.tables import aligned

HEADINGS = ("FROM", "TO", "STATUS", "RTT", "LARGEST", "PROBLEM")


def table(reports: Iterable[control_pb2.NetworkReport]) -> str:
    """One line for each pair of nodes, and one for each other problem of a node."""
    lines: list[tuple[str, ...]] = [HEADINGS]
    for report in sorted(reports, key=lambda each: (each.hostname, each.node_id)):
        name = report.hostname or report.node_id
        if report.unreachable:
            lines.append((name, "-", "unknown", "-", "-", report.unreachable))
        for problem in report.problems:
            lines.append((name, "-", "broken", "-", "-", problem))
        for peer in sorted(report.peers, key=lambda each: (each.hostname, each.node_id)):
            lines.append((name, *_peer(peer)))
    return aligned(lines)


def faults(reports: Iterable[control_pb2.NetworkReport]) -> int:
    """How many lines of the table tell of something that is not well."""
    return sum(
        bool(report.unreachable)
        + len(report.problems)
        + sum(not peer.reachable or bool(peer.error) for peer in report.peers)
        for report in reports
    )


def detail(report: control_pb2.NetworkReport) -> Object:
    """A report for templates and JSON."""
    peers: list[Value] = [
        {
            "ID": peer.node_id,
            "Hostname": peer.hostname,
            "Reachable": peer.reachable,
            "RoundTrip": round(peer.round_trip_s * 1e9),
            "LargestPacket": peer.largest_bytes,
            "Error": peer.error,
        }
        for peer in report.peers
    ]
    return {
        "ID": report.node_id,
        "Hostname": report.hostname,
        "MTU": report.mtu,
        "Peers": peers,
        "Problems": list(report.problems),
        "Unreachable": report.unreachable,
    }


def _peer(peer: control_pb2.PeerReport) -> tuple[str, ...]:
    status = "unreachable" if not peer.reachable else "impaired" if peer.error else "ok"
    took = f"{peer.round_trip_s * 1e3:.2f}ms" if peer.reachable else "-"
    largest = str(peer.largest_bytes) if peer.largest_bytes else "-"
    return peer.hostname or peer.node_id, status, took, largest, peer.error
