"""Say what lies at a path in a container, in the header in which Docker's clients look."""

import base64

from engine import replies, times
from swarm.api.v1 import containers_pb2 as pb

STAT_HEADER = "X-Docker-Container-Path-Stat"


def stat_header(stat: pb.PathStat) -> tuple[str, str]:
    """Name and value of the header; the value is JSON in base64."""
    shown = {
        "name": stat.name,
        "size": stat.size_bytes,
        "mode": stat.mode,
        "mtime": times.stamp(stat.modified_at),
        "linkTarget": stat.link_target,
    }
    return STAT_HEADER, base64.b64encode(replies.encode(shown).rstrip()).decode()


def write_changes(changes: "list[pb.PathChange]") -> list[replies.JsonObject] | None:
    """What differs from the image; null when nothing does."""
    return [{"Path": each.path, "Kind": int(each.kind)} for each in changes] or None
