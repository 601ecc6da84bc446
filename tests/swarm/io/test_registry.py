"""The registry client copes with registries that break, lie, redirect and refuse."""

import asyncio
import hashlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from swarm.errors import Invalid, Missing, Refused, SwarmError, Unavailable
from swarm.images.credentials import Credentials
from swarm.images.manifest import Descriptor
from swarm.images.reference import Reference, parse_reference
from swarm.io.registry import Registry
from swarm.io.web import Patience
from tests.swarm.io.fake_registry import FakeRegistry, Faults, serving

QUICK = Patience(connect_s=20, read_s=20, backoff_s=0.001, backoff_limit_s=0.01)
LAYER = bytes(range(256)) * 2000
DIGEST = f"sha256:{hashlib.sha256(LAYER).hexdigest()}"
BLOB = Descriptor(digest=DIGEST, size=len(LAYER))

Story = Callable[[FakeRegistry, Registry, Reference], Awaitable[None]]


def tell(story: Story, fake: FakeRegistry | None = None, **options: Faults) -> FakeRegistry:
    """Run `story` with a fake registry that holds `web:1`, and a client that waits briefly."""
    fake = fake or FakeRegistry(**options)
    fake.add_image("web", "1", [LAYER])

    async def run() -> None:
        async with serving(fake), Registry(patience=QUICK) as registry:
            await story(fake, registry, parse_reference(f"{fake.address}/web:1"))

    asyncio.run(run())
    return fake


async def read(registry: Registry, name: Reference, **options: Credentials) -> bytes:
    return b"".join([chunk async for chunk in registry.blob(name, BLOB, **options)])


def test_a_broken_download_goes_on_where_it_stopped() -> None:
    """The registry dies three times in mid-blob.

    1. Each answer is cut after 150,000 bytes.
    2. Each next request asks for the rest only.
    3. In the end every byte was sent once.
    """

    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        assert await read(registry, name) == LAYER

    fake = tell(story, faults=Faults(cut={DIGEST: (3, 150_000)}))

    ranges = [headers["range"] for _, _, headers in fake.requests if "range" in headers]
    assert ranges == ["bytes=150000-", "bytes=300000-", "bytes=450000-"]
    assert fake.sent_bytes[DIGEST] == len(LAYER)


def test_a_registry_without_ranges_is_read_again_and_skipped() -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        assert await read(registry, name) == LAYER

    tell(story, faults=Faults(cut={DIGEST: (2, 200_000)}, no_ranges=True))


def test_attempts_that_bring_nothing_are_counted() -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        with pytest.raises(Unavailable, match=f"registry {fake.address}"):
            await read(registry, name)

    fake = tell(story, faults=Faults(cut={DIGEST: (100, 10)}))

    assert fake.asked("GET", "/blobs/") == QUICK.attempts


def test_a_corrupted_blob_is_refused_with_both_digests() -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        with pytest.raises(Invalid, match=f"expected {DIGEST}, actual sha256:"):
            await read(registry, name)

    tell(story, faults=Faults(corrupt={DIGEST}))


def test_a_blob_longer_than_announced_is_refused_before_it_is_all_read() -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        with pytest.raises(Invalid, match="more than its 512000 bytes"):
            await read(registry, name)

    tell(story, faults=Faults(longer=b"x" * 100))


def test_a_corrupted_manifest_is_refused_with_both_digests() -> None:
    fake = FakeRegistry()
    digest = fake.add_image("web", "1", [LAYER])
    fake.faults.corrupt.add(digest)

    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        for reference in (name, name.with_digest(digest)):
            with pytest.raises(Invalid, match=f"expected {digest}, actual sha256:"):
                await registry.manifest(reference)

    tell(story, fake)


@pytest.mark.parametrize("faults", [Faults(no_head=True), Faults(no_digest_header=True)])
def test_registries_that_know_no_head_are_asked_for_the_whole_manifest(faults: Faults) -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        assert await registry.resolve(name) == (await registry.manifest(name)).digest

    tell(story, faults=faults)


def test_a_digest_resolves_to_itself_without_a_question() -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        assert await registry.resolve(name.with_digest(DIGEST)) == DIGEST

    assert tell(story).requests == []


def test_a_busy_registry_is_asked_again() -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        await registry.resolve(name)
        fake.faults.statuses = [(502, {}), (500, {})]
        assert await read(registry, name) == LAYER

    tell(story, faults=Faults(statuses=[(503, {}), (429, {"Retry-After": "0"})]))


def test_a_registry_that_stays_busy_is_unavailable_in_its_own_words() -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        with pytest.raises(Unavailable, match=f"{fake.address} answers 503: on request"):
            await registry.manifest(name)

    fake = tell(story, faults=Faults(statuses=[(503, {})] * 50))

    assert len(fake.requests) == QUICK.attempts


def test_a_bearer_token_is_fetched_once_and_used_for_everything() -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        await registry.resolve(name)
        await registry.manifest(name)
        assert await read(registry, name) == LAYER

    fake = tell(story, FakeRegistry(bearer=True))

    assert fake.asked("GET", "/token") == 1
    assert "scope=repository%3Ax%3Apull%2Cpush" in next(
        path for _, path, _ in fake.requests if path.startswith("/token")
    )


def test_a_token_that_expired_is_fetched_again() -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        await registry.resolve(name)
        fake.tokens += 1  # the registry forgot the token that we hold
        await registry.resolve(name)

    fake = tell(story, FakeRegistry(bearer=True))

    assert fake.asked("GET", "/token") == 2


