"""`--publish` is read in both of Docker's forms."""

import pytest

from swarm.errors import Invalid
from swarm.specs import Port, Protocol, PublishMode
from swarmctl.ports import parse_ports, parse_removed


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", (Port(target=80),)),
        ("8080:80", (Port(target=80, published=8080),)),
        ("8080:80/udp", (Port(target=80, published=8080, protocol=Protocol.UDP),)),
        ("127.0.0.1:8080:80", (Port(target=80, published=8080, ip="127.0.0.1"),)),
        ("[::1]:8080:80", (Port(target=80, published=8080, ip="::1"),)),
        ("127.0.0.1::80", (Port(target=80, ip="127.0.0.1"),)),
        (
            "8000-8001:80-81",
            (Port(target=80, published=8000), Port(target=81, published=8001)),
        ),
        (
            "mode=host,target=80,published=8080,protocol=sctp,ip=10.0.0.1",
            (
                Port(
                    target=80,
                    published=8080,
                    protocol=Protocol.SCTP,
                    mode=PublishMode.HOST,
                    ip="10.0.0.1",
                ),
            ),
        ),
    ],
)
def test_a_port_is_read(text: str, ports: tuple[Port, ...]) -> None:
    assert parse_ports(text) == ports


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not"),
        ("http", "is not"),
        ("1:2:3", "is not"),
        ("80/icmp", "no protocol 'icmp'"),
        ("65536", "not a port"),
        ("0", "not a port"),
        ("9-8", "not a range"),
        ("8000-8001:80", "different lengths"),
        ("published=80", "no target"),
        ("target=80,target=81", "given twice"),
        ("target=80,mode=both", "no mode 'both'"),
        ("target=80,name=x", "cannot be read"),
    ],
)
def test_what_is_no_port_is_refused(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        parse_ports(text)


def test_a_removal_names_the_target() -> None:
    port = Port(target=80, published=8080)

    assert is_meant(port, "80")
    assert is_meant(port, "80/tcp")
    assert not is_meant(port, "80/udp")
    assert not is_meant(port, "8080")


def test_a_removal_may_repeat_what_was_published() -> None:
    port = Port(target=80, published=8080)

    assert is_meant(port, "8080:80")
    assert is_meant(port, "published=8080,target=80")
    assert is_meant(port, "8079-8081:79-81")
    assert not is_meant(port, "8081:80")
    with pytest.raises(Invalid) as caught:
        parse_removed("http")
    assert "53/udp" in caught.value.hint


def is_meant(port: Port, text: str) -> bool:
    return any(each.means(port) for each in parse_removed(text))
