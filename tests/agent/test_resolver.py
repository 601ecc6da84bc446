"""A container's resolver is its node's, but for what the service asks for."""

from agent.resolver import embedded, redirected, resolver
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


def in_its_own(host: str = HOST, **asked: tuple[str, ...]) -> str:
    return embedded(ContainerSpec(**asked), host)


def test_with_a_network_of_its_own_the_name_service_is_asked() -> None:
    assert in_its_own() == "search lan\nnameserver 127.0.0.11\noptions edns0 ndots:0\n"
    assert in_its_own(host="") == "nameserver 127.0.0.11\noptions ndots:0\n"


def test_its_own_servers_are_the_name_services_affair() -> None:
    assert "9.9.9.9" not in in_its_own(dns_servers=("9.9.9.9",))
    assert in_its_own(dns_servers=("9.9.9.9",)) == in_its_own()


def test_search_and_options_are_its_own_if_it_has_some() -> None:
    assert in_its_own(dns_search=("a.org",), dns_options=("rotate",)) == (
        "nameserver 127.0.0.11\nsearch a.org\noptions rotate ndots:0\n"
    )
    assert "search" not in in_its_own(dns_search=(".",))
    assert "search" not in in_its_own(host="domain lan\n", dns_search=(".",))


def test_who_knows_about_dots_is_believed() -> None:
    assert in_its_own(dns_options=("ndots:5",)).endswith("options ndots:5\n")
    assert in_its_own(host="options ndots:3\noptions timeout:1\n").endswith(
        "options ndots:3 timeout:1\n"
    )


def test_a_container_that_runs_may_come_to_ask_the_name_service() -> None:
    before = "search a.org\nnameserver 10.1.1.1\nnameserver 10.1.1.2\noptions rotate\n"

    found = redirected(before)

    assert found == "search a.org\nnameserver 127.0.0.11\noptions rotate ndots:0\n"
    assert redirected(found) == found
