import sys
from itertools import product

from agent.network import host_rules
from agent.network.addressing import host_link
from agent.network.host_rules import Key
from agent.network.slots import CLASSES
from swarm.ids import NetworkId


def test_every_number_of_slots_has_its_chains() -> None:
    rules = host_rules.text()

    assert all(f"chain share{slots} {{" in rules for slots in CLASSES)
    assert all(f"chain share{slots}_at {{" in rules for slots in CLASSES)


def test_marks_of_the_hosts_packets_are_neither_read_nor_written() -> None:
    assert "mark" not in host_rules.text().replace("type mark;", "")


def test_a_routers_link_is_told_from_others_that_begin_alike() -> None:
    assert host_rules.is_uplink(host_link(NetworkId("n1")))
    assert not host_rules.is_uplink("sw-uplink")
    assert not host_rules.is_uplink("sw-0123456789")


def test_keys_are_named_as_one_writes_them() -> None:
    assert str(Key("tcp", 80)) == "80/tcp"
    assert str(Key("udp", 53, "192.0.2.1")) == "192.0.2.1:53/udp"
    assert str(Key("tcp", 80, "2001:db8::1")) == "[2001:db8::1]:80/tcp"


def test_ports_are_read_back_from_the_elements_that_lead_them() -> None:
    protocols, ips = ("tcp", "udp", "sctp"), ("", "192.0.2.1", "2001:db8::1")
    keys = [Key(protocol, 443, ip) for protocol, ip in product(protocols, ips)]

    assert [host_rules.port_of(host_rules.port_element(key, 16)) for key in keys] == keys


def test_the_revision_is_the_one_that_the_text_loads() -> None:
    rules = host_rules.text()
    head, _, _ = rules.rpartition("{")

    assert host_rules.revision(f"{head}{{ 7 }}\n").key == (7).to_bytes(4, sys.byteorder)
    assert host_rules.revision(rules) != host_rules.revision(f"{head}{{ 7 }}\n")
