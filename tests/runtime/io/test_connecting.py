"""Whoever connects a network, and the container that waits for it, in every order of events.

The test is process 1 and its shim: it offers a file as if it were a network namespace, and
does what they do when the pipe is written to or closed.
"""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import wire
from runtime.io.connecting import connect
from runtime.io.container import Container
from runtime.io.link import Link
from runtime.layout import ContainerDir
from runtime.outcome import ContainerState, Exited, HealthChanged
from swarm.errors import KernelRefused, SwarmError, Unavailable
from tests import virtual_time

STATE = ContainerState(container_id="c", pid=7, pid_started_ticks=9, started_at=1.5)
GAVE_UP = wire.Refused("await network", 125, "whoever was to connect its network has given up")
NO_ADDRESS = Unavailable("no address is free")


class Event(Enum):
    OFFERED = auto()
    ATTACHED = auto()
    ATTACH_FAILED = auto()
    CANCELLED = auto()
    DELETED = auto()
    REFUSED = auto()
    VANISHED = auto()


class World:
    """One container that starts, with both ends of everything."""

    def __init__(self) -> None:
        self.container = Container(ContainerDir("/run", "c"), "group", self)
        ours, self._theirs = socket.socketpair()
        self.container.link = Link(ours, self.container.heard)
        self.attach_ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.attaches = 0
        self.saw_its_namespace = True
        self._pipe = -1
        self._is_over = False
        self.went_on = False
        self.kills = 0
        self.connecting = asyncio.ensure_future(connect(self.container, self._attach, self._kill))

    async def _attach(self, namespace: int) -> None:
        self.attaches += 1
        link = Path(f"/proc/self/fd/{namespace}")
        try:
            await self.attach_ended
        finally:
            self.saw_its_namespace = str(link.readlink()) == "/dev/null"

    async def _kill(self) -> None:
        self.kills += 1
        self._say(wire.Refused("start", 5, "process 1 ended with -9"))

    def happens(self, event: Event) -> None:
        match event:
            case Event.OFFERED if self._pipe < 0 and not self._is_over:
                self._offer()
            case Event.ATTACHED | Event.ATTACH_FAILED if not self.attach_ended.done():
                if event is Event.ATTACHED:
                    self.attach_ended.set_result(None)
                else:
                    self.attach_ended.set_exception(NO_ADDRESS)
                    self.attach_ended.exception()
            case Event.CANCELLED:
                self.connecting.cancel()
            case Event.DELETED:
                self.container.decline()
            case Event.REFUSED:
                self._say(wire.Refused("mount overlay", 2, "no layer"))
            case Event.VANISHED:
                self._end()
            case _:
                pass

    def _offer(self) -> None:
        self._pipe, go = os.pipe()
        os.set_blocking(self._pipe, False)
        namespace = os.open(os.devnull, os.O_RDONLY)
        with contextlib.suppress(OSError):
            socket.send_fds(self._theirs, [wire.encode(wire.Offered())], [namespace, go])
        os.close(namespace)
        os.close(go)

    async def settle(self) -> None:
        """Let everybody hear of what has happened, process 1 too."""
        await _idle()
        if self._pipe >= 0 and not self._is_over and not self.went_on:
            with contextlib.suppress(BlockingIOError):
                self.went_on = os.read(self._pipe, 1) == b"."
                self._say(wire.Running(STATE) if self.went_on else GAVE_UP)
        await _idle()

    def _say(self, report: wire.Report) -> None:
        if not self._is_over:
            with contextlib.suppress(OSError):
                self._theirs.send(wire.encode(report))
        if isinstance(report, wire.Refused):
            self._end()

    def _end(self) -> None:
        self._is_over = True
        self._theirs.close()

    async def close(self) -> None:
        self.connecting.cancel()
        while not self.connecting.done():
            await self.settle()
            await asyncio.wait((self.connecting,), timeout=1.0)  # or no time would ever pass
        self.container.let_go()
        self._end()
        if self._pipe >= 0:
            os.close(self._pipe)

    # --- what the container reports to ----------------------------------------------------------

    def refused(self, container: Container) -> None:
        pass

    def ended(self, exited: Exited) -> None:
        raise AssertionError(exited)

    def examined(self, health: HealthChanged) -> None:
        raise AssertionError(health)

    def lost(self, container: Container) -> None:
        container.fail(Unavailable("the shim died"))


