"""Ask nodes over their sessions, and wait no longer than the deadline for any of them."""

import asyncio
from collections.abc import Callable, Iterable
from itertools import count

from manager.control.preflights import Answers
from swarm.dispatch import FromManager, Preflight
from swarm.ids import NodeId
from swarm.specs import Port, TaskSpec

ANSWERED_WITHIN_S = 1.0

NO_TASK = TaskSpec()
Send = Callable[[NodeId, FromManager], bool]
"""Send to a node's session; False when it has none here."""


class _Question:
    def __init__(self, nodes: Iterable[NodeId]) -> None:
        self.answers: dict[NodeId, tuple[str, ...] | None] = dict.fromkeys(nodes)
        self.open = set(self.answers)
        self.is_answered = asyncio.Event()

    def answer(self, node_id: NodeId, problems: tuple[str, ...] | None) -> None:
        if node_id in self.open:
            self.answers[node_id] = problems
            self.open.discard(node_id)
        if not self.open:
            self.is_answered.set()


class Preflights:
    """The questions that are open."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._numbers = count(1)
        self._questions: dict[str, _Question] = {}

    async def ask(
        self,
        nodes: Iterable[NodeId],
        task: TaskSpec = NO_TASK,
        *,
        ports: tuple[Port, ...] = (),
        subnets: tuple[str, ...] = (),
        within_s: float = ANSWERED_WITHIN_S,
    ) -> Answers:
        """Each node's problems with `task` and the rest; None for one that did not answer in time.

        A task without an image is not asked about.
        """
        preflight_id = f"p{next(self._numbers)}"
        question = self._questions[preflight_id] = _Question(nodes)
        try:
            for node_id in tuple(question.open):
                asked = Preflight(
                    preflight_id=preflight_id, task=task, ports=ports, subnets=subnets
                )
                if not self._send(node_id, asked):
                    question.answer(node_id, None)
            if question.open:
                async with asyncio.timeout(within_s):
                    await question.is_answered.wait()
        except TimeoutError:
            pass
        finally:
            del self._questions[preflight_id]
        return question.answers

    def answered(self, preflight_id: str, node_id: NodeId, problems: tuple[str, ...]) -> None:
        """A node has answered, perhaps too late."""
        question = self._questions.get(preflight_id)
        if question is not None:
            question.answer(node_id, problems)
