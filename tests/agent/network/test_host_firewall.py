import json

from agent.network.host_firewall import is_told, obstacles


def chain(family: str, table: str, name: str, **fields: str) -> dict[str, dict[str, str]]:
    return {"chain": {"family": family, "table": table, "name": name, **fields}}


def listing(*chains: dict[str, dict[str, str]]) -> str:
    return json.dumps({"nftables": [{"metainfo": {"version": "1.0.6"}}, *chains]})


def test_a_policy_of_drop_is_in_the_way_and_dockers_own_chain_is_where_to_except_us() -> None:
    (found,) = obstacles(
        listing(
            chain("ip", "filter", "DOCKER-USER"),
            chain("ip", "filter", "FORWARD", hook="forward", policy="drop"),
            chain("ip6", "filter", "FORWARD", hook="forward", policy="accept"),
        )
    )

    assert "iptables -I DOCKER-USER -i sw-+ -j ACCEPT" in str(found)


def test_without_docker_the_chain_itself_is_named() -> None:
    (found,) = obstacles(listing(chain("ip6", "filter", "FORWARD", hook="forward", policy="drop")))

    assert "ip6tables -I FORWARD -i sw-+" in str(found)


def test_firewalld_rejects_at_the_end_whatever_its_policy_says() -> None:
    (found,) = obstacles(
        listing(chain("inet", "firewalld", "filter_FORWARD", hook="forward", policy="accept"))
    )

    assert "firewall-cmd" in str(found)


def test_rules_of_the_operators_own_are_told_in_their_own_words() -> None:
    (found,) = obstacles(
        listing(
            chain("inet", "filter", "forward", hook="forward", policy="drop"),
            chain("inet", "filter", "input", hook="input", policy="drop"),
        )
    )

    assert 'iifname "sw-*"' in str(found)


def test_our_own_table_and_hosts_without_rules_are_in_nobodys_way() -> None:
    own = listing(chain("inet", "swarm", "forward", hook="forward", policy="drop"))

    assert not [*obstacles(own), *obstacles(listing())]


def test_a_table_that_mentions_our_links_was_told_of_them() -> None:
    assert is_told('table ip filter { chain FORWARD { iifname "sw-*" accept } }')
    assert not is_told('table ip filter { chain FORWARD { iifname "eth0" accept } }')
