"""Say which container somebody means, whether he runs it himself or a service does.

This is what streams, archives and networks are handed: who it is, where its files are, and
whether it runs at this moment. The pid may be another one a moment later; whoever needs it to be
gone no sooner than he is done holds the container (`Lives.held`), which keeps it from being
removed and from nothing else.
"""

from collections.abc import Mapping

from msgspec import Struct

from agent.standalone.record import Record
from swarm.ids import ServiceId, TaskId


class Found(Struct, frozen=True, kw_only=True):
    """A container of this node. `record` is None of a task's, and `task_id` empty of others.

    `runtime_id` is what the runtime calls it. In `own` lie `upper` and `work`, its layer, and
    `output.log`. `pid` is the host's number of its first process, and 0 while it does not run.
    """

    id: str
    name: str
    runtime_id: str
    own: str
    image: str
    image_id: str = ""
    labels: Mapping[str, str] = {}
    pid: int = 0
    is_paused: bool = False
    record: Record | None = None
    task_id: TaskId = TaskId("")
    service_id: ServiceId = ServiceId("")

    @property
    def is_running(self) -> bool:
        """Whether it has processes; those of a paused one stand still."""
        return self.pid > 0

    @property
    def upper(self) -> str:
        """What it wrote, as overlayfs keeps that."""
        return f"{self.own}/upper"

    @property
    def log_path(self) -> str:
        """Where its output is written, and rotated to `.1`, `.2` and so on."""
        return f"{self.own}/output.log"
