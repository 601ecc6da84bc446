"""Blobs and manifests reach registries whole, whatever breaks on the way."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from swarm.errors import Invalid, Missing, Refused, Unavailable
from swarm.images.credentials import Credentials
from swarm.images.manifest import OCI_MANIFEST, Descriptor
from swarm.images.reference import parse_reference
from swarm.io.registry import Registry
from swarm.io.uploading import Source, Target, Uploads
from swarm.io.web import Patience
from tests.swarm.io.fake_registry import FakeRegistry, Faults, serving

QUICK = Patience(connect_s=20, read_s=20, backoff_s=0.001, backoff_limit_s=0.01)
LAYER = bytes(range(256)) * 2000
DIGEST = f"sha256:{hashlib.sha256(LAYER).hexdigest()}"
BLOB = Descriptor(digest=DIGEST, size=len(LAYER))

Story = Callable[[FakeRegistry, Uploads], Awaitable[None]]


def source(content: bytes = LAYER) -> Source:
    async def read(position: int) -> AsyncIterator[bytes]:
        for start in range(position, len(content), 30_000):
            yield content[start : start + 30_000]

    return read


def tell(story: Story, fake: FakeRegistry | None = None, **as_whom: str) -> FakeRegistry:
    """Run `story` with an empty registry and uploads to its repository `acme/web`."""
    fake = fake or FakeRegistry()
    credentials = Credentials(**{"username": "", "password": ""} | as_whom) if as_whom else None

    async def run() -> None:
        async with serving(fake), Registry(patience=QUICK) as registry:
            target = Target(parse_reference(f"{fake.address}/acme/web:1"), credentials)
            await story(fake, Uploads(registry.session, target))

    asyncio.run(run())
    return fake


def test_a_blob_and_a_manifest_arrive_as_they_are() -> None:
    heard: list[int] = []

    async def story(fake: FakeRegistry, uploads: Uploads) -> None:
        assert not await uploads.has(DIGEST)
        await uploads.send(BLOB, source(), heard.append)
        await uploads.put_manifest("1", b"{}", OCI_MANIFEST)
        assert await uploads.has(DIGEST)

    fake = tell(story)

    assert fake.blobs[DIGEST] == LAYER
    assert fake.manifests["acme/web", "1"] == (OCI_MANIFEST, b"{}")
    assert heard == sorted(heard)
    assert heard[-1] == len(LAYER)
    assert not fake.uploads


def test_an_upload_that_breaks_goes_on_where_the_registry_is() -> None:
    async def story(fake: FakeRegistry, uploads: Uploads) -> None:
        await uploads.send(BLOB, source(), lambda _: None)

    fake = tell(story, FakeRegistry(faults=Faults(cut_uploads=[200_000, 100_000, 1])))

    assert fake.blobs[DIGEST] == LAYER
    assert fake.received_bytes == len(LAYER)
    ranges = [headers.get("content-range") for verb, _, headers in fake.requests if verb == "PATCH"]
    last = len(LAYER) - 1
    assert ranges == [None, f"200000-{last}", f"300000-{last}", f"300001-{last}"]


def test_an_upload_that_the_registry_forgot_begins_again() -> None:
    heard: list[int] = []

    async def story(fake: FakeRegistry, uploads: Uploads) -> None:
        await uploads.send(BLOB, source(), heard.append)

    faults = Faults(cut_uploads=[200_000], forget_uploads=True)
    fake = tell(story, FakeRegistry(faults=faults))

    assert fake.blobs[DIGEST] == LAYER
    assert heard.count(0) == 2


def test_attempts_that_bring_nothing_are_counted() -> None:
    async def story(fake: FakeRegistry, uploads: Uploads) -> None:
        with pytest.raises(Unavailable):
            await uploads.send(BLOB, source(), lambda _: None)

    fake = tell(story, FakeRegistry(faults=Faults(cut_uploads=[0] * 20)))

    assert fake.asked("PATCH", "uploads") == QUICK.attempts


def test_what_is_not_what_its_digest_says_is_refused() -> None:
    async def story(fake: FakeRegistry, uploads: Uploads) -> None:
        with pytest.raises(Invalid, match="provided digest did not match"):
            await uploads.send(BLOB, source(b"x" * len(LAYER)), lambda _: None)

    assert not tell(story).blobs


def test_a_blob_of_another_repository_is_mounted_and_not_sent() -> None:
    async def story(fake: FakeRegistry, uploads: Uploads) -> None:
        fake.add_blob(LAYER)
        fake.homes[DIGEST] = {"other/web"}

        assert not await uploads.has(DIGEST)
        assert await uploads.mount(DIGEST, "other/web")
        assert await uploads.has(DIGEST)

    fake = tell(story)

    assert fake.mounts == [(DIGEST, "other/web")]
    assert fake.received_bytes == 0


def test_a_registry_that_mounts_nothing_has_no_upload_left() -> None:
    async def story(fake: FakeRegistry, uploads: Uploads) -> None:
        fake.add_blob(LAYER)
        assert not await uploads.mount(DIGEST, "other/web")

    assert not tell(story, FakeRegistry(faults=Faults(no_mounts=True))).uploads


def test_a_registry_that_is_busy_is_asked_again() -> None:
    async def story(fake: FakeRegistry, uploads: Uploads) -> None:
        fake.faults.statuses = [(503, {}), (429, {"Retry-After": "0"})]
        assert not await uploads.has(DIGEST)
        fake.faults.statuses = [(503, {})]
        await uploads.put_manifest("1", b"{}", OCI_MANIFEST)

    assert ("acme/web", "1") in tell(story).manifests


@pytest.mark.parametrize("status", [401, 403])
def test_whoever_may_not_write_is_refused(status: int) -> None:
    async def story(fake: FakeRegistry, uploads: Uploads) -> None:
        fake.faults.statuses = [(status, {})] * 9
        with pytest.raises(Refused, match="denies access to acme/web: on request"):
            await uploads.send(BLOB, source(), lambda _: None)

    tell(story)


def test_a_registry_without_uploads_is_told_from_one_that_is_busy() -> None:
    async def story(fake: FakeRegistry, uploads: Uploads) -> None:
        fake.faults.statuses = [(404, {})]
        with pytest.raises(Missing, match="takes no acme/web"):
            await uploads.send(BLOB, source(), lambda _: None)

    tell(story)


def test_a_token_is_asked_for_writing_and_for_reading_where_it_is_mounted_from() -> None:
    async def story(fake: FakeRegistry, uploads: Uploads) -> None:
        await uploads.send(BLOB, source(), lambda _: None)
        await uploads.mount(DIGEST, "other/web")

    fake = tell(story, FakeRegistry(bearer=True), username="me", password="secret")

    writing, mounting = (parse_qs(urlsplit(each).query)["scope"] for each in fake.forms[:2])
    assert writing == ["repository:acme/web:pull,push"]
    assert mounting == ["repository:acme/web:pull,push", "repository:other/web:pull"]


def test_an_identity_token_is_exchanged_and_never_sent_to_the_registry() -> None:
    async def story(fake: FakeRegistry, uploads: Uploads) -> None:
        await uploads.has(DIGEST)

    fake = tell(story, FakeRegistry(bearer=True), identity_token="refresh-me")

    (form,) = fake.forms
    assert parse_qs(form)["grant_type"] == ["refresh_token"]
    assert parse_qs(form)["refresh_token"] == ["refresh-me"]
    assert "refresh-me" not in json.dumps(fake.requests)


def test_credentials_are_judged_by_the_registry() -> None:
    async def judge(fake: FakeRegistry, password: str) -> None:
        async with serving(fake), Registry(patience=QUICK) as registry:
            await registry.check(fake.address, credentials=Credentials("me", password))

    asyncio.run(judge(FakeRegistry(basic=("me", "right")), "right"))
    asyncio.run(judge(FakeRegistry(bearer=True, token_user=("me", "right")), "right"))
    with pytest.raises(Refused, match="denies access"):
        asyncio.run(judge(FakeRegistry(basic=("me", "right")), "wrong"))
    with pytest.raises(Refused, match="denies access to you: wrong password"):
        asyncio.run(judge(FakeRegistry(bearer=True, token_user=("me", "right")), "wrong"))
