"""Say what `update` changes of a container, and which of them `prune` removes."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from swarm.api.v1 import containers_pb2 as pb
from swarm.codec import from_message, to_message
from swarm.errors import Invalid
from swarm.specs import Limits
from swarm.standalone import Shares
from swarmctl.containers.rows import is_up
from swarmctl.containers.specs import parse_restart
from swarmctl.edits import read, with_given
from swarmctl.filters import has_label, parse_filters
from swarmctl.times import parse_since

_LIMITS = {"cpus": "cpu_millis", "memory": "memory_bytes", "pids_limit": "pids"}
_SHARES = {
    "blkio_weight": "blkio_weight",
    "cpu_period": "cpu_period_us",
    "cpu_quota": "cpu_quota_us",
    "cpu_shares": "cpu_shares",
    "cpuset_cpus": "cpuset_cpus",
    "cpuset_mems": "cpuset_mems",
    "memory_reservation": "memory_reservation_bytes",
}


def update_request(
    view: pb.ContainerView, flags: Mapping[str, object]
) -> pb.UpdateContainerRequest:
    """What to ask for, of a container as it is; a flag that is `None` leaves things alone."""
    request = pb.UpdateContainerRequest(container=view.id)
    if any(flags[name] is not None for name in (*_LIMITS, "memory_swap")):
        limits = from_message(Limits, view.spec.limits)
        limits = with_given(limits, **{field: flags[name] for name, field in _LIMITS.items()})
        request.limits.CopyFrom(to_message(_swapped(limits, flags["memory_swap"])))
    if any(flags[name] is not None for name in _SHARES):
        shares = from_message(Shares, view.spec.shares)
        shares = with_given(shares, **{field: flags[name] for name, field in _SHARES.items()})
        request.shares.CopyFrom(to_message(shares))
    if flags["restart"] is not None:
        policy = read("--restart", parse_restart, str(flags["restart"]))
        request.restart.CopyFrom(to_message(policy))
    return request


def prunable(
    views: Iterable[pb.ContainerView], filters: Sequence[str], *, now: float
) -> list[pb.ContainerView]:
    """Those that do not run and pass the filters."""
    wanted = parse_filters(filters, known=("label", "label!", "until"))
    until = min((parse_since(text, now=now) for text in wanted.get("until", ())), default=0.0)
    tests: tuple[Callable[[pb.ContainerView], bool], ...] = (
        lambda view: not is_up(view) and not view.task_id,
        lambda view: not until or view.created_at < until,
        lambda view: all(has_label(view.labels, text) for text in wanted.get("label", ())),
        lambda view: not any(has_label(view.labels, text) for text in wanted.get("label!", ())),
    )
    return [view for view in views if all(test(view) for test in tests)]


def _swapped(new: Limits, both: object) -> Limits:
    """The limits with --memory-swap, which counts memory, too."""
    if both is None:
        return new
    assert isinstance(both, int)
    if 0 < both < new.memory_bytes:
        raise Invalid(
            f"--memory-swap {both} is less than the memory, {new.memory_bytes}: it counts both",
            hint="give the same for no swap",
        )
    if both > 0 and not new.memory_bytes:
        raise Invalid("--memory-swap needs a limit of memory", hint="give --memory, too")
    return with_given(new, swap_bytes=-1 if both < 0 else both - new.memory_bytes if both else 0)
