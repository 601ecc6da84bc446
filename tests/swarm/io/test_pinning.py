import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from swarm.errors import Invalid, Refused, SwarmError, Unavailable
from swarm.io.pinning import pin
from swarm.specs import Role
from swarm.tokens import parse_token
from tests.trust import Swarm, serving

SWARM = Swarm(time.time())


async def _pin(address: str, *, swarm: Swarm = SWARM, timeout_s: float = 5.0) -> bytes:
    """As a joiner that holds `swarm`'s token now."""
    joiner = swarm.joiner()
    return await pin(
        address,
        parse_token(swarm.token()),
        certificate=joiner.certificate,
        key=joiner.key,
        now=time.time,
        timeout_s=timeout_s,
    )


def _fails(call: Callable[[], Awaitable]) -> SwarmError:
    async def main() -> SwarmError:
        with pytest.raises(SwarmError) as caught:
            await call()
        return caught.value

    return asyncio.run(main())


def test_the_root_is_fetched_and_pinned() -> None:
    async def main() -> bytes:
        async with serving(SWARM) as (address, _):
            return await _pin(address)

    assert asyncio.run(main()) == SWARM.cluster.root_certificate


def test_another_swarms_manager_is_told_from_ours() -> None:
    async def call() -> None:
        async with serving(Swarm(time.time(), seed=2)) as (address, _):
            await _pin(address)

    error = _fails(call)

    assert isinstance(error, Refused)
    assert "belongs to another swarm than the token" in error.message


def test_a_rotated_token_is_told_from_a_wrong_swarm() -> None:
    swarm = Swarm(time.time(), seed=3)
    joiner, token = swarm.joiner(), parse_token(swarm.token())
    swarm.rotate(Role.WORKER)

    async def call() -> None:
        async with serving(swarm) as (address, _):
            await pin(address, token, certificate=joiner.certificate, key=joiner.key, now=time.time)

    error = _fails(call)

    assert isinstance(error, Refused)
    assert error.message.startswith("join token refused by 127.0.0.1:")
    assert "swarmctl join-token worker" in error.hint


def test_a_dead_address_is_named() -> None:
    async def call() -> None:
        closed = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = closed.sockets[0].getsockname()[1]
        closed.close()
        await closed.wait_closed()
        await _pin(f"127.0.0.1:{port}")

    error = _fails(call)

    assert isinstance(error, Unavailable)
    assert error.message.startswith("cannot reach a manager at 127.0.0.1:")
    assert "connect" in error.message


def test_an_address_that_is_none_is_invalid() -> None:
    assert isinstance(_fails(lambda: _pin("127.0.0.1:none")), Invalid)
    unknown = _fails(lambda: _pin("no-such-host.invalid:2377"))
    assert isinstance(unknown, Unavailable)
    assert "no-such-host.invalid:2377" in unknown.message


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not answer in TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer in TLS"),
        (b"", "hung up instead of answering in TLS"),
    ],
)
def test_something_else_that_listens_is_no_manager(answer: bytes, reason: str) -> None:
    async def call() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(answer)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await _pin(f"127.0.0.1:{port}")

    error = _fails(call)

    assert isinstance(error, Refused)
    assert f"is not a swarm manager: it {reason}" in error.message


def test_something_that_listens_and_says_nothing_does_not_hold_us_up() -> None:
    async def call() -> None:
        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await _pin(f"127.0.0.1:{port}", timeout_s=0.2)

    error = _fails(call)

    assert isinstance(error, Refused)
    assert "is not a swarm manager" in error.message
