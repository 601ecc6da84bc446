"""Find the address under which others reach this host.

The name of an interface stands for its address.
"""

import fcntl
import socket
import struct

from swarm.addresses import DEFAULT_PORT, format_address, parse_address, require_ip
from swarm.errors import Invalid

# TEST-NET-1 (RFC 5737): nothing is sent, the kernel only chooses the source address.
_SOMEWHERE = ("192.0.2.1", 9)

_OURS = "sw-"  # links that we make lead to containers, not to others

_SIOCGIFADDR = 0x8915  # netdevice(7)


def advertised(asked: str, *, listen_addr: str) -> str:
    """`asked` as IP:PORT, its port taken from `listen_addr`; or the default route's address."""
    _, port = parse_address(listen_addr, default_port=DEFAULT_PORT)
    if not asked:
        return format_address(_default_address(), port)
    host, port = parse_address(asked, default_port=port)
    return format_address(require_ip(of_interface(host)), port)


def listening(listen_addr: str, advertise_addr: str) -> str:
    """Where to listen: the advertised port, unless another was asked for."""
    host, port = parse_address(listen_addr)
    _, advertised_port = parse_address(advertise_addr)
    return format_address(host, advertised_port if port == DEFAULT_PORT else port)


def data_path_of(asked: str) -> str:
    """`asked`, if it is an address of this host or has one; empty stays empty."""
    asked = of_interface(asked)
    if asked:
        try:
            require_ip(asked)
        except Invalid as err:
            raise Invalid(
                f"--data-path-addr {asked!r}: {err.message}",
                hint="give an IP address of this host, without a port",
            ) from err
        require_local(format_address(asked, DEFAULT_PORT), flag="--data-path-addr")
    return asked


def of_interface(name: str) -> str:
    """The first IPv4 address of the interface `name`; what is no name of one stays as it is."""
    try:
        socket.if_nametoindex(name)
        asked = struct.pack("256s", name.encode())
    except (OSError, ValueError, struct.error):
        return name
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            answer = fcntl.ioctl(probe, _SIOCGIFADDR, asked)
        except OSError as err:
            raise Invalid(
                f"interface {name} has no IPv4 address", hint="give an IP address of this host"
            ) from err
    return socket.inet_ntoa(answer[20:24])


def require_local(address: str, *, flag: str = "--advertise-addr") -> None:
    """Raise `Invalid` unless this host has the address (a NAT's would not be ours)."""
    host, _ = parse_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.bind((host, 0))
        except OSError as err:
            raise Invalid(
                f"{flag} {host} is not an address of this host",
                hint="`ip address` lists them",
            ) from err


def _default_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(_SOMEWHERE)
        except OSError as err:
            return _only_address(err)
        address: str = probe.getsockname()[0]
        return address


def _only_address(no_route: OSError) -> str:
    """A host without a default route may still have one address that others could mean."""
    from agent.network.io.netlink import Socket

    with Socket() as kernel:
        found = [
            each.address.partition("/")[0]
            for each in kernel.addresses()
            if ":" not in each.address and each.link != "lo" and not each.link.startswith(_OURS)
        ]
    if len(found) == 1:
        return found[0]
    known = f"it has {', '.join(found)}" if found else "it has none"
    raise Invalid(
        f"this host has no default route to choose an address by, and {known}",
        hint="say which one others reach with --advertise-addr IP",
    ) from no_route
