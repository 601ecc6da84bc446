"""Write what all objects of the swarm have in common: their versions, and when they changed."""

from typing import Any

from engine.replies import JsonObject
from engine.times import stamp


def described(identity: str, *, version: int, created_at: float, updated_at: float) -> JsonObject:
    """What an object of the swarm begins with."""
    return {
        "ID": identity,
        "Version": {"Index": version},
        "CreatedAt": stamp(created_at),
        "UpdatedAt": stamp(updated_at),
    }


def present(**fields: Any) -> JsonObject:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def nonzero(**fields: Any) -> JsonObject:
    """The fields that are set."""
    return {name: value for name, value in fields.items() if value}
