"""Read addresses as operators write them: `HOST:PORT`, `[v6]:PORT`, or a bare host."""

from ipaddress import ip_address

from swarm.errors import Invalid

DEFAULT_PORT = 2377


def parse_address(text: str, *, default_port: int = DEFAULT_PORT) -> tuple[str, int]:
    """Split `text` into host and port; `Invalid` when it is neither form."""
    host, port = _split(text, default_port)
    if not host:
        raise Invalid(f"address {text!r} has no host", hint="write it as IP:PORT")
    if not 0 < port < 65536:
        raise Invalid(f"address {text!r}: port {port} is not within 1 and 65535")
    return host, port


def format_address(host: str, port: int) -> str:
    """Join host and port; an IPv6 address gets its brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def moved(address: str, by: int) -> str:
    """The same host, `by` ports further: neighbours of one listening port are derived from it."""
    host, port = parse_address(address)
    return format_address(host, port + by)


def require_ip(host: str) -> str:
    """Return `host` when it is a concrete IP address that others can dial."""
    try:
        parsed = ip_address(host)
    except ValueError as err:
        raise Invalid(f"{host!r} is not an IP address", hint="give --advertise-addr an IP") from err
    if parsed.is_unspecified:
        raise Invalid(f"{host} names no host", hint="advertise an address others can reach")
    return host


def _split(text: str, default_port: int) -> tuple[str, int]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") > 1:
        host, port = text, ""
    else:
        host, _, port = text.partition(":")
    if not port:
        return host, default_port
    if not port.isascii() or not port.isdigit():
        raise Invalid(f"address {text!r}: {port!r} is not a port number")
    return host, int(port)
