"""Follow one container from what its shim says.

Forward only: claimed, perhaps offered its network to be connected, started (or failed to),
ended. `offered`, `started` and `ended` are futures that anyone may await. A shim that goes away
without having said `Ended` is `Watcher.lost`, and what that means is for the watcher to find
out on disk.
"""

import asyncio
import errno
import os
import signal
from typing import Protocol

from runtime import wire
from runtime.io.link import Link
from runtime.io.offer import Offer
from runtime.layout import ContainerDir
from runtime.outcome import ContainerState, Exited, HealthChanged
from swarm.errors import Invalid, KernelRefused, Missing, Unavailable


class Vanished(Exception):
    """The shim's end closed before it owned anything: whoever asked may ask again."""


class Watcher(Protocol):
    """What a container reports to."""

    def refused(self, container: "Container") -> None: ...
    def ended(self, exited: Exited) -> None: ...
    def examined(self, health: HealthChanged) -> None: ...
    def lost(self, container: "Container") -> None: ...


class Container:
    """One container, as its client knows it."""

    def __init__(self, directory: ContainerDir, group: str, watcher: Watcher) -> None:
        loop = asyncio.get_running_loop()
        self.directory = directory
        self.group = group
        self.is_claimed = False
        self.is_adopted = False
        self.offered: asyncio.Future[Offer] = loop.create_future()
        self.started: asyncio.Future[ContainerState] = loop.create_future()
        self.ended: asyncio.Future[Exited] = loop.create_future()
        self.link: Link | None = None
        self._watcher = watcher
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._numbers = 0
        self._declined: Exception | None = None
        self.started.add_done_callback(_look_at)  # or a failure that nobody awaits is a warning

    @property
    def id(self) -> str:
        """The container's id."""
        return self.directory.container_id

    @property
    def is_running(self) -> bool:
        """Whether its program runs, as far as we have heard."""
        return self._has_started() and not self.ended.done()

    async def kill(self, number: int) -> None:
        """Send a signal to process 1. Raises `Missing` if it has ended, `Invalid`."""
        if self.link is None or not self.link.is_open:
            raise Missing(f"container {self.id} is not running")
        self._numbers += 1
        command = wire.Kill(self._numbers, number)
        answer = self._answers[command.number] = asyncio.get_running_loop().create_future()
        try:
            await self.link.send(wire.encode(command))
            reason = await answer
        finally:
            del self._answers[command.number]
        if reason == errno.EINVAL:
            raise Invalid(f"signal {number} does not exist", hint=f"1 to {signal.NSIG - 1} do")
        if reason:
            raise Missing(f"container {self.id} is not running")

    def heard(self, report: wire.Report | None) -> None:
        """Advance by what the shim said; None is its silence for good."""
        match report:
            case wire.Claimed():
                self.is_claimed = True
            case wire.Offered():
                self._offered()
            case wire.Running(state=state):
                self.start(state)
            case wire.Refused() as no:
                self._refused(no)
            case wire.Ended(exited=exited):
                self.end(exited)
                self._watcher.ended(exited)
            case wire.Examined(health=health):
                self._watcher.examined(health)
            case wire.Answered(number=number, errno=reason):
                answer = self._answers.get(number)
                if answer is not None and not answer.done():
                    answer.set_result(reason)
            case None:
                self._silent()
            case _:
                pass  # said on connections for other purposes only

    def start(self, state: ContainerState) -> None:
        """Its program runs, or did."""
        if not self.started.done():
            self.started.set_result(state)

    def fail(self, err: Exception) -> None:
        """It never ran; because of `err`, unless its network was declined for a reason."""
        if not self.started.done():
            self.started.set_exception(self._declined or err)

    def decline(self, why: Exception | None = None) -> None:
        """Nobody connects its network any more: if it waits for that, or will, it gives up.

        Whoever waits for its start is told `why`, or else what process 1 says.
        """
        self._declined = self._declined or why
        if not self.offered.done():
            self.offered.cancel()
        elif not self.offered.cancelled():
            self.offered.result().decline()

    def end(self, exited: Exited) -> None:
        """It runs no more."""
        self.let_go()
        if not self.ended.done():
            self.ended.set_result(exited)

    def let_go(self) -> None:
        """Hear no more; commands that wait for an answer learn that nobody is there."""
        self.decline()
        if self.link is not None:
            self.link.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(errno.ESRCH)

    def _offered(self) -> None:
        assert self.link is not None
        passed = self.link.take()
        match passed:
            case (namespace, go) if not self.offered.done():
                self.offered.set_result(Offer(namespace, go))
            case (_, _):
                _close_all(passed)
            case _:
                _close_all(passed)
                self.decline(_out_of_descriptors(self.id))

    def _has_started(self) -> bool:
        return self.started.done() and not (
            self.started.cancelled() or self.started.exception() is not None
        )

    def _refused(self, no: wire.Refused) -> None:
        self.let_go()
        self._watcher.refused(self)
        if no.step == "claim" and no.errno in (errno.EEXIST, errno.ENOTEMPTY):
            self.fail(Vanished())  # it exists: an earlier request was acted on after all
        else:
            self.fail(KernelRefused(no.step, no.errno, no.message, hint=no.hint))

    def _silent(self) -> None:
        self.let_go()
        if not self.ended.done():
            self._watcher.lost(self)


def _close_all(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _out_of_descriptors(container_id: str) -> Unavailable:
    return Unavailable(
        f"no descriptor is free for the network of {container_id}",
        hint="raise the limit of open files (LimitNOFILE) of swarmd",
    )


def _look_at(future: "asyncio.Future[ContainerState]") -> None:
    if not future.cancelled():
        future.exception()
