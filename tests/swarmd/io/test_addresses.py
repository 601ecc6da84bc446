import os
import subprocess
import sys

import pytest

from swarm.errors import Invalid
from swarmd.io.addresses import advertised, data_path_of, of_interface


def test_the_name_of_an_interface_stands_for_its_address() -> None:
    assert of_interface("lo") == "127.0.0.1"
    assert advertised("lo", listen_addr="0.0.0.0:2377") == "127.0.0.1:2377"
    assert advertised("lo:5000", listen_addr="0.0.0.0:2377") == "127.0.0.1:5000"
    assert data_path_of("lo") == "127.0.0.1"


@pytest.mark.parametrize("text", ["", "198.18.0.1", "::1", "nosuch0", "x" * 300, "a\0b", "é"])
def test_what_names_no_interface_stays_as_it_is(text: str) -> None:
    assert of_interface(text) == text


@pytest.mark.parametrize("text", ["nosuch0", "a\0b"])
def test_what_is_neither_address_nor_interface_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is not an IP address"):
        advertised(text, listen_addr="0.0.0.0:2377")
    with pytest.raises(Invalid, match="--data-path-addr"):
        data_path_of(text)


ASK = (
    "from swarmd.io.addresses import advertised; print(advertised('', listen_addr='0.0.0.0:2377'))"
)


def chosen(*commands: str) -> subprocess.CompletedProcess[str]:
    """What is chosen on a host of its own, with these links and addresses."""
    script = " && ".join(["ip link set lo up", *commands, f'exec {sys.executable} -c "$ASK"'])
    return subprocess.run(
        ["unshare", "--net", "sh", "-c", script],
        env=os.environ | {"ASK": ASK}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def link(name: str, address: str) -> str:
    return f"ip link add {name} type bridge && ip addr add {address}/24 dev {name}"


@pytest.mark.kernel
def test_a_host_without_a_default_route_may_have_just_one_address() -> None:
    ours = link("sw-bridge", "172.17.0.1")

    assert chosen(link("eth0", "198.18.0.7"), ours).stdout == "198.18.0.7:2377\n"

    two = chosen(link("eth0", "198.18.0.7"), link("eth1", "198.18.1.7")).stderr
    assert "and it has 198.18.0.7, 198.18.1.7" in two
    assert "and it has none" in chosen(ours).stderr
