"""A container's resolver is its node's, but for what the service asks for."""

from agent.resolver import resolver
from swarm.specs import ContainerSpec

HOST = "# by hand\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch lan\noptions edns0\n"


def made(host: str = HOST, **asked: tuple[str, ...]) -> str:
    return resolver(ContainerSpec(**asked), host)


def test_without_wishes_it_is_the_nodes_own_to_the_letter() -> None:
    assert made() == HOST
    assert made(host="") == ""


def test_each_setting_is_replaced_as_a_whole() -> None:
    assert made(dns_servers=("9.9.9.9", "::1")) == (
        "# by hand\nsearch lan\noptions edns0\nnameserver 9.9.9.9\nnameserver ::1\n"
    )
    assert made(dns_search=("a.org", "b.org")) == (
        "# by hand\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions edns0\nsearch a.org b.org\n"
    )
    assert made(dns_options=("ndots:3", "rotate")).endswith("search lan\noptions ndots:3 rotate\n")


def test_a_dot_searches_nothing() -> None:
    assert "search" not in made(dns_search=(".",))


def test_the_older_word_for_search_goes_too() -> None:
    assert made(host="domain lan\nnameserver ::1\n", dns_search=("x",)) == (
        "nameserver ::1\nsearch x\n"
    )


def test_without_the_nodes_network_there_is_only_what_was_asked_for() -> None:
    assert made(host="", dns_servers=("9.9.9.9",), dns_options=("rotate",)) == (
        "nameserver 9.9.9.9\noptions rotate\n"
    )
