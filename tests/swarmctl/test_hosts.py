"""Only Unix sockets are hosts."""

import pytest

from swarm.errors import Invalid
from swarmctl.hosts import DEFAULT_HOST, socket_path


def test_a_socket_is_a_url_or_a_path() -> None:
    assert socket_path(DEFAULT_HOST) == socket_path("/run/swarmd/swarmd.sock")


@pytest.mark.parametrize("host", ["tcp://1.2.3.4:1", "swarmd.sock", "", "unix://relative"])
def test_a_host_that_is_no_socket_is_refused(host: str) -> None:
    with pytest.raises(Invalid, match="--host"):
        socket_path(host)
