"""What a container's /etc/hosts says."""

from agent import hosts


def test_a_containers_name_leads_to_its_addresses_in_order() -> None:
    found = hosts.own("web", ("10.255.0.5", "10.0.1.5", "fd00::5"))

    assert found.startswith("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
    assert "ff02::1\tip6-allnodes\n" in found
    assert found.endswith("\n10.255.0.5\tweb\n10.0.1.5\tweb\nfd00::5\tweb\n")


def test_a_name_with_a_domain_is_known_without_it() -> None:
    assert hosts.own("web.example.org", ("10.0.1.5",)).endswith("10.0.1.5\tweb.example.org web\n")


def test_without_a_network_the_name_is_a_loopback_address() -> None:
    assert hosts.own("web", ()).endswith("\n127.0.1.1\tweb\n")


def test_names_that_were_asked_for_come_last_and_on_lines_of_their_own() -> None:
    found = hosts.with_extra("10.0.0.1 gateway", ("db:10.1.1.1", "db6:fd00::1"))

    assert found == "10.0.0.1 gateway\n10.1.1.1\tdb\nfd00::1\tdb6\n"
    assert hosts.with_extra("", ()) == ""
