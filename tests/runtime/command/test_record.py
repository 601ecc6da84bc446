import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.command.record import (
    ProcessId,
    Record,
    Seen,
    check_id,
    group_of,
    listed,
    state_of,
    status_of,
)
from runtime.oci.config import Hook, Hooks
from runtime.oci.state import Status
from swarm.errors import Invalid


def record(**fields: object) -> Record:
    made = Record(
        id="c1",
        version="1.2.0",
        bundle="/b",
        rootfs="/b/rootfs",
        group="swarm-runtime/c1",
        created="2026-01-02T03:04:05.6Z",
        owner=0,
        creator=ProcessId(5, 50),
        init=ProcessId(7, 70),
        gate=99,
        is_complete=True,
    )
    return msgspec.structs.replace(made, **fields)


def seen(**fields: bool) -> Seen:
    made = Seen(creator_lives=False, init_lives=True, waits_at_gate=False, is_frozen=False)
    return msgspec.structs.replace(made, **fields)


@pytest.mark.parametrize(
    ("of", "now", "status"),
    [
        (record(), seen(waits_at_gate=True), Status.CREATED),
        (record(), seen(), Status.RUNNING),
        (record(), seen(is_frozen=True), Status.PAUSED),
        (record(), seen(is_frozen=True, waits_at_gate=True), Status.PAUSED),
        (record(), seen(init_lives=False), Status.STOPPED),
        (record(is_complete=False), seen(creator_lives=True), Status.CREATING),
        (record(is_complete=False), seen(creator_lives=False), Status.STOPPED),
        (record(is_complete=False, init=None), seen(init_lives=False), Status.STOPPED),
    ],
)
def test_the_status_is_what_the_kernel_says(of: Record, now: Seen, status: Status) -> None:
    assert status_of(of, now) is status


def test_a_stopped_container_has_no_pid() -> None:
    assert state_of(record(), Status.RUNNING).pid == 7
    assert state_of(record(), Status.STOPPED).pid == 0
    assert listed(record(), Status.STOPPED).pid == 0


def test_what_state_prints_has_the_words_of_callers_of_runc() -> None:
    printed = msgspec.to_builtins(listed(record(annotations={"a": "b"}), Status.RUNNING))

    assert printed == {
        "ociVersion": "1.2.0",
        "id": "c1",
        "pid": 7,
        "status": "running",
        "bundle": "/b",
        "rootfs": "/b/rootfs",
        "created": "2026-01-02T03:04:05.6Z",
        "annotations": {"a": "b"},
        "owner": "0",
    }


def test_a_record_survives_being_written_and_read() -> None:
    full = record(hooks=Hooks(poststop=(Hook(path="/h", args=("h",), timeout=3),)))

    assert msgspec.json.decode(msgspec.json.encode(full), type=Record) == full


@pytest.mark.parametrize("good", ["a", "web_1.x+y-z", "..a", "A" * 255, "-x"])
def test_an_id_is_of_harmless_characters(good: str) -> None:
    check_id(good)


@pytest.mark.parametrize(
    "bad", ["", ".", "..", "../x", "a/b", "a b", "a\n", "é", "\udc80", "a" * 256, "a\0"]
)
def test_an_id_that_would_not_name_one_directory_is_refused(bad: str) -> None:
    with pytest.raises(Invalid, match="invalid container ID format"):
        check_id(bad)


@pytest.mark.parametrize(
    ("said", "group"),
    [
        ("", "swarm-runtime/c1"),
        ("/", "swarm-runtime/c1"),
        ("/docker/c1", "docker/c1"),
        ("//docker/./c1/", "docker/c1"),
        ("machines/c1", "swarm-runtime/machines/c1"),
        ("/user.slice/a:b:c/x", "user.slice/a:b:c/x"),
    ],
)
def test_a_group_is_where_config_says(said: str, group: str) -> None:
    assert group_of(said, "c1") == group


def test_systemds_notation_is_refused_with_what_to_change() -> None:
    with pytest.raises(Invalid, match=r"linux\.cgroupsPath") as caught:
        group_of("system.slice:docker:c1", "c1")

    assert "cgroupfs" in caught.value.hint


@given(st.text(alphabet="a./:", max_size=12))
def test_law_a_group_never_leaves_its_hierarchy(said: str) -> None:
    try:
        group = group_of(said, "c1")
    except Invalid:
        return
    assert group
    assert not {"", ".", ".."} & set(group.split("/"))
