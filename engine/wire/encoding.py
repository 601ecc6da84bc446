"""Write our layouts of Docker's objects as the plain values that JSON is made of."""

from typing import cast

import msgspec
from msgspec import Struct

from engine.replies import JsonObject


def builtins(value: Struct) -> JsonObject:
    """`value` as a dictionary, by the names it has on the wire."""
    return cast("JsonObject", msgspec.to_builtins(value))
