"""Carry out the steps of a container, in the process that becomes its program.

It runs between fork and exec, so it imports nothing and reads nothing that it need not. Each
step has one function, which is found by its kind; what steps leave for later ones is in
`Held`. A step that fails raises, and the process is of no more use.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from runtime import steps as s
from runtime.io import host
from runtime.io.hooks import run_hook
from runtime.io.inside import executing, furnishing, mounting, namespaces, rights
from runtime.io.inside.held import Ahead, Held, Offering, Overseer
from runtime.plan import Plan
from swarm.errors import KernelRefused


class Inside:
    """A process on its way into a container."""

    def __init__(
        self, overseer: Overseer, ahead: Ahead | None = None, offer: Offering | None = None
    ) -> None:
        self._held = Held(overseer, ahead or Ahead(), offer)

    def apply(self, step: s.ContainerStep) -> None:
        """Carry out one step; raises `OSError` or `KernelRefused`."""
        _STEPS[type(step)](self._held, step)


def carry_out(plan: Plan, inside: Inside) -> KernelRefused:
    """Become the program of `plan`. Returns only if that is impossible, with the reason."""
    doing: s.HostStep | s.ContainerStep | None = None
    try:
        for doing in plan.first:
            inside.apply(doing)
        for doing in plan.host:
            host.apply(doing)
        for doing in plan.container:
            inside.apply(doing)
    except OSError as failure:
        assert doing is not None
        return host.refusal(doing, failure)
    except KernelRefused as failure:
        return failure
    raise AssertionError("a plan ends with Execute")


def run_hooks(held: Held, step: s.RunHooks) -> None:
    """One after the other; the first that fails ends it."""
    state = _state(held, step.state, step.status)
    for hook in step.hooks:
        run_hook(hook, state, kind=step.kind)


def _state(held: Held, state: str, status: str) -> bytes:
    """The container's state, with what only we know."""
    pid = int(os.readlink("self", dir_fd=held.proc))
    known: dict[str, Any] = msgspec.json.decode(state)
    return msgspec.json.encode(known | {"status": status, "pid": pid})


_OWN: Final[dict[type[s.ContainerStep], Callable[[Held, Any], None]]] = {
    s.Announce: lambda held, _: held.overseer.created(),
    s.RunHooks: run_hooks,
    s.WaitAtGate: executing.wait_at_gate,
    s.Execute: executing.execute,
}
_TABLES: Final[Iterable[dict[type[s.ContainerStep], Callable[[Held, Any], None]]]] = (
    namespaces.STEPS,
    mounting.STEPS,
    furnishing.STEPS,
    rights.STEPS,
    _OWN,
)
_STEPS: Final = {kind: function for table in _TABLES for kind, function in table.items()}
