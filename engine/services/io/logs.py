"""Serve what tasks have written, of one service or one task, until its reader goes."""

import time

from engine.cluster.io.managing import managing
from engine.io.backends import ending
from engine.io.exchange import Exchange, Handler
from engine.replies import MULTIPLEXED, RAW
from engine.routing import Route
from engine.services.io.serving import find
from engine.services.log_lines import Style, write_line
from engine.tasks.io.finding import find_task
from engine.times import moment
from engine.versions import Version
from swarm.api.v1 import control_pb2
from swarm.errors import Invalid

_NAMES_FRAMES = Version(1, 42)
_ALL = -1


async def service_logs(ask: Exchange) -> None:
    """GET /services/{id}/logs"""
    request, style = _request(ask), _style(ask)
    service = (await find(ask, ask.params["id"])).service
    request.services.append(service.id)
    await _answer(ask, request, style, service.id, tty=service.spec.task.container.tty)


async def task_logs(ask: Exchange) -> None:
    """GET /tasks/{id}/logs"""
    request, style = _request(ask), _style(ask)
    view = await find_task(ask, ask.params["id"])
    request.tasks.append(view.task.id)
    await _answer(ask, request, style, view.task.service_id, tty=view.spec.container.tty)


async def _answer(
    ask: Exchange,
    request: control_pb2.ReadLogsRequest,
    style: Style,
    service_id: str,
    *,
    tty: bool,
) -> None:
    style = Style(framed=not tty, timestamps=style.timestamps, details=style.details)
    is_named = style.framed and ask.version >= _NAMES_FRAMES
    async with managing(ask) as control, ending(control.ReadLogs(request)) as batches:
        await ask.begin(content_type=MULTIPLEXED if is_named else RAW)
        async for batch in batches:
            await ask.write(b"".join(write_line(each, service_id, style) for each in batch.lines))


def _request(ask: Exchange) -> control_pb2.ReadLogsRequest:
    stdout, stderr = ask.query.flag("stdout"), ask.query.flag("stderr")
    if not stdout and not stderr:
        raise Invalid("Bad parameters: you must choose at least one stream: stdout or stderr")
    return control_pb2.ReadLogsRequest(
        follow=ask.query.flag("follow"),
        tail=_tail(ask.query.text("tail")),
        since=moment(ask.query.text("since"), now=time.time(), name="since"),
        stdout=stdout,
        stderr=stderr,
    )


def _style(ask: Exchange) -> Style:
    return Style(timestamps=ask.query.flag("timestamps"), details=ask.query.flag("details"))


def _tail(text: str) -> int:
    if text in ("", "all"):
        return _ALL
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Invalid(f"tail: {text!r} is not a number of lines", hint='write one, or "all"')
    return int(text)


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/services/{id}/logs", service_logs),
    Route("GET", "/tasks/{id}/logs", task_logs),
)
