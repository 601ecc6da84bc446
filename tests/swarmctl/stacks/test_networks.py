"""Networks of a stack file: what is made, who is in them and under which names."""

import pytest

from swarm.errors import Invalid
from swarm.specs import NetworkAttachment, NetworkDriver, NetworkSpec, Subnet
from swarmctl.stacks.networks import StackNetwork, settings
from tests.networks import attached
from tests.swarmctl.stacks.reading import service, stack

MARK = {"com.docker.stack.namespace": "s"}
WEB = "services: {web: {image: x, networks: [net]}}\n"


def test_services_that_say_nothing_are_in_a_network_of_the_stack() -> None:
    found = stack("services: {web: {image: x}, db: {image: y}}")

    assert found.networks == (
        StackNetwork(name="s_default", spec=NetworkSpec(name="s_default", labels=MARK)),
    )
    assert [each.task.networks for each in found.services] == [
        (NetworkAttachment(target="s_default", aliases=("web",)),),
        (NetworkAttachment(target="s_default", aliases=("db",)),),
    ]


def test_the_default_network_may_be_declared_and_is_made_only_where_it_is_used() -> None:
    own = stack(
        "services: {web: {image: x}}\nnetworks: {default: {driver_opts: {encrypted: 'true'}}}"
    )
    unused = stack(
        "services: {web: {image: x, network_mode: host}}\nnetworks: {other: , default: }"
    )

    assert [each.spec and each.spec.encrypted for each in own.networks] == [True]
    assert unused.networks == ()


def test_a_network_has_all_that_a_file_can_say() -> None:
    found = stack(
        WEB
        + """
networks:
  net:
    name: shared
    driver: overlay
    driver_opts: {encrypted: "", com.docker.network.driver.mtu: 1300}
    attachable: true
    internal: true
    enable_ipv6: true
    labels: [a=b]
    ipam:
      driver: default
      config:
      - subnet: 10.0.9.0/24
        gateway: 10.0.9.1
        ip_range: 10.0.9.128/25
        aux_addresses: {router: 10.0.9.2}
      - subnet: fd00:9::/64
"""
    )

    spec = NetworkSpec(
        name="shared",
        labels=MARK | {"a": "b"},
        subnets=(
            Subnet(
                subnet="10.0.9.0/24",
                gateway="10.0.9.1",
                ip_range="10.0.9.128/25",
                aux_addresses={"router": "10.0.9.2"},
            ),
            Subnet(subnet="fd00:9::/64"),
        ),
        ipv6=True,
        internal=True,
        attachable=True,
        encrypted=True,
        mtu=1300,
    )
    assert found.networks == (StackNetwork(name="shared", spec=spec),)


def test_a_bridge_is_a_bridge() -> None:
    [found] = stack(WEB + "networks: {net: {driver: bridge}}").networks

    assert found.spec is not None
    assert found.spec.driver is NetworkDriver.BRIDGE


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{external: true}", "net"),
        ("{external: true, name: theirs}", "theirs"),
        ("{external: {name: older}}", "older"),
    ],
)
def test_what_is_external_is_there_already(text: str, name: str) -> None:
    found = stack(WEB + f"networks: {{net: {text}}}")

    assert found.networks == (StackNetwork(name=name),)
    assert found.services[0].task.networks[0].target == name


@pytest.mark.parametrize("text", ["{external: true, name: host}", "{driver: host}"])
def test_a_nodes_own_network_may_have_a_key_of_the_file(text: str) -> None:
    found = stack(WEB + f"networks: {{net: {text}}}")

    assert found.services[0].task.networks == attached("host")


def test_a_service_has_aliases_beside_its_key() -> None:
    found = service(
        "networks: {back: {aliases: [db, WEB], ipv4_address: 10.0.0.9}, default: }",
        besides="networks: {back: }",
    )

    assert found.task.networks == (
        NetworkAttachment(target="s_back", aliases=("db", "WEB")),
        NetworkAttachment(target="s_default", aliases=("web",)),
    )


def test_an_address_of_its_own_is_left_out_with_a_warning() -> None:
    text = "services: {web: {image: x, networks: {default: {ipv4_address: 10.0.0.9}}}}"

    assert stack(text).warnings == ("Ignoring unsupported options: ipv4_address",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{driver: macvlan}", "networks.net.driver: there is no driver 'macvlan'"),
        ("{colour: red}", "networks.net.colour: there is no such key"),
        ("{external: true, internal: true}", "networks.net.internal: means nothing"),
        ("{enable_ipv4: false}", "networks.net.enable_ipv4: every network has IPv4"),
        ("{driver_opts: {mtu: 1}}", "networks.net.driver_opts.mtu: 1 is not in"),
        (
            "{enable_ipv6: true, driver_opts: {mtu: 1279}}",
            "networks.net.driver_opts.mtu: 1279 is less than the 1280 that IPv6 needs; give",
        ),
        ("{driver_opts: {vlan: 1}}", "networks.net.driver_opts[vlan]: there is no option"),
        ("{ipam: {driver: x}}", "networks.net.ipam.driver: there is no 'x'"),
        ("{ipam: {options: {a: b}}}", "networks.net.ipam.options: there are none"),
        ("{ipam: {config: [{subnet: x}]}}", "networks.net.ipam.config[0].subnet: 'x' is not"),
        ("{ipam: {config: [{colour: x}]}}", "networks.net.ipam.config[0].colour: there is no"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(text: str, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        stack(WEB + f"networks: {{net: {text}}}")

    assert any(each.startswith(problem) for each in caught.value.problems)


def test_settings_leave_out_what_may_differ() -> None:
    wanted = NetworkSpec(name="net", labels={"a": "b"})
    subnets = (Subnet(subnet="10.0.9.0/24"),)
    present = NetworkSpec(name="net", subnets=subnets)

    assert settings(present, like=wanted) == settings(wanted, like=wanted)
    fixed = NetworkSpec(name="net", subnets=(Subnet(subnet="10.0.8.0/24"),))
    assert settings(present, like=fixed) != settings(fixed, like=fixed)
