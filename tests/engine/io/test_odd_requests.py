"""Every endpoint hears what nobody should send, and has an answer with words."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest

from engine.io.routes import ROUTES
from tests.engine.io.agents import Agent, serving, view
from tests.engine.io.clients import Answer, Client

NAMES = ("web", "no such", "..", "a" * 3000, "sha256:x", "%00", "é/ü", "-1")
QUERIES = (
    "",
    "filters=%7B%22label%22%3A%5B%22x%22%5D%7D&all=1",
    "filters=%5B1%5D",
    "filters=%7B%22label%22%3A1%7D&since=x",
    "since=9999999999999999999999&until=0001-01-01T00:00:00Z&tail=x&stdout=1",
    "t=x&h=1&w=99999&signal=%F0%9F%92%A9&path=%00&name=%00",
    "limit=-5&version=abc&condition=never&platform=a%2Fb%2Fc%2Fd&fromImage=%25%25&fromSrc=-",
    "path=/etc&container=web&repo=UPPER&tag=%3A&names=&buildargs=1&ulimits=%7B%7D",
    "stdout=1&limit=9223372036854775808",
)
BODIES: tuple[tuple[str, bytes], ...] = (
    ("", b""),
    ("application/json", b"{}"),
    ("application/json", b'{"Image":1,"Name":[],"Cmd":{},"ID":null,"Spec":"x"}'),
    ("application/json", b"[" * 100_000),
    ("application/json", b'{"a":' * 5000),
    ("application/json", b'"\\ud800"'),
    ("application/json", b"\xff\xfe{"),
    ("text/plain", b"{}"),
    ("application/x-tar", b"\0" * 1024),
)
ENDLESS = ("/events", "/containers/{name}/attach/ws")


def path_of(template: str, name: str) -> str:
    pieces = (quote(name, safe="") if "{" in each else each for each in template.split("/"))
    return "/".join(pieces)


@pytest.mark.parametrize("method", sorted({route.method for route in ROUTES}))
def test_whatever_is_asked_is_answered_with_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engine.io.backends.READY_WITHIN_S", 0.001)

    async def main() -> None:
        agent = Agent(view())
        agent.ended.set()
        async with serving(agent, tmp_path) as engine:
            for number, route in enumerate(ROUTES):
                if route.method != method or route.template in ENDLESS:
                    continue
                for turn in range(len(QUERIES)):
                    media_type, body = BODIES[(turn + number) % len(BODIES)]
                    path = path_of(route.template, NAMES[(turn + number) % len(NAMES)])
                    target = f"{path}?{QUERIES[turn]}"
                    headers = {"Content_Type": media_type} if media_type else {}
                    async with Client(engine.path) as client:
                        asking = client.ask(method, target, body, **headers)
                        try:
                            answer = await asyncio.wait_for(asking, 30)
                        except TimeoutError:
                            pytest.fail(f"{method} {target} is not answered")
                    check(answer, f"{method} {target} {body[:40]!r}")

    asyncio.run(main())
    log = capfd.readouterr().err
    assert "request.failed" not in log
    assert "connection.failed" not in log


def check(answer: Answer, request: str) -> None:
    assert answer.status != 500, f"{request}: {answer}"
    if answer.status >= 400 and not request.startswith("HEAD"):
        assert answer.message, request
