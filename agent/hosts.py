"""Write /etc/hosts: the loopback, the container by its own addresses, and what was asked for.

As with Docker: a container's own name leads to its addresses in its networks, those of its way
out first, so that what it tells others of itself is of use to them. Without a network its name
is a loopback address. With the host's network the host's own file is the beginning.
"""

from collections.abc import Collection, Iterable

_LOOPBACK = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
"""
_IPV6 = """fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
_ALONE = "127.0.1.1"


def own(hostname: str, addresses: Iterable[str]) -> str:
    """The file of a container with a network of its own; a domain is its name's second half."""
    names = " ".join(dict.fromkeys((hostname, hostname.partition(".")[0])))
    found = tuple(addresses)
    lines = "".join(f"{each}\t{names}\n" for each in found or (_ALONE,))
    return _LOOPBACK + (_IPV6 if found else "") + lines


def with_extra(content: str, extra: Iterable[str]) -> str:
    """The same, with names that somebody asked for as `NAME:ADDRESS`."""
    if content and not content.endswith("\n"):
        content += "\n"
    for each in extra:
        name, _, address = each.partition(":")
        content += f"{address}\t{name}\n"
    return content


def readdressed(content: str, hostname: str, *, gone: Collection[str], new: Iterable[str]) -> str:
    """The same after the container's own addresses have changed; whatever else is in it stays."""
    lines = [each for each in content.splitlines() if _address(each) not in (*gone, _ALONE)]
    there = set(map(_address, lines))
    names = " ".join(dict.fromkeys((hostname, hostname.partition(".")[0])))
    lines += [f"{each}\t{names}" for each in new if each not in there]
    return "".join(f"{line}\n" for line in lines)


def linked(content: str, alias: str, lines: Iterable[str]) -> str:
    """The same with these lines for what the container calls `alias`, instead of those it had."""
    kept = [each for each in content.splitlines() if each.split()[1:2] != [alias]]
    return "".join(f"{line}\n" for line in (*kept, *lines))


def _address(line: str) -> str:
    return line.split(maxsplit=1)[0] if line.strip() else ""
