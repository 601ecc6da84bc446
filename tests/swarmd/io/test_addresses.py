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
