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


def test_a_containers_own_lines_follow_its_addresses_and_the_rest_stays() -> None:
    before = hosts.with_extra(hosts.own("web.lan", ("172.17.0.2", "172.18.0.2")), ("db:10.1.1.1",))
    before += "10.9.9.9 written-by-hand\n"

    found = hosts.readdressed(before, "web.lan", gone=("172.17.0.2",), new=("172.19.0.5", "fd::5"))

    assert "172.17.0.2" not in found
    assert "172.18.0.2\tweb.lan web\n" in found
    assert "10.1.1.1\tdb\n10.9.9.9 written-by-hand\n" in found
    assert found.endswith("172.19.0.5\tweb.lan web\nfd::5\tweb.lan web\n")
    assert hosts.readdressed(found, "web.lan", gone=(), new=("fd::5",)) == found
    alone = hosts.readdressed(hosts.own("web", ()), "web", gone=(), new=("10.0.0.2",))
    assert "127.0.1.1" not in alone


def test_a_link_has_the_lines_that_it_has_now() -> None:
    before = "127.0.0.1\tlocalhost\n172.17.0.2\tdb 0123 postgres\n172.17.0.3\tdb2 db\n\n"

    found = hosts.linked(before, "db", ("172.17.0.9\tdb 0123 postgres",))

    assert found == ("127.0.0.1\tlocalhost\n172.17.0.3\tdb2 db\n\n172.17.0.9\tdb 0123 postgres\n")
