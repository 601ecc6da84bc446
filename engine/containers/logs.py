"""Decide what of a container's log a client sees, and how its lines are written."""

from msgspec import Struct

from engine import times
from engine.framing import STDERR, STDOUT, frame
from engine.queries import Query
from engine.refusals import NOT_IMPLEMENTED, Denied
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2
from swarm.errors import Invalid
from swarm.log_drivers import NOTHING


class Reading(Struct, frozen=True, kw_only=True):
    """How lines are written: with their times, with (always empty) details, in frames."""

    framed: bool
    timestamps: bool = False
    details: bool = False


def read_request(
    query: Query, view: pb.ContainerView, *, now: float
) -> pb.ReadContainerLogsRequest:
    """What the agent is asked for; raises when there is nothing to be read."""
    if not (query.flag("stdout") or query.flag("stderr")):
        raise Invalid("Bad parameters: you must choose at least one stream")
    if view.spec.log_driver.name == NOTHING:
        raise Denied(NOT_IMPLEMENTED, "configured logging driver does not support reading")
    return pb.ReadContainerLogsRequest(
        container=view.id,
        follow=query.flag("follow"),
        tail=_tail(query),
        since=times.moment(query.text("since"), now=now, name="since"),
        until=times.moment(query.text("until"), now=now, name="until"),
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
    )


def write_lines(lines: "list[control_pb2.LogLine]", reading: Reading) -> bytes:
    """Lines as a client reads them."""
    return b"".join(_write(line, reading) for line in lines)


def _write(line: control_pb2.LogLine, reading: Reading) -> bytes:
    data = line.data
    if reading.details:
        data = b" " + data
    if reading.timestamps:
        data = times.log_stamp(line.at).encode() + b" " + data
    if reading.framed:
        return frame(STDERR if line.stderr else STDOUT, data)
    return data


def _tail(query: Query) -> int:
    """Docker takes all that is no number for all lines there are."""
    try:
        number = query.integer("tail", -1)
    except Invalid:
        return -1
    return -1 if number < 0 else min(number, 2**62)
