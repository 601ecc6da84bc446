from agent.network.host_settings import of_advertised, of_link, of_link6


def test_links_that_hear_advertisements_go_on_hearing_them() -> None:
    accepting = {"all": "1", "eth0": "1", "eth1": "0", "eth2": "2", "gone": ""}

    assert of_advertised(accepting) == {
        "net/ipv6/conf/all/accept_ra": "2",
        "net/ipv6/conf/eth0/accept_ra": "2",
    }


def test_only_our_own_link_is_set() -> None:
    settings = of_link("sw-01234567") | of_link6("sw-01234567")

    assert all("/conf/sw-01234567/" in path for path in settings)
    assert settings["net/ipv4/conf/sw-01234567/route_localnet"] == "1"
