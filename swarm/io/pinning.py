"""Meet a swarm for the first time: look at its root before trusting anything it says.

gRPC cannot do this: it wants the root before it dials. So one TLS connection is made by
hand, presenting the joiner's certificate, and closed once the server's chain and its answer to
our certificate are known. What to make of them is `swarm.pinning`'s to say.
"""

import asyncio
import os
import ssl
import sys
from collections.abc import Callable
from typing import Any

from swarm.addresses import parse_address
from swarm.errors import Unavailable
from swarm.pinning import check_greeting, no_manager, pinned_root, refused_token
from swarm.tokens import JoinToken

TIMEOUT_S = 5.0


async def pin(
    address: str,
    token: JoinToken,
    *,
    certificate: bytes,
    key: bytes,
    now: Callable[[], float],
    timeout_s: float = TIMEOUT_S,
) -> bytes:
    """Return the root (PEM) of the swarm at `address`, which is the one `token` pins.

    `certificate` and `key` (PEM) are the joiner's. `Unavailable` when nobody is there,
    `Refused` when somebody else is or the token is not theirs.
    """
    reader, writer = await _connect(address, timeout_s)
    try:
        await _handshake(writer, address, _context(certificate, key), timeout_s)
        root = pinned_root(_presented(writer), token, address=address, now=now())
        check_greeting(await _greeting(reader, address, timeout_s), address=address)
        return root
    finally:
        writer.transport.abort()


async def _connect(
    address: str, timeout_s: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = parse_address(address)
    try:
        async with asyncio.timeout(timeout_s):
            return await asyncio.open_connection(host, port)
    except TimeoutError as err:
        raise _unreachable(address, f"no answer within {timeout_s:g} s") from err
    except OSError as err:
        raise _unreachable(address, err.strerror or str(err)) from err


async def _handshake(
    writer: asyncio.StreamWriter, address: str, context: ssl.SSLContext, timeout_s: float
) -> None:
    try:
        await writer.start_tls(context, ssl_handshake_timeout=timeout_s)
    except ssl.SSLError as err:
        if "ALERT" in (err.reason or ""):
            raise refused_token(address) from err
        raise no_manager(address, "it does not answer in TLS") from err
    except OSError as err:
        raise no_manager(address, "it hung up instead of answering in TLS") from err


async def _greeting(reader: asyncio.StreamReader, address: str, timeout_s: float) -> bytes:
    try:
        async with asyncio.timeout(timeout_s):
            return await reader.read(64)
    except TimeoutError as err:
        raise _unreachable(address, f"no greeting within {timeout_s:g} s") from err
    except OSError as err:  # also the alert that a refused certificate gets
        raise refused_token(address) from err


def _context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The chain is judged against the token's digest, by us.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    # The ssl module reads keys from files only; this one never touches a disk.
    descriptor = os.memfd_create("swarm-join", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key + certificate)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context


def _presented(writer: asyncio.StreamWriter) -> list[bytes]:
    session = writer.get_extra_info("ssl_object")
    if sys.version_info >= (3, 13):
        return [bytes(each) for each in session.get_unverified_chain()]
    # Public only since 3.13; the same call is there before.
    chain: list[Any] = session._sslobj.get_unverified_chain() or []
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in chain]


def _unreachable(address: str, reason: str) -> Unavailable:
    return Unavailable(
        f"cannot reach a manager at {address}: {reason.lower()}",
        hint="check the address, that swarmd runs there, and that no firewall blocks the port",
    )
