from typing import Any

import pytest

from runtime.planning.place import Borrowed
from runtime.spec import Mount, UserNamespace
from runtime.translation import (
    NOTHING,
    Known,
    group_path,
    to_config,
    to_extras,
)
from tests.runtime.specs import make_spec

MIB = 1024 * 1024


def test_namespaces_are_its_own_the_hosts_or_what_is_joined() -> None:
    spec = make_spec(
        pid_namespace="container:x", ipc_namespace="host", network_namespace="/n",
        hostname="h", uts_namespace="host", cgroup_namespace="host",
    )  # fmt: skip

    config = to_config(spec, Known(joined={"pid": "/proc/self/fd/9"}))

    assert config.linux is not None
    assert {each.type: each.path for each in config.linux.namespaces} == {
        "pid": "/proc/self/fd/9", "mount": "", "network": "/n",
    }  # fmt: skip
    assert config.hostname == ""  # it would be the host's


def test_parameters_of_a_network_that_is_joined_are_its_makers() -> None:
    own, joined = (
        to_config(make_spec(network_namespace=path, sysctls={"net.core.x": "1"})).linux
        for path in ("", "/n")
    )

    assert own is not None
    assert joined is not None
    assert len(own.sysctl) == 3
    assert joined.sysctl == {"net.core.x": "1"}


def test_shared_memory_is_its_own_the_hosts_anothers_or_there_is_none() -> None:
    def found(known: Known = NOTHING, **fields: Any) -> list[tuple[str, tuple[str, ...]]]:
        mounts = to_config(make_spec(**fields), known).mounts
        return [(each.type, each.options) for each in mounts if each.destination == "/dev/shm"]

    assert found()[0][1][-1] == "size=65536k"
    assert found(shm_bytes=1000)[0][1][-1] == "size=1000"
    assert found(shm_bytes=0) == []
    assert found(ipc_namespace="host") == [("bind", ("rbind",))]
    other = make_spec(ipc_namespace="container:x")
    assert to_extras(other, Known(shm_owner="/proc/self/fd/8")).borrowed == (
        Borrowed("/dev/shm", "/proc/self/fd/8"),
    )


def test_a_group_lies_in_the_parent_of_its_host() -> None:
    assert group_path(make_spec(cgroup_parent="h1")) == "h1/t1"


@pytest.mark.parametrize("user_namespace", [None, UserNamespace(uids=(), gids=())])
def test_mounts_are_mapped_only_where_ids_are(user_namespace: UserNamespace | None) -> None:
    mount = Mount(source="/v", target="/data", mapped=True, copy_up=True)
    spec = make_spec(mounts=(mount,), user_namespace=user_namespace)

    [made] = [each for each in to_config(spec).mounts if each.destination == "/data"]
    [copying] = to_extras(spec).copy_ups

    assert ("idmap" in made.options) == (user_namespace is not None)
    assert copying.mapped == (user_namespace is not None)
