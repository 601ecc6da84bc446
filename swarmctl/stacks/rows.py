"""Turn services into lines of `stack ls`: a stack for each label that names one."""

from collections import Counter
from collections.abc import Iterable

from swarm.api.v1 import control_pb2
from swarmctl.stacks.names import NAMESPACE
from swarmctl.tables import Listing

STACKS = Listing(
    columns=("Name", "Services"),
    headings={"Name": "NAME", "Services": "SERVICES"},
    key="Name",
)


def stack_rows(views: Iterable[control_pb2.ServiceView]) -> list[dict[str, str]]:
    """The stacks by name, with how many services each has."""
    labels = (view.service.spec.labels for view in views)
    counts = Counter(each[NAMESPACE] for each in labels if NAMESPACE in each)
    return [{"Name": name, "Services": str(counts[name])} for name in sorted(counts)]
