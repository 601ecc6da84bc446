"""Packets made and read by another implementation of the format."""

from collections.abc import Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from agent.dns import wire


def ask(
    name: str, kind: str = "A", *, payload: int = 0, ident: int = 7, dnssec: bool = False
) -> bytes:
    """A question as a resolver sends it."""
    made = dns.message.make_query(
        name, kind, use_edns=0 if payload else -1, payload=payload or 1232, want_dnssec=dnssec
    )
    made.id = ident
    return made.to_wire()


def read(name: str, kind: str = "A", *, payload: int = 0, ident: int = 7) -> wire.Query:
    """A question as we read it."""
    query = wire.read(ask(name, kind, payload=payload, ident=ident))
    assert isinstance(query, wire.Query)
    return query


def reply(
    question: bytes,
    *records: str,
    authority: Sequence[str] = (),
    rcode: int = 0,
    is_truncated: bool = False,
    ident: int | None = None,
) -> bytes:
    """What a server answers; records as in a zone's file."""
    asked = dns.message.from_wire(question)
    made = dns.message.make_response(asked, recursion_available=True)
    for section, lines in ((made.answer, records), (made.authority, authority)):
        section.extend(dns.rrset.from_text_list(*_split(each)) for each in lines)
    made.set_rcode(dns.rcode.Rcode(rcode))
    if is_truncated:
        made.flags |= dns.flags.TC
    if ident is not None:
        made.id = ident
    return made.to_wire()


def _split(line: str) -> tuple[str, int, str, str, list[str]]:
    name, ttl, kind, rest = line.split(maxsplit=3)
    return name, int(ttl), "IN", kind, [rest]


def values(packet: bytes) -> list[str]:
    """The values of an answer's records."""
    return [item.to_text() for each in dns.message.from_wire(packet).answer for item in each]
