import pytest

from agent.mounting import Bind, FileSystem, mounting
from runtime import constants as k
from swarm.errors import Invalid


def test_a_volume_without_options_is_a_directory() -> None:
    assert mounting("v", {}) is None


def test_flags_are_the_mounts_and_the_rest_is_the_file_systems() -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,noexec,ro,rw,uid=5"}

    assert mounting("v", options) == FileSystem(
        kind="tmpfs", device="tmpfs", flags=k.MS_NOEXEC, data=("size=1m", "uid=5")
    )


def test_a_network_file_system_names_its_host() -> None:
    found = mounting("v", {"type": "nfs", "device": ":/e", "o": "addr=files.local,nfsvers=4"})

    assert isinstance(found, FileSystem)
    assert found.address == "files.local"
    assert found.with_address("10.0.0.9") == ("addr=10.0.0.9", "nfsvers=4")


def test_a_bind_has_attributes_of_its_own() -> None:
    found = mounting("v", {"type": "none", "device": "/srv", "o": "rbind,ro,nosuid"})

    assert found == Bind(
        source="/srv",
        is_recursive=True,
        attributes=k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_NOSUID,
    )


@pytest.mark.parametrize(
    "options",
    [{"type": "tmpfs"}, {"type": "tmpfs", "device": "x", "o": "remount"}],
)
def test_options_that_cannot_be_mounted_name_the_volume(options: dict[str, str]) -> None:
    with pytest.raises(Invalid, match="volume v: option"):
        mounting("v", options)