async def _idle() -> None:
    """Nothing takes more turns of the loop than this: what is sent is there at once."""
    for _ in range(12):
        await asyncio.sleep(0)


@contextlib.contextmanager
def no_descriptor_leaks() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    yield
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@settings(deadline=None)  # a busy machine is no counterexample
@given(st.lists(st.sampled_from(Event), max_size=6))
def test_law_a_container_goes_on_exactly_if_its_network_was_connected(events: list[Event]) -> None:
    async def story() -> None:
        world = World()
        try:
            await world.settle()
            for event in events:
                world.happens(event)
                await world.settle()
            check(world, events)
        finally:
            await world.close()

    with no_descriptor_leaks():
        virtual_time.run(story())


def check(world: World, events: list[Event]) -> None:
    connecting, started = world.connecting, world.container.started
    assert world.attaches <= 1
    assert world.saw_its_namespace
    if Event.OFFERED not in events:
        assert world.attaches == 0
    if world.went_on:
        assert Event.ATTACHED in events
        assert connecting.done()
        assert started.result() == STATE
    if not connecting.done():
        assert not started.done()
    elif connecting.cancelled():
        times = events.count(Event.CANCELLED)
        assert times
        assert started.done() or times > 1  # it waits for the end, but not if told to hurry
    elif connecting.exception() is not None:
        assert connecting.exception() is NO_ADDRESS
        assert started.exception() is NO_ADDRESS
    elif not world.went_on:
        if not started.done():
            assert Event.DELETED in events  # it will give up as soon as it can
        else:
            assert started.exception() is not None


def test_of_two_who_wait_only_who_was_cancelled_is_told_so() -> None:
    async def story() -> None:
        world = World()
        world.happens(Event.OFFERED)
        await world.settle()
        other = asyncio.ensure_future(asyncio.shield(world.container.started))

        world.happens(Event.CANCELLED)
        await world.settle()
        await world.settle()

        assert world.connecting.cancelled()
        err = other.exception()
        assert err is not None
        assert not isinstance(err, SwarmError)  # it is asked for again
        await world.close()

    with no_descriptor_leaks():
        virtual_time.run(story())


def test_a_process_that_does_not_notice_is_killed() -> None:
    """It fills a volume, say, and will not look at the pipe for a minute."""

    async def story() -> None:
        world = World()
        world.happens(Event.OFFERED)
        await asyncio.sleep(0)

        world.happens(Event.ATTACH_FAILED)

        with pytest.raises(Unavailable, match="no address"):
            await asyncio.wait_for(world.connecting, 60)
        assert world.kills == 1
        await world.close()

    with no_descriptor_leaks():
        virtual_time.run(story())


@pytest.mark.parametrize("free", [0, 1])
def test_a_client_without_a_free_descriptor_says_so(free: int) -> None:
    async def story() -> None:
        world = World()
        world.happens(Event.OFFERED)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, hard))
        try:
            await world.settle()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await world.settle()

        assert world.connecting.done()
        err = world.container.started.exception()
        assert isinstance(err, Unavailable)
        assert "no descriptor is free" in err.message
        assert world.attaches == 0
        await world.close()

    with no_descriptor_leaks():
        virtual_time.run(story())


def test_what_process_1_says_is_told_to_who_waits_when_nobody_knows_better() -> None:
    async def story() -> None:
        world = World()
        world.happens(Event.OFFERED)
        await world.settle()

        world.happens(Event.DELETED)
        await world.settle()

        err = world.container.started.exception()
        assert isinstance(err, KernelRefused)
        assert err.step == "await network"
        await world.close()

    with no_descriptor_leaks():
        virtual_time.run(story())