def test_the_password_goes_to_the_token_service_only() -> None:
    credentials = Credentials("me", "secret")

    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        await registry.resolve(name, credentials=credentials)
        with pytest.raises(Refused, match="denies access to web: wrong password"):
            await registry.resolve(name, credentials=Credentials("me", "guess"))

    fake = tell(story, FakeRegistry(bearer=True, token_user=("me", "secret")))

    for _, path, headers in fake.requests:
        given = headers.get("authorization", "")
        assert given.startswith("Basic") == path.startswith("/token")


def test_tokens_of_one_user_are_not_lent_to_another() -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        await registry.resolve(name, credentials=Credentials("me", "secret"))
        with pytest.raises(Refused):
            await registry.resolve(name)

    tell(story, FakeRegistry(bearer=True, token_user=("me", "secret")))


def test_the_authorization_does_not_follow_a_redirect_to_another_host() -> None:
    """Registries redirect blobs to storage; the token is none of its business."""

    async def story() -> tuple[FakeRegistry, FakeRegistry]:
        storage, front = FakeRegistry(), FakeRegistry(basic=("me", "secret"))
        storage.add_image("web", "1", [LAYER])
        async with serving(storage), serving(front), Registry(patience=QUICK) as registry:
            front.faults.redirect = f"http://{storage.address}"
            name = parse_reference(f"{front.address}/web:1")

            content = await read(registry, name, credentials=Credentials("me", "secret"))

            assert content == LAYER
        return storage, front

    storage, front = asyncio.run(story())

    assert "authorization" in front.requests[-1][2]
    assert ["authorization" in headers for _, _, headers in storage.requests] == [False]


def test_endless_redirects_are_refused() -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        fake.faults.redirect = f"http://{fake.address}"
        with pytest.raises(Invalid, match="redirects more than 5 times"):
            await read(registry, name)

    tell(story)


def test_a_redirect_to_another_scheme_is_refused() -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        fake.faults.redirect = "file://etc"
        with pytest.raises(Invalid, match="is not a URL"):
            await read(registry, name)

    tell(story)


def test_a_dead_registry_is_unavailable_and_named() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"  # bound, and nobody listens

        async def story() -> None:
            async with Registry(patience=QUICK) as registry:
                await registry.resolve(parse_reference(f"{address}/web:1"))

        with pytest.raises(Unavailable, match=f"registry {address} cannot be reached") as refusal:
            asyncio.run(story())

    assert refusal.value.hint


def test_a_registry_that_accepts_and_says_nothing_is_unavailable() -> None:
    async def story(fake: FakeRegistry, _: Registry, name: Reference) -> None:
        patience = Patience(read_s=0.05, attempts=2, backoff_s=0.001)
        async with Registry(patience=patience) as registry:
            with pytest.raises(Unavailable, match="the connection broke"):
                await registry.resolve(name)

    tell(story, faults=Faults(silent=True))


def test_plain_http_where_tls_is_due_says_what_to_list() -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        fake.faults.redirect = f"https://{fake.address}"
        with pytest.raises(Unavailable, match="TLS failed") as refusal:
            await read(registry, name)
        assert f"list {fake.address} as an insecure registry" in refusal.value.hint

    tell(story)


def test_only_a_known_authority_is_trusted(tmp_path: Path) -> None:
    """A registry with a certificate of its own making is refused until its CA is installed."""
    certificate, tls = self_signed(tmp_path)

    async def story(ca_dir: Path) -> bytes:
        storage, front = FakeRegistry(), FakeRegistry()
        storage.add_blob(LAYER)
        async with (
            serving(storage, tls=tls),
            serving(front),
            Registry(ca_dir=ca_dir, patience=QUICK) as registry,
        ):
            front.faults.redirect = f"https://{storage.address}"
            return await read(registry, parse_reference(f"{front.address}/web:1"))

    with pytest.raises(Refused, match="its certificate is not trusted"):
        asyncio.run(story(tmp_path / "nothing"))
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "corp.crt").write_bytes(certificate)

    assert asyncio.run(story(tmp_path / "ca")) == LAYER


def self_signed(directory: Path) -> tuple[bytes, ssl.SSLContext]:
    """A certificate for 127.0.0.1 in PEM, and a server's context that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (directory / "server.pem").write_bytes(secret + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    return pem, context


def test_a_broken_ca_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "corp.crt").write_text("not a certificate")

    async def story() -> None:
        async with Registry(ca_dir=tmp_path, patience=QUICK) as registry:
            await registry.resolve(parse_reference("registry.invalid/web:1"))

    with pytest.raises(Invalid, match=r"corp\.crt: not a PEM certificate"):
        asyncio.run(story())


def test_every_failure_is_one_of_ours() -> None:
    """Whatever status a registry invents, the caller gets a SwarmError with a message."""

    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        for status in (204, 301, 304, 400, 401, 402, 403, 404, 410, 418, 451, 500, 505):
            fake.faults.statuses = [(status, {})] * QUICK.attempts
            with pytest.raises(SwarmError) as refusal:
                await registry.manifest(name)
            assert refusal.value.message

    tell(story)


def test_all_tags_of_a_repository_are_told_page_by_page() -> None:
    async def story(fake: FakeRegistry, registry: Registry, name: Reference) -> None:
        for tag in ("b", "c", "a", "latest"):
            fake.add_image("web", tag, [LAYER])
        fake.faults.statuses = [(503, {})]
        assert await registry.tags(name) == ("1", "a", "b", "c", "latest")
        with pytest.raises(Missing, match="other not found"):
            await registry.tags(parse_reference(f"{fake.address}/other"))

    assert tell(story).asked("GET", "/tags/list") == 5
