"""Make the networks of a stack, and remove them once nothing uses them any more.

Networks are never changed: one that is there with other settings is refused before anything is
made. Removal takes patience, since a network is used until the last task in it is gone.
"""

import time
from collections.abc import Iterable, Sequence

from swarm.api.v1 import control_pb2
from swarm.codec import from_message
from swarm.errors import Missing, Refused
from swarm.specs import NetworkSpec
from swarmctl.io.session import Session
from swarmctl.stacks.names import NAMESPACE
from swarmctl.stacks.networks import StackNetwork, settings

LOOK_AGAIN_S = 0.25
TOLD_AFTER_S = 3.0


class Networks:
    """The networks of a stack and of the swarm."""

    def __init__(self, session: Session, wanted: Sequence[StackNetwork], stack: str) -> None:
        self._session = session
        self._wanted = wanted
        self._stack = stack
        self._present = {view.network.spec.name: view for view in session.networks.list()}

    def ids(self) -> dict[str, str]:
        """The ids of those that there are."""
        return {name: view.network.id for name, view in self._present.items()}

    def check(self) -> None:
        """Refuse what is missing, and what is there with other settings."""
        for each in self._wanted:
            view = self._present.get(each.name)
            if view is None and each.spec is None:
                raise Missing(
                    f"no such network: {each.name}",
                    hint=f"make it with `swarmctl network create {each.name}`",
                )
            if view is None or each.spec is None:
                continue
            spec = from_message(NetworkSpec, view.network.spec)
            if other := _other(each.spec, settings(spec, like=each.spec)):
                raise Refused(
                    f"network {each.name} is there with other settings: {', '.join(other)}",
                    hint="networks cannot be changed: remove the stack first, or give this one "
                    "another name",
                )

    def plan(self) -> Iterable[str]:
        """Lines on what `apply` would do."""
        for each in self._wanted:
            if each.name not in self._present:
                yield f"+ network {each.name}"

    def apply(self) -> None:
        """Make what is missing."""
        for each in self._wanted:
            if each.spec is not None and each.name not in self._present:
                self._session.say(f"Creating network {each.name}")
                self._present[each.name] = self._session.networks.create(each.spec)

    def superfluous(self) -> list[control_pb2.NetworkView]:
        """Those of the stack that its file does not have any more."""
        names = {each.name for each in self._wanted}
        return [
            view
            for name, view in sorted(self._present.items())
            if name not in names and view.network.spec.labels.get(NAMESPACE) == self._stack
        ]


def networks_of(session: Session, stack: str) -> list[control_pb2.NetworkView]:
    """The networks of a stack."""
    views = session.networks.list()
    return [each for each in views if each.network.spec.labels.get(NAMESPACE) == stack]


def remove_networks(
    session: Session, views: Iterable[control_pb2.NetworkView], *, within_s: float
) -> None:
    """Remove each, again and again while the last tasks in it go.

    Raises the last refusal for those that are still used in the end.
    """
    deadline = time.monotonic() + within_s
    refusal: Refused | None = None
    for view in views:
        session.say(f"Removing network {view.network.spec.name}")
        refusal = _removed(session, view, deadline) or refusal
    if refusal is not None:
        raise refusal


def _removed(session: Session, view: control_pb2.NetworkView, deadline: float) -> Refused | None:
    """Remove one; what keeps it, if that does not go in time."""
    told_at = time.monotonic() + TOLD_AFTER_S
    while True:
        try:
            session.networks.remove(view.network.id)
        except Missing:
            return None
        except Refused as err:
            now = time.monotonic()
            if now >= deadline:
                return err
            if now >= told_at:
                session.warn(f"waiting: {err.message}")
                told_at = deadline
            time.sleep(LOOK_AGAIN_S)
        else:
            return None


def _other(wanted: NetworkSpec, present: NetworkSpec) -> list[str]:
    """The settings in which the two differ."""
    reduced = settings(wanted, like=wanted)
    return [
        name
        for name in reduced.__struct_fields__
        if getattr(reduced, name) != getattr(present, name)
    ]
