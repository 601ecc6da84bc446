"""Name the files of one container below the run root.

`<run-root>/containers/<id>/` appears by one rename, with a listening socket already in it; so
a directory whose socket refuses connections belongs to a shim that is gone, and there is no
moment in between.
"""

from msgspec import Struct


class ContainerDir(Struct, frozen=True):
    """The directory of container `container_id` below `run_root`."""

    run_root: str
    container_id: str

    @property
    def path(self) -> str:
        """The directory itself."""
        return f"{containers_dir(self.run_root)}/{self.container_id}"

    @property
    def spec_file(self) -> str:
        """The spec as it was received: what tells how to clean up."""
        return f"{self.path}/spec.json"

    @property
    def state_file(self) -> str:
        """Written when the container runs, and again when it has exited."""
        return f"{self.path}/state.json"

    def health_file(self, number: int) -> str:
        """What health check `number` found, until the check that is HEALTH_RESULTS later."""
        return f"{self.path}/health.{number % HEALTH_RESULTS}.json"


HEALTH_RESULTS = 5
SOCKET_NAME = "shim.sock"
SPEC_NAME = "spec.json"


def containers_dir(run_root: str) -> str:
    """Where the directories of all containers are."""
    return f"{run_root.rstrip('/')}/containers"


def seccomp_cache(run_root: str) -> str:
    """Where compiled filters for system calls are kept."""
    return f"{run_root.rstrip('/')}/seccomp"


def unclaimed_dir(run_root: str, pid: int) -> str:
    """Where a container's process 1, `pid` on the host, prepares its directory."""
    return f"{containers_dir(run_root)}/.{pid}"


def unclaimed_by(name: str) -> int:
    """The pid in the name of an unclaimed directory; 0 for a container's."""
    if not name.startswith("."):
        return 0
    return int(name[1:]) if name[1:].isdecimal() else -1
