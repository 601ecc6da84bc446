"""Describe a container in full: what Docker's API tells of it, which scripts and templates know."""

from engine.containers.inspection import write_inspection
from engine.versions import LATEST
from swarm.api.v1 import containers_pb2 as pb
from swarmctl.spec_details import Object


def container_detail(answer: pb.InspectContainerResponse, *, with_size: bool = False) -> Object:
    """A container as `inspect` prints it."""
    found: Object = write_inspection(answer, with_size=with_size, version=LATEST)
    return found
