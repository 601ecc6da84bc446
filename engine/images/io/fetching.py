"""Fetch what a client names by a URL, such as the root file system of an image."""

from collections.abc import AsyncIterator

from swarm.errors import Invalid, Missing, Unavailable

_CHUNK_BYTES = 1 << 18
_WITHIN_S = 60.0


async def fetch(url: str) -> AsyncIterator[bytes]:
    """The content of `url`; raises `Invalid`, `Missing` or `Unavailable`."""
    import httpx

    if "://" not in url:
        url = f"http://{url}"
    try:
        async with (
            httpx.AsyncClient(follow_redirects=True, timeout=_WITHIN_S) as client,
            client.stream("GET", url) as response,
        ):
            if response.status_code == 404:
                raise Missing(f"{url}: there is nothing")
            if response.status_code != 200:
                raise Unavailable(f"{url}: the server answers {response.status_code}")
            async for chunk in response.aiter_raw(_CHUNK_BYTES):
                yield chunk
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as err:
        raise Invalid(f"fromSrc: {url} is no URL of http or https") from err
    except httpx.HTTPError as err:
        raise Unavailable(f"{url}: {err or type(err).__name__}") from err
