"""Hold what every command stands on: where state is, where messages go, how groups lie."""

from runtime.cgroups.layout import Layout
from runtime.command.record import Record
from runtime.io.command.messages import Messages
from runtime.io.command.observing import status
from runtime.io.command.store import Store
from runtime.io.hierarchies import host_layout
from runtime.oci.state import Status


class Caller:
    """What the global flags of one command line say."""

    def __init__(self, root: str, messages: Messages) -> None:
        self.store = Store(root)
        self.messages = messages
        self.layout: Layout = host_layout(thorough=True)

    def status(self, record: Record) -> Status:
        """What the container is doing at this moment."""
        return status(record, self.layout)
