"""Get this node its first certificate, and keep it in a valid one.

Joining writes the node's future key before it asks: when the answer is lost, or we are, the
next attempt asks with the same key and is given the same node. Renewal takes a new key each
time and replaces key and certificate by one rename, so a crash at any line leaves an identity
that works.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import grpc
import structlog
from msgspec import Struct

from swarm.api.v1 import specs_pb2, trust_pb2, trust_pb2_grpc
from swarm.certificates import (
    Identity,
    Subject,
    bind,
    key_pem,
    load_key,
    make_key,
    request,
    subject_of,
)
from swarm.errors import Refused, SwarmError
from swarm.io import tls
from swarm.io.identity import IdentityFiles
from swarm.io.pinning import pin
from swarm.io.private import read_private, write_private
from swarm.io.rpc import failure
from swarm.specs import Availability
from swarm.tokens import anchor_of, join_certificate, parse_token
from swarmd.identity import (
    Ask,
    Effect,
    Event,
    Failed,
    Granted,
    Install,
    Installed,
    Report,
    Woke,
    begin,
    next_deadline,
    step,
)

ENROLL_WITHIN_S = 20.0
RENEW_WITHIN_S = 20.0
# Clocks are set by hand and hosts are suspended, so we look at the wall clock this often.
LOOK_EVERY_S = 60.0


class Joined(Struct, frozen=True, kw_only=True):
    """What enrolling gave. It is not on disk yet: `IdentityFiles.install` commits it."""

    identity: Identity
    subject: Subject
    managers: tuple[str, ...]


async def join(
    address: str,
    token_text: str,
    *,
    files: IdentityFiles,
    hostname: str,
    availability: Availability,
    now: Callable[[], float],
    random: Random,
) -> Joined:
    """Enroll at the manager at `address`, after making sure that it is the token's swarm.

    Nothing of the swarm is on disk when this fails.
    """
    token = parse_token(token_text)
    pending = _pending_key(files, random)
    key = load_key(pending)
    leaf = join_certificate(anchor_of(token), key.public_key(), now=now())
    root = await pin(address, token, certificate=leaf, key=pending, now=now)
    caller = Identity(key=pending, certificate=leaf, root=root)
    answer = await _enroll(address, caller, request(key), hostname, availability)
    identity = bind(key, answer.certificate, root)
    subject = subject_of(identity)
    if subject.node_id != answer.node_id:
        raise Refused(f"{address} answered for {answer.node_id}, certified {subject.node_id}")
    return Joined(identity=identity, subject=subject, managers=tuple(answer.managers))


async def renew(address: str, identity: Identity, *, random: Random) -> Identity:
    """Get a certificate for a new key from the manager at `address`."""
    key = make_key(random)
    async with tls.channel(address, identity) as channel:
        stub = trust_pb2_grpc.TrustStub(channel)
        try:
            answer = await stub.Renew(
                trust_pb2.RenewRequest(csr=request(key)), timeout=RENEW_WITHIN_S
            )
        except grpc.RpcError as err:
            raise failure(err) from err
    return bind(key, answer.certificate, answer.root_certificate)


async def keep_valid(
    files: IdentityFiles,
    ask: Callable[[Identity], Awaitable[Identity]],
    *,
    now: Callable[[], float],
    random: Random,
    log: structlog.stdlib.BoundLogger,
    look_every_s: float = LOOK_EVERY_S,
) -> None:
    """Renew the identity in `files` for as long as it runs. `ask` is `renew` at some manager."""
    renewal = begin(files.current(), random=random)
    while True:
        due = next_deadline(renewal)
        assert due is not None
        if now() < due:
            await asyncio.sleep(min(due - now(), look_every_s))
        event: Event = Woke()
        while True:
            renewal, effects = step(renewal, event, now=now(), random=random)
            answer = await _apply(effects, files, ask, log)
            if answer is None:
                break
            event = answer


async def _apply(
    effects: tuple[Effect, ...],
    files: IdentityFiles,
    ask: Callable[[Identity], Awaitable[Identity]],
    log: structlog.stdlib.BoundLogger,
) -> Event | None:
    answer: Event | None = None
    for effect in effects:
        match effect:
            case Ask():
                answer = await _asked(files, ask)
            case Install(identity):
                answer = _installed(files, identity, log)
            case Report():
                tell = log.error if effect.left_s <= 0 else log.warning
                tell(
                    "certificate.kept",
                    reason=effect.reason,
                    attempts=effect.attempts,
                    retry_s=round(effect.retry_s, 1),
                    left_s=round(effect.left_s, 1),
                )
    return answer


async def _asked(files: IdentityFiles, ask: Callable[[Identity], Awaitable[Identity]]) -> Event:
    try:
        return Granted(await ask(files.current()))
    except SwarmError as err:
        return Failed(err.message)


def _installed(
    files: IdentityFiles, identity: Identity, log: structlog.stdlib.BoundLogger
) -> Event:
    try:
        files.install(identity)
    except SwarmError as err:
        return Failed(err.message)
    log.info("certificate.renewed", not_after=subject_of(identity).not_after)
    return Installed(identity)


async def _enroll(
    address: str, caller: Identity, csr: bytes, hostname: str, availability: Availability
) -> trust_pb2.EnrollResponse:
    wanted = trust_pb2.EnrollRequest(
        csr=csr,
        hostname=hostname,
        availability=specs_pb2.Availability.ValueType(int(availability)),
    )
    async with tls.channel(address, caller) as channel:
        try:
            return await trust_pb2_grpc.TrustStub(channel).Enroll(wanted, timeout=ENROLL_WITHIN_S)
        except grpc.RpcError as err:
            raise failure(err) from err


def _pending_key(files: IdentityFiles, random: Random) -> bytes:
    kept = read_private(files.pending)
    if kept is None:
        kept = key_pem(make_key(random))
        write_private(files.pending, kept)
    return kept
