"""Check the container's health from its shim, and tell who wants to know.

What a check prints is kept up to a limit and read to the end all the same, so no check ever
waits for us. Results are on disk before anyone is told, and nowhere else: the shim remembers
only what the next decision needs (`runtime.health`). Each has a file of its own, which the
fifth after it replaces, so that keeping one means reading none.
"""

import os
import time
from collections.abc import Callable
from typing import NoReturn

import msgspec

from runtime import health as machine
from runtime import wire
from runtime.health import Answered, Ask, Interrupt, Tell, Woke
from runtime.io import host
from runtime.io.polling import Poll
from runtime.io.program import Program, fork_refused
from runtime.joining import ExecSpec
from runtime.layout import ContainerDir
from runtime.outcome import HealthChanged, HealthResult, KeptResult
from runtime.spec import Health

_READ_BYTES = 4096
_PIPE_BYTES = 65536
Become = Callable[[int, ExecSpec, int], NoReturn]


class Checking:
    """The health checks of one container."""

    def __init__(
        self,
        poll: Poll,
        directory: ContainerDir,
        health: Health,
        *,
        become: Become,
        is_paused: Callable[[], bool],
        changed: Callable[[bytes], None],
    ) -> None:
        """`become` is called in a fork: with its report, the program, and where output goes."""
        self._poll = poll
        self._directory = directory
        self._health = health
        self._count = 0
        self._become = become
        self._is_paused = is_paused
        self._changed = changed
        self._vitals = machine.begin(health, time.monotonic())
        self._program: Program | None = None
        self._output = -1
        self._printed = b""
        self._began = 0.0

    @property
    def timeout_s(self) -> float | None:
        """How long nothing is due."""
        deadline = machine.next_deadline(self._vitals)
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def state(self) -> bytes:
        """How the container stands, for a client that has just come."""
        return wire.encode(
            wire.Examined(
                HealthChanged(
                    container_id=self._directory.container_id,
                    status=self._vitals.status,
                    failing_streak=self._vitals.failing_streak,
                )
            )
        )

    def wake(self) -> None:
        """Do what is due, if anything is."""
        now, deadline = time.monotonic(), machine.next_deadline(self._vitals)
        if deadline is not None and now >= deadline:
            woke = Woke(is_paused=self._is_paused())
            self._vitals, effects = machine.step(self._vitals, woke, self._health, now)
            self._perform(effects)

    def end(self) -> None:
        """Kill the check that runs."""
        if self._program is not None:
            self._program.end()

    # --- what the program reports -------------------------------------------------------------

    def entered(self, pid: int) -> None:
        """The check runs."""

    def refused(self, no: bytes) -> None:
        """The check could not start, which is a failure like another."""
        told = wire.decode_report(no)
        assert isinstance(told, wire.Refused)
        self._answer(machine.NO_EXIT_CODE, told.message)

    def left(self, exit_code: int) -> None:
        """The check has ended."""
        self._answer(exit_code)

    # --- what the machine asks for ------------------------------------------------------------

    def _perform(self, effects: tuple[machine.Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Ask():
                    self._ask()
                case Interrupt():
                    self.end()
                case Tell():
                    self._changed(self.state())

    def _ask(self) -> None:
        self._began, self._printed = time.time(), b""
        self._output, output = os.pipe()
        os.set_blocking(self._output, False)
        self._poll.watch(self._output, self._read)
        spec = ExecSpec(args=self._health.args)
        try:
            self._program = Program(
                self._poll, self, lambda report: self._become(report, spec, output)
            )
        except OSError as err:
            self.refused(fork_refused(err))
        finally:
            os.close(output)

    def _read(self, descriptor: int) -> bool:
        """Take what there is; whether there may be more."""
        try:
            printed = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        self._printed += printed[: machine.OUTPUT_BYTES - len(self._printed)]
        if not printed:
            self._poll.forget(descriptor)
        return len(printed) == _READ_BYTES

    def _end_output(self) -> None:
        """What the check left running may print for ever, and nobody waits for that."""
        for _ in range(_PIPE_BYTES // _READ_BYTES):
            if not self._read(self._output):
                break
        self._poll.forget(self._output)
        os.close(self._output)

    def _answer(self, exit_code: int, excuse: str = "") -> None:
        self._end_output()
        self._program = None
        result = machine.result(
            self._vitals, self._health,
            started_at=self._began, finished_at=time.time(), exit_code=exit_code,
            output=excuse or self._printed.decode("utf-8", "replace"),
        )  # fmt: skip
        self._printed = b""
        is_void = self._vitals.is_void
        self._vitals, effects = machine.step(
            self._vitals, Answered(exit_code), self._health, time.monotonic()
        )
        if not is_void:
            self._keep(result)
        self._perform(effects)

    def _keep(self, result: HealthResult) -> None:
        """A full disk must not make a program unhealthy."""
        self._count += 1
        kept = KeptResult(self._count, self._vitals.status, self._vitals.failing_streak, result)
        try:
            host.replace_file(self._directory.health_file(self._count), msgspec.json.encode(kept))
        except OSError:
            return
