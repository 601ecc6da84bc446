import multiprocessing
import os
from pathlib import Path

import msgspec
import pytest

from runtime.command.record import ProcessId, Record
from runtime.io.command.observing import identify, lives, own_id
from runtime.io.command.store import Store
from swarm.errors import Invalid, Missing, Refused, Unavailable

CONFIG = b'{"ociVersion":"1.2.0"}'


def record(name: str, **fields: object) -> Record:
    made = Record(
        id=name,
        version="1.2.0",
        bundle="/b",
        rootfs="/b/rootfs",
        group=f"swarm-runtime/{name}",
        created="2026-01-02T03:04:05Z",
        owner=0,
        creator=own_id(),
    )
    return msgspec.structs.replace(made, **fields)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "root"))


def names(store: Store) -> list[str]:
    return sorted(each.name for each in Path(store.root).iterdir())


def test_a_claimed_container_is_there_with_its_record_and_config(store: Store) -> None:
    with store.claim(record("c1"), CONFIG):
        pass

    assert store.ids() == ["c1"]
    assert store.read("c1") == record("c1")
    assert store.config("c1") == CONFIG
    assert Path(store.directory("c1")).stat().st_mode & 0o777 == 0o711


def test_what_is_saved_is_read(store: Store) -> None:
    with store.claim(record("c1"), CONFIG) as held:
        held.save(record("c1", is_complete=True))

    assert store.read("c1").is_complete


def test_an_id_can_be_claimed_once(store: Store) -> None:
    store.claim(record("c1"), CONFIG).release()

    with pytest.raises(Refused, match="container with given ID already exists"):
        store.claim(record("c1"), CONFIG)

    assert names(store) == ["c1"]


def test_a_container_that_is_not_there_is_missing(store: Store) -> None:
    for ask in (store.read, store.hold, store.config):
        with pytest.raises(Missing, match="container does not exist"):
            ask("c1")
    assert store.ids() == []


def test_odd_ids_reach_no_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(msgspec.json.encode(record("x")))
    Path(store.root).mkdir()

    for odd in ("..", "../root", ".", "", "a/b"):
        with pytest.raises(Invalid):
            store.read(odd)


def test_who_holds_a_container_holds_it_alone(store: Store) -> None:
    with store.claim(record("c1"), CONFIG):
        with pytest.raises(Unavailable, match="container c1 is busy"):
            store.hold("c1", patience_s=0.05)
        assert store.read("c1").id == "c1"  # reading needs nobody's leave

    store.hold("c1", patience_s=0).release()


def test_whoever_waited_for_a_container_that_is_removed_learns_that(store: Store) -> None:
    held = store.claim(record("c1"), CONFIG)
    asked, heard = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_wait_for, args=(store, heard))
    child.start()
    try:
        assert asked.poll(60)
        held.remove()
        held.release()
        assert asked.recv() == "waiting"
        assert asked.poll(60)
        assert asked.recv() == "missing"
    finally:
        child.kill()
        child.join()


def _wait_for(store: Store, heard: "multiprocessing.connection.Connection") -> None:
    heard.send("waiting")
    try:
        store.hold("c1")
    except Missing:
        heard.send("missing")


def test_a_removed_container_can_be_claimed_again(store: Store) -> None:
    with store.claim(record("c1"), CONFIG) as held:
        held.remove()

    assert names(store) == []
    store.claim(record("c1"), CONFIG).release()


def dead_process() -> ProcessId:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    dead = identify(child)
    os.waitpid(child, 0)
    return dead


def test_what_a_killed_command_left_hidden_goes_with_the_next_listing(store: Store) -> None:
    store.claim(record("c1"), CONFIG).release()
    dead, me = dead_process(), own_id()
    for owner in (dead, me):
        (Path(store.root) / f",{owner.pid},{owner.ticks},new").mkdir()
    (Path(store.root) / ",seccomp").mkdir()

    assert store.ids() == ["c1"]

    assert names(store) == sorted([f",{me.pid},{me.ticks},new", ",seccomp", "c1"])


def test_a_process_is_not_another_of_its_number() -> None:
    me = own_id()

    assert lives(me)
    assert not lives(ProcessId(me.pid, me.ticks + 1))
    assert not lives(dead_process())


def test_a_directory_of_someone_else_is_no_container(store: Store) -> None:
    (Path(store.root) / "stray" / "inner").mkdir(parents=True)

    assert store.ids() == []
    with pytest.raises(Missing):
        store.hold("stray")
    with pytest.raises(Refused, match="already exists"):
        store.claim(record("stray"), CONFIG)
