"""Which servers a configuration names."""

from agent.dns.upstreams import others, servers

CONF = """
# nameserver 9.9.9.9
nameserver 10.0.0.1
nameserver\tfe80::1%eth0
search lan
nameserver 10.0.0.1
nameserver not-an-address
nameserver
options edns0
nameserver 127.0.0.53  # the host's own
"""


def test_servers_are_taken_in_order_and_once() -> None:
    assert servers(CONF) == ("10.0.0.1", "fe80::1%eth0", "127.0.0.53")
    assert servers("") == ()


def test_we_are_not_among_the_others() -> None:
    assert others(("127.0.0.11", "1.1.1.1", "bad")) == ("1.1.1.1",)
