"""Say the state of a container as the OCI runtime specification has it (runtime.md, State).

`status` is never stored: it is what the process is doing at the moment of asking. Hooks are
given a `State` on their standard input; `state` and `list` print `Listed`, which says more, in
the words that callers of runc already read.
"""

from enum import Enum

import msgspec
from msgspec import Struct


class Status(Enum):
    """Where a container is in its life."""

    CREATING = "creating"
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class State(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a hook is told. `pid` is the host's number of process 1, 0 if there is none."""

    oci_version: str
    id: str
    status: Status
    pid: int = 0
    bundle: str
    annotations: dict[str, str] = {}


class Listed(Struct, frozen=True, kw_only=True, rename="camel"):
    """What `state` and `list` print; `created` is a time of RFC 3339."""

    oci_version: str
    id: str
    pid: int
    status: Status
    bundle: str
    rootfs: str
    created: str
    annotations: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    owner: str
