"""Ask a Prometheus server for numbers, and never wait long for it."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from manager.prometheus import read_answer
from swarm.errors import Unavailable

if TYPE_CHECKING:
    import httpx

PATIENCE_S = 4.0
ANSWER_LIMIT_BYTES = 1 << 20


class Prometheus:
    """Queries of one server, over connections that are kept. `httpx` is imported by the first."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def ask(self, url: str, query: str) -> float:
        """The one number that `query` yields now; `Invalid` or `Unavailable` if there is none."""
        if not url:
            raise Unavailable(
                "the swarm knows no prometheus", hint="swarmctl update --prometheus-url URL"
            )
        client = await self._connected()
        httpx = sys.modules["httpx"]
        try:
            async with (
                asyncio.timeout(PATIENCE_S),
                client.stream(
                    "GET", f"{url.rstrip('/')}/api/v1/query", params={"query": query}
                ) as answer,
            ):
                body = bytearray()
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > ANSWER_LIMIT_BYTES:
                        raise Unavailable("prometheus answers without an end")
                return read_answer(answer.status_code, bytes(body))
        except TimeoutError as err:
            raise Unavailable(f"prometheus did not answer within {PATIENCE_S:g} s") from err
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as err:
            raise Unavailable(f"prometheus cannot be asked: {err or type(err).__name__}") from err

    async def close(self) -> None:
        """Hang up."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            if "httpx" not in sys.modules:  # 60 ms of importing, which no loop should wait for
                await asyncio.to_thread(import_module, "httpx")
            import httpx

            # Proxies of the environment are for what is outside; a swarm's metrics are within.
            self._client = await asyncio.to_thread(
                httpx.AsyncClient, timeout=PATIENCE_S, trust_env=False
            )
        return self._client
