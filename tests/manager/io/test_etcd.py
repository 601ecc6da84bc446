import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from manager.groups import EXTERNAL_ETCD
from manager.io.etcd import EtcdStore, Target
from manager.io.etcd_messages import NotBegun, end_of, translated
from manager.store import Absent, Commit, Compacted, Put, Unchanged
from swarm.certificates import Identity
from swarm.errors import Conflict, Invalid, Missing, Refused, SwarmError, Unavailable
from swarm.specs import Role
from tests.etcd import (
    build_cluster,
    build_rig,
    connected,
    found_authority,
    free_port,
    issue_identity,
    kill,
    running,
)

T = TypeVar("T")


def put(key: str, value: str = "x") -> Commit:
    return Commit((), (Put(key, value.encode()),))


async def surely(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, asked for until there is one."""
    while True:
        try:
            return await ask()
        except Unavailable:
            await asyncio.sleep(0.05)


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await story()

    asyncio.run(limited())


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader", NotBegun),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", Unavailable),
        (grpc.StatusCode.UNKNOWN, "something new", Unavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: too many requests", Unavailable),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "etcdserver: mvcc: database space exceeded",
            Refused,
        ),
        (
            grpc.StatusCode.OUT_OF_RANGE,
            "etcdserver: mvcc: required revision has been compacted",
            Compacted,
        ),
        (grpc.StatusCode.NOT_FOUND, "etcdserver: requested lease not found", Missing),
        (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: too many operations", Invalid),
        (grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied", Refused),
    ],
)
def test_etcd_says_no_in_our_terms(
    code: grpc.StatusCode, details: str, kind: type[SwarmError]
) -> None:
    error = translated(code, details)

    assert type(error) is kind
    assert error.hint or kind in (Missing, Invalid)


@given(st.binary(), st.binary(max_size=3))
def test_law_a_prefix_ends_after_all_that_start_with_it(prefix: bytes, more: bytes) -> None:
    end = end_of(prefix)

    assert end == b"\0" or prefix + more < end
    assert end == b"\0" or not end.startswith(prefix)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:2379", "127.0.0.1:2379", "https://h/x"])
def test_an_endpoint_without_tls_is_refused(endpoint: str) -> None:
    nobody = Identity(key=b"", certificate=b"", root=b"")

    with pytest.raises(Invalid, match="etcd-endpoints"):
        EtcdStore(Target(endpoints=(endpoint,), identity=nobody))


@pytest.mark.cluster
def test_only_a_manager_of_this_swarm_reaches_the_state(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        strangers = {
            "a worker": issue_identity(rig.authority, Role.WORKER, addresses=("127.0.0.1",)),
            "another swarm's manager": structs.replace(
                issue_identity(found_authority(), Role.MANAGER), root=rig.authority.pem
            ),
        }
        async with running(rig), connected(rig.target) as ours:
            for identity in strangers.values():
                target = structs.replace(rig.target, identity=identity, timeout_s=1.0)
                async with connected(target) as theirs:
                    with pytest.raises(Unavailable):
                        await theirs.read("")
                    with pytest.raises(Unavailable):
                        await theirs.commit(put("theirs"))

            another = issue_identity(rig.authority, Role.MANAGER, name="another")
            async with connected(structs.replace(rig.target, identity=another)) as store:
                await store.commit(put("ours"))
            assert [item.key for item in (await ours.read("")).items] == ["ours"]
        with_refusals = rig.log_file.read_text()
        assert "client certificate authentication failed" in with_refusals

    run(story)


@pytest.mark.cluster
def test_a_manager_does_not_talk_to_an_etcd_of_another_swarm(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        stranger = issue_identity(rig.authority, Role.MANAGER)
        fooled = structs.replace(stranger, root=found_authority().pem)
        target = structs.replace(rig.target, identity=fooled, timeout_s=1.0)
        async with running(rig), connected(target) as store:
            with pytest.raises(Unavailable):
                await store.commit(put("a"))

    run(story)


@pytest.mark.cluster
def test_two_swarms_share_an_etcd_and_see_nothing_of_each_other(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        there = structs.replace(rig.target, root="swarm/b/")
        async with (
            running(rig),
            connected(structs.replace(rig.target, root="swarm/a/")) as one,
            connected(there) as two,
        ):
            await one.commit(put("leader", "one"))
            revision = await two.commit(Commit((Absent("leader"),), (Put("leader", b"two"),)))

            snapshot = await two.read("")
            assert [(item.key, item.value) for item in snapshot.items] == [("leader", b"two")]
            async with aclosing(two.watch("", after=revision)) as batches:
                coming = asyncio.ensure_future(anext(batches))
                await one.commit(put("a"))
                last = await two.commit(put("b"))
                assert (await coming).revision == last

    run(story)


@pytest.mark.cluster
def test_calls_wait_for_an_etcd_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        patient = structs.replace(rig.target, timeout_s=30.0)
        async with running(rig) as process, connected(patient) as store:
            revision = await store.commit(put("a", "1"))
            await kill(process)

            reading = asyncio.ensure_future(store.read("a"))
            writing = asyncio.ensure_future(
                store.commit(Commit((Unchanged("a", revision),), (Put("b", b"2"),)))
            )
            async with running(rig):
                assert (await reading).find("a")
                assert await writing == revision + 1

    run(story)


@pytest.mark.cluster
def test_a_frozen_etcd_is_noticed_by_a_watch_which_then_misses_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        target = structs.replace(rig.target, timeout_s=2.0)
        async with running(rig) as process, connected(target) as store:
            revision = await store.commit(put("a"))
            async with aclosing(store.watch("", after=revision)) as batches:
                coming = asyncio.ensure_future(anext(batches))
                os.kill(process.pid, signal.SIGSTOP)
                with pytest.raises(Unavailable):
                    await store.commit(put("b"))
                os.kill(process.pid, signal.SIGCONT)
                last = await surely(lambda: store.commit(put("c")))

                told = [await coming]
                while told[-1].revision < last:
                    told.append(await anext(batches))
                assert [b.revision for b in told] == list(range(revision + 1, last + 1))

    run(story)


@pytest.mark.cluster
def test_a_listing_is_whole_even_when_its_revision_is_compacted_under_it(tmp_path: Path) -> None:
    """It is compacted after some of its pages were read: the listing starts over."""

    async def story() -> None:
        rig = build_rig(tmp_path)
        async with running(rig), connected(rig.target) as store:
            names = [f"n/{n:05}" for n in range(200)]
            revisions = [await store.commit(Commit((), tuple(Put(name, b"") for name in names)))]

            async def compacted() -> None:
                if len(revisions) == 1:
                    revisions.append(await store.commit(put("n/00000")))
                    await store.compact(revisions[-1])

            async with connected(structs.replace(rig.target, page_keys=10)) as reader:
                before_page(reader, "n/00049", compacted)
                snapshot = await reader.read("n/")

            first, last = revisions
            assert [item.key for item in snapshot.items] == names
            assert snapshot.revision == last > first

    run(story)


def before_page(reader: EtcdStore, after: str, then: Callable[[], Awaitable[None]]) -> None:
    """Have something done whenever the page is read that goes on after a key."""
    read_page = reader._read_page

    async def read(prefix: str, *, start: str, at: int) -> Any:
        if start == after:
            await then()
        return await read_page(prefix, start=start, at=at)

    reader._read_page = read  # type: ignore[method-assign]


@pytest.mark.cluster
def test_a_listing_that_is_always_compacted_under_it_ends_with_a_hint(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        paged = structs.replace(rig.target, page_keys=10)
        async with running(rig), connected(rig.target) as store, connected(paged) as reader:
            await store.commit(Commit((), tuple(Put(f"n/{n:05}", b"") for n in range(200))))

            async def compacted() -> None:
                await store.compact(await store.commit(put("n/00000")))

            before_page(reader, "n/00049", compacted)
            with pytest.raises(Unavailable, match="compacts faster") as failed:
                await reader.read("n/")
            assert "retention" in failed.value.hint

    run(story)


@pytest.mark.cluster
def test_a_renewed_certificate_is_taken_up_without_losing_a_change(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        async with running(rig), connected(rig.target) as store:
            revision = await store.commit(put("a"))
            async with aclosing(store.watch("", after=revision)) as batches:
                await store.commit(put("b"))
                await anext(batches)
                coming = asyncio.ensure_future(anext(batches))
                calls = [asyncio.ensure_future(store.commit(put(f"c/{n}"))) for n in range(20)]
                await asyncio.sleep(0)

                await store.renew(issue_identity(rig.authority, Role.MANAGER))

                revisions = await asyncio.gather(*calls)
                told = [(await coming).revision]
                while told[-1] < max(revisions):
                    told.append((await anext(batches)).revision)
                assert told == sorted(revisions)

    run(story)


@pytest.mark.cluster
def test_a_closed_store_ends_its_watches_and_answers_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        async with running(rig):
            store = EtcdStore(rig.target)
            revision = await store.commit(put("a"))
            watching = store.watch("", after=revision)
            await store.commit(put("b"))
            await anext(watching)
            coming = asyncio.ensure_future(anext(watching))
            await asyncio.sleep(0)

            await store.close()

            with pytest.raises(Unavailable):
                await coming
            with pytest.raises(Unavailable):
                await store.read("")

    run(story)


@pytest.mark.cluster
def test_an_external_etcd_takes_small_groups_only(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        async with (
            running(rig),
            connected(structs.replace(rig.target, limits=EXTERNAL_ETCD)) as store,
        ):
            group = Commit((), tuple(Put(f"n/{n}", b"") for n in range(129)))

            with pytest.raises(Invalid, match="129 in one group, etcd takes 128"):
                await store.commit(group)

            assert not (await store.read("")).items

    run(story)


@pytest.mark.cluster
def test_a_cluster_of_three_outlives_any_one_of_its_members(tmp_path: Path) -> None:
    """Three members, one store that knows them all, and a watch.

    1. The member it talks to is killed; the next commit may be unanswered, a later one is not.
    2. The watch moves on as well, and misses nothing.
    3. The killed member returns and serves what it missed.
    """

    async def story() -> None:
        rigs = build_cluster(tmp_path, ["127.0.0.1", "127.0.0.2", "127.0.0.3"])
        processes = [rig.process() for rig in rigs]
        try:
            for process in processes:
                await process.start()
            await asyncio.gather(*(process.wait_ready() for process in processes))
            nobody = f"https://127.0.0.1:{free_port()}"
            endpoints = (nobody, *(rig.config.client_url for rig in rigs))
            target = structs.replace(rigs[0].target, endpoints=endpoints, timeout_s=2.0)
            async with connected(target) as store:
                revision = (await surely(lambda: store.read(""))).revision
                async with aclosing(store.watch("", after=revision)) as batches:
                    first = await commit_surely(store, "a")
                    assert (await anext(batches)).revision == first
                    coming = asyncio.ensure_future(anext(batches))
                    await kill(processes[0])

                    second = await commit_surely(store, "b")
                    assert (await coming).changes[0].key == "b"

                processes[0] = rigs[0].process()
                await processes[0].start()
                await processes[0].wait_ready()
                async with connected(rigs[0].target) as returned:
                    snapshot = await surely(lambda: returned.read(""))
                    assert [item.key for item in snapshot.items] == ["a", "b"]
                    assert snapshot.revision >= second
        finally:
            for process in processes:
                await process.stop()

    async def commit_surely(store: EtcdStore, key: str) -> int:
        try:
            return await surely(lambda: store.commit(Commit((Absent(key),), (Put(key, b""),))))
        except Conflict:
            item = (await surely(lambda: store.read(key))).find(key)
            assert item
            return item.mod_revision

    run(story)
